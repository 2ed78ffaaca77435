//! The lab's report: turns readings into a Markdown table, with the conditions of measurement and the promises checked.

use crate::command::{read, root};
use crate::lab::{Options, network::traffic_meter::Reading};
use anyhow::{Context, Result, bail};
use std::{process::Command, time::Duration};

/// Above this share, the processors instead of the links may have limited the rate.
const BUSY: f64 = 0.8;

/// The name of the table's place in docs/numbers.md.
const PLACE: &str = "lab";

/// The performance of one plain flow, the unit for all other figures.
#[derive(Clone, Copy)]
pub(crate) struct Unit {
    /// Payload bytes per second.
    pub(crate) goodput: f64,
    /// Bytes on the sender's link per byte of payload.
    pub(crate) wire_per_payload: f64,
}

impl Unit {
    /// Returns the seconds that one flow takes for this many bytes.
    pub(crate) fn seconds(&self, bytes: u64) -> f64 {
        bytes as f64 / self.goodput
    }
}

/// One row of the table.
pub(crate) struct Row {
    title: String,
    pub(crate) took: Duration,
    /// The size of the file (bytes).
    size: u64,
    /// Bytes sent on the server's link.
    server_sent: u64,
    /// Bytes sent on the link of the machine that sent most.
    largest_upload: u64,
    busy: f64,
}

impl Row {
    pub(crate) fn of(title: &str, took: Duration, size: u64, reading: &Reading) -> Self {
        let (server_sent, largest_upload) = (reading.server.sent, reading.largest_upload());
        Self { title: title.to_owned(), took, size, server_sent, largest_upload, busy: reading.busy }
    }
    /// Returns the makespan in units: how many times as long as one flow.
    pub(crate) fn units(&self, unit: &Unit) -> f64 {
        self.took.as_secs_f64() / unit.seconds(self.size)
    }
    /// Returns how many copies of the file the server's link carried.
    pub(crate) fn copies(&self, unit: &Unit) -> f64 {
        self.server_sent as f64 / unit.wire_per_payload / self.size as f64
    }
    /// Returns how many copies of the file the busiest machine's link carried upwards, acknowledgements included.
    pub(crate) fn upload(&self, unit: &Unit) -> f64 {
        self.largest_upload as f64 / unit.wire_per_payload / self.size as f64
    }
}

/// A figure that must not exceed its limit.
pub(crate) struct Promise {
    pub(crate) what: &'static str,
    pub(crate) value: f64,
    pub(crate) limit: f64,
}

/// The results of a lab.
pub(crate) struct Report {
    conditions: String,
    pub(crate) unit: Option<Unit>,
    pub(crate) rows: Vec<Row>,
    pub(crate) promises: Vec<Promise>,
    pub(crate) notes: Vec<String>,
    /// Whether a promise checked in the notes was missed.
    pub(crate) missed: bool,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            conditions: conditions(options),
            unit: None,
            rows: Vec::new(),
            promises: Vec::new(),
            notes: Vec::new(),
            missed: false,
        }
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n\n", self.conditions);
        let Some(unit) = self.unit else { return text };
        text += &format!(
            "One plain flow carries {:.2} Mbit/s of payload, and {:.4} bytes on the link for each byte of it. \
             A unit is the time such a flow takes for the file; copies are bytes on a link divided by the latter.\n\n",
            unit.goodput * 8e-6,
            unit.wire_per_payload
        );
        text += "| run | seconds | units | copies sent by the server | largest upload of a machine (copies) | processors busy |\n";
        text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
        for row in &self.rows {
            text += &format!(
                "| {} | {:.2} | {:.2} | {:.3} | {:.3} | {:.0} %{} |\n",
                row.title,
                row.took.as_secs_f64(),
                row.units(&unit),
                row.copies(&unit),
                row.upload(&unit),
                row.busy * 100.0,
                if row.busy > BUSY { " (!)" } else { "" },
            );
        }
        text.push('\n');
        for promise in &self.promises {
            let verdict = if promise.value <= promise.limit { "held" } else { "**missed**" };
            text += &format!("- {}: {:.3}, at most {:.2}: {verdict}\n", promise.what, promise.value, promise.limit);
        }
        for note in &self.notes {
            text += &format!("- {note}\n");
        }
        if let Some(row) = self.rows.iter().find(|row| row.busy > BUSY) {
            text += &format!(
                "- **The processors were {:.0} % busy in “{}”: the links may not have been the limit. \
                 Measure again with half the rate.**\n",
                row.busy * 100.0,
                row.title
            );
        }
        text
    }

    /// Writes the table to the document, in place of the previous one.
    pub(crate) fn write(&self) -> Result<()> {
        write_table(PLACE, &self.markdown())
    }

    /// Fails if a promise was missed.
    pub(crate) fn check(&self) -> Result<()> {
        let missed: Vec<_> = self.promises.iter().filter(|p| p.value > p.limit).map(|p| p.what).collect();
        if self.missed {
            bail!("a promise was missed; see above");
        }
        if missed.is_empty() { Ok(()) } else { bail!("missed: {}", missed.join("; ")) }
    }
}

