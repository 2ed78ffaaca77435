//! `cargo xtask lab --trace`: what every machine logged about every chunk, as a table, as a picture, and as an answer
//! to the question which machine waits for which.

mod chunk_log;
mod history;
mod picture;
mod waiting;

use anyhow::{Context, Result, bail};
use history::History;
use std::path::{Path, PathBuf};

/// A host whose log is read.
pub(crate) struct TracedHost {
    pub(crate) label: String,
    /// The machine's identifier.
    pub(crate) id: String,
    pub(crate) log: PathBuf,
    /// How the picture marks it: `2 Mbit/s`, `killed`.
    pub(crate) remark: Option<String>,
    /// The least time for the file (seconds); 0 for the server.
    pub(crate) bound: f64,
    /// The time in which its own link, that of its site and the server's let it have the file (seconds); 0 for the
    /// server.
    pub(crate) own_link: f64,
}

/// What to trace. The server comes first.
pub(crate) struct Trace<'a> {
    pub(crate) title: &'a str,
    pub(crate) order: &'a str,
    pub(crate) hosts: &'a [TracedHost],
}

impl Trace<'_> {
    /// Reads all logs and writes `NAME.csv` and `NAME.svg` into the folder. Returns sentences about who waits for whom.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> Result<Vec<String>> {
        let mut logs = Vec::new();
        for host in self.hosts {
            let text = std::fs::read(&host.log).with_context(|| format!("cannot read {}", host.log.display()))?;
            logs.push(String::from_utf8_lossy(&text).into_owned());
        }
        let start = chunk_log::start(&logs[0], self.order).context("the server's log lacks the deployment's start")?;
        let ids: Vec<&str> = self.hosts.iter().map(|host| host.id.as_str()).collect();
        let mut events = Vec::new();
        for (host, text) in logs.iter().enumerate() {
            events.extend(chunk_log::parse(text, host, self.order, &ids, start));
        }
        events.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let history = History::new(&events, self.hosts.len());
        if history.end() <= 0.0 {
            bail!("no agent logged a chunk of the deployment; see {}", self.hosts[0].log.display());
        }
        let csv = folder.join(format!("{name}.csv"));
        let labels: Vec<&str> = self.hosts.iter().map(|host| host.label.as_str()).collect();
        std::fs::write(&csv, chunk_log::csv(&events, &labels))?;
        let svg = folder.join(format!("{name}.svg"));
        std::fs::write(&svg, picture::draw(self.title, self.hosts, &history))?;
        println!("trace written to {} and {}", csv.display(), svg.display());
        Ok(waiting::sentences(self.hosts, &history))
    }
}
