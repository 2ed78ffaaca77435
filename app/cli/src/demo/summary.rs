//! The demo's summary: durations, how much the server sent, who downloaded from whom, where the software was installed.

use crate::{
    deployment_tree::{ContentSources, SourceShare, TreeView, format_copies, format_seconds, format_shares},
    output::format_table,
};
use banyan_proto::{MachineId, admin::DeploymentStatus, format_size};
use serde::Serialize;
use std::{collections::HashMap, path::PathBuf};

/// Where the release is installed on one machine.
pub(super) struct InstallLocation {
    pub(super) machine: MachineId,
    pub(super) path: PathBuf,
}

/// The results of a demo. Times are in milliseconds since the server accepted the deployment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    package: String,
    version: String,
    /// Size of the file (bytes).
    size: u64,
    /// When the last machine had the complete, verified file.
    verified_after: Option<u64>,
    /// When the new version had passed its probe on the last machine.
    installed_after: Option<u64>,
    /// Content bytes sent by the server.
    server_sent: u64,
    /// The machine that sent the most content bytes, if any machine sent some.
    largest_upload: Option<Upload>,
    machines: Vec<MachineResult>,
}

/// How much one machine sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Upload {
    machine: String,
    bytes: u64,
}

/// The results of one machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct MachineResult {
    machine: String,
    from: Vec<Source>,
    /// Content bytes that other machines received from it.
    sent: u64,
    verified_after: Option<u64>,
    installed_after: Option<u64>,
    installed_in: PathBuf,
}

/// One source of a machine's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Source {
    machine: String,
    percent: u8,
    stand_in: bool,
}

impl Summary {
    pub(super) fn of(status: &DeploymentStatus, places: &[InstallLocation]) -> Self {
        let mut sent: HashMap<MachineId, u64> = HashMap::new();
        for source in status.addressees.iter().flat_map(|machine| &machine.sources) {
            *sent.entry(source.machine).or_default() += source.bytes;
        }
        let sent_by = |id: MachineId| sent.get(&id).copied().unwrap_or(0);
        // The view's rows are in tree order and have names that are safe for a terminal.
        let view = TreeView::from_status(status);
        let machines: Vec<MachineResult> = view
            .rows
            .iter()
            .filter_map(|row| {
                let machine = status.addressees.iter().find(|machine| machine.id == row.id)?;
                let from = match &row.sources {
                    ContentSources::Sent(shares) => shares.iter().map(Source::of).collect(),
                    ContentSources::Planned(_) | ContentSources::Held => Vec::new(),
                };
                let place = places.iter().find(|place| place.machine == machine.id);
                Some(MachineResult {
                    machine: row.name.clone(),
                    from,
                    sent: sent_by(machine.id),
                    verified_after: machine.verified_after,
                    installed_after: machine.installed_after,
                    installed_in: place.map(|place| place.path.clone()).unwrap_or_default(),
                })
            })
            .collect();
        let most = machines.iter().filter(|machine| machine.sent > 0).max_by_key(|machine| machine.sent);
        Self {
            package: status.package.clone(),
            version: status.version.clone(),
            size: status.size,
            verified_after: machines.iter().filter_map(|machine| machine.verified_after).max(),
            installed_after: machines.iter().filter_map(|machine| machine.installed_after).max(),
            server_sent: status.server_sent,
            largest_upload: most.map(|machine| Upload { machine: machine.machine.clone(), bytes: machine.sent }),
            machines,
        }
    }
    /// Formats the summary. `kept`: the folders still exist afterwards.
    pub(super) fn text(&self, kept: bool) -> String {
        let time = |milliseconds: Option<u64>| milliseconds.map_or_else(|| "-".into(), format_seconds);
        let mut rows = vec![
            ["MACHINE", "DOWNLOADED FROM", "SHARED", "COMPLETE AFTER", "INSTALLED AFTER"].map(str::to_owned).to_vec(),
        ];
        for machine in &self.machines {
            let shares: Vec<SourceShare> = machine.from.iter().map(Source::share).collect();
            let from = if shares.is_empty() { "-".into() } else { format_shares(&shares) };
            let row = [machine.machine.clone(), from, format_copies(machine.sent, self.size)];
            rows.push(row.into_iter().chain([time(machine.verified_after), time(machine.installed_after)]).collect());
        }
        let count = self.machines.len();
        let everybody = if count == 1 { "the one machine".into() } else { format!("all {count} machines") };
        let upload = match &self.largest_upload {
            Some(upload) => format!("{}, by {}", format_copies(upload.bytes, self.size), upload.machine),
            None => "none: every machine downloaded from the server".into(),
        };
        let after =
            if kept { "" } else { "\n                       (removed with the demo's folder; --keep keeps it)" };
        let place = self.machines.first().map(|machine| machine.installed_in.display().to_string()).unwrap_or_default();
        format!(
            "\n{} {} ({}) is installed on {everybody}, {} after it was deployed.\n\n{}\n  \
             the server sent      {} (without the tree: {count})\n  \
             the largest upload   {upload}\n  \
             installed in         {place}{}{after}\n",
            self.package,
            self.version,
            format_size(self.size),
            time(self.installed_after),
            format_table(&rows).lines().map(|line| format!("  {line}\n")).collect::<String>(),
            format_copies(self.server_sent, self.size),
            if count > 1 { ", and so on" } else { "" },
        )
    }
}

impl Source {
    fn of(share: &SourceShare) -> Self {
        Self { machine: share.name.clone(), percent: share.percent, stand_in: share.stand_in }
    }
    fn share(&self) -> SourceShare {
        SourceShare { name: self.machine.clone(), percent: self.percent, stand_in: self.stand_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment_tree::fixture::{PlannedSource, id, status};
    use banyan_proto::{admin::Stage, api::ByteSource};

    #[test]
    fn uploads_are_what_others_report_to_have_received() {
        let mut status =
            status(&[("a", PlannedSource::Server), ("b", PlannedSource::Of("a")), ("c", PlannedSource::Of("a"))]);
        status.server_sent = 1050;
        for (machine, source, after) in [(0, "server", 900), (1, "a", 1500), (2, "a", 1300)] {
            let machine = &mut status.addressees[machine];
            machine.stage = Stage::Installed;
            machine.sources = vec![ByteSource { machine: id(source), bytes: 1000 }];
            (machine.verified_after, machine.installed_after) = (Some(after - 100), Some(after));
        }
        let place = InstallLocation { machine: id("a"), path: "/tmp/a/root".into() };
        let summary = Summary::of(&status, &[place]);
        assert_eq!(summary.largest_upload, Some(Upload { machine: "a".into(), bytes: 2000 }));
        assert_eq!((summary.verified_after, summary.installed_after), (Some(1400), Some(1500)));
        let text = summary.text(false);
        for words in [
            "hello 1.0 (1.0 kB) is installed on all 3 machines, 1.5 s after",
            "a        server           2.00 copies  0.8 s",
            "the server sent      1.05 copies (without the tree: 3)",
            "the largest upload   2.00 copies, by a",
            "/tmp/a/root, and so on",
            "--keep keeps it",
        ] {
            assert!(text.contains(words), "{words:?} is missing in:\n{text}");
        }
        assert!(!summary.text(true).contains("--keep"));
    }
}