/// Writes a table to docs/numbers.md, in place of the previous one.
pub(crate) fn write_table(place: &str, table: &str) -> Result<()> {
    let path = root().join("docs/numbers.md");
    let before = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let after = replaced(&before, place, table)?;
    std::fs::write(&path, after).with_context(|| format!("cannot write {}", path.display()))?;
    println!("table written to {}", path.display());
    Ok(())
}

/// Returns the document with the table between its markers.
fn replaced(document: &str, place: &str, table: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {place}: begin -->"), format!("<!-- {place}: end -->"));
    let (Some((before, _)), Some((_, after))) = (document.split_once(&begin), document.split_once(&end)) else {
        bail!("docs/numbers.md lacks the markers {begin} and {end} for the table");
    };
    Ok(format!("{before}{begin}\n{}\n{end}{after}", table.trim_end()))
}

pub(crate) fn conditions(options: &Options) -> String {
    let file = match options.deb {
        true => "a Debian package".to_owned(),
        false => format!("a file of {} MiB, seed {}", options.size() >> 20, options.seed),
    };
    let copies = match &*options.server_copies {
        "1" => String::new(),
        copies => format!(" with --server-copies {copies}"),
    };
    format!(
        "{} {} machines and a server{copies}, every link {} Mbit/s each way, {file}.",
        machine_conditions("cargo xtask lab", &options.profile),
        options.machines(),
        options.rate,
    )
}

/// Returns sentences with the command, the date, the commit and the computer.
pub(crate) fn machine_conditions(command: &str, profile: &str) -> String {
    let said = |program: &str, arguments: &[&str]| {
        read(Command::new(program).args(arguments).current_dir(root())).unwrap_or_else(|_| "unknown".into())
    };
    let kernel = |path: &str| std::fs::read_to_string(path).map_or("unknown".into(), |text| text.trim().to_owned());
    format!(
        "`{command}` on {}, commit {}, profile {profile}. {} cores, Linux {}, TCP {}, links shaped by tbf without \
         offloads.",
        said("date", &["--utc", "+%Y-%m-%d"]),
        said("git", &["describe", "--always", "--dirty"]),
        std::thread::available_parallelism().map_or(0, usize::from),
        kernel("/proc/sys/kernel/osrelease"),
        kernel("/proc/sys/net/ipv4/tcp_congestion_control"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_table_replaces_the_previous_one() {
        let document = "# Numbers\n\n<!-- lab: begin -->\nold\n<!-- lab: end -->\nMore.\n";
        let new = replaced(document, "lab", "new\n").unwrap();
        assert_eq!(new, document.replace("old", "new"));
        assert!(replaced(document, "other", "new").is_err());
    }

    #[test]
    fn traffic_is_reported_in_copies_and_time_in_units() {
        let unit = Unit { goodput: 1000.0, wire_per_payload: 1.25 };
        let row = Row {
            title: String::new(),
            took: Duration::from_secs(3),
            size: 2000,
            server_sent: 5000,
            largest_upload: 2500,
            busy: 0.0,
        };
        assert_eq!((row.units(&unit), row.copies(&unit), row.upload(&unit)), (1.5, 2.0, 1.0));
    }
}
