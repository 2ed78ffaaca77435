//! The result of the trial as a table.

use anyhow::Result;
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

/// The heading of the section in the document.
const HEADING: &str = "## Archives from npm and PyPI";

/// What became of one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Published as it was, and installed.
    Installed,
    /// Published with `--platform any` because of this answer, and installed.
    InstalledWithPlatform(String),
    /// Published for a platform that this machine does not have.
    OtherPlatform(String),
    /// Refused before anything was signed.
    RefusedByPublish(String),
    /// Published, and then refused by the machine: a fault of Banyan.
    RefusedByMachine(String),
}

impl Outcome {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Installed => "installed".into(),
            Self::InstalledWithPlatform(why) => format!("installed with `--platform any` ({why})"),
            Self::OtherPlatform(platform) => format!("published for {platform}, which this machine is not"),
            Self::RefusedByPublish(why) => format!("refused by publish: {why}"),
            Self::RefusedByMachine(why) => format!("refused by the machine: {why}"),
        }
    }
}

/// All outcomes.
pub(super) struct Report {
    seed: u64,
    /// File name, size (bytes), outcome.
    rows: Vec<(String, u64, Outcome)>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, rows: vec![] }
    }
    pub(super) fn tried(&self) -> usize {
        self.rows.len()
    }
    pub(super) fn add(&mut self, name: String, size: u64, outcome: Outcome) {
        self.rows.push((name, size, outcome));
    }
    pub(super) fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|(_, _, outcome)| which(outcome)).count()
    }

    /// Returns the section of the document.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "{HEADING}\n\n`cargo xtask archives --count {} --seed {}` downloads archives, publishes them and installs \
             them with a real server and agent.\n\n",
            self.rows.len(),
            self.seed
        );
        let bytes: u64 = self.rows.iter().map(|(_, size, _)| size).sum();
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, ..) in &self.rows {
            *kinds.entry(name.rsplit('.').next().unwrap_or_default()).or_default() += 1;
        }
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let _ = writeln!(text, "{} archives ({}), {} MB:\n", self.rows.len(), kinds.join(", "), bytes / 1_000_000);
        for (what, count) in [
            ("installed as they are", self.count(|outcome| *outcome == Outcome::Installed)),
            (
                "installed with `--platform any`, as the answer advises",
                self.count(|outcome| matches!(outcome, Outcome::InstalledWithPlatform(_))),
            ),
            ("published for another platform", self.count(|outcome| matches!(outcome, Outcome::OtherPlatform(_)))),
            ("refused by publish", self.count(|outcome| matches!(outcome, Outcome::RefusedByPublish(_)))),
            (
                "published and then refused by the machine",
                self.count(|outcome| matches!(outcome, Outcome::RefusedByMachine(_))),
            ),
        ] {
            let _ = writeln!(text, "- {count} {what}");
        }
        let others: Vec<_> = self.rows.iter().filter(|(_, _, outcome)| *outcome != Outcome::Installed).collect();
        if !others.is_empty() {
            text.push_str("\n| archive | result |\n| --- | --- |\n");
            for (name, _, outcome) in others {
                let _ = writeln!(text, "| {name} | {} |", outcome.describe().replace('|', "/"));
            }
        }
        text
    }

    /// Replaces the section in the document, or adds it.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        crate::document::replace_section(path, HEADING, &self.markdown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_replaced_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packages.md");
        std::fs::write(&path, "# Real packages\n\n## Debian packages\n\na\n").unwrap();
        let mut report = Report::new(7);
        report.add("a-1.tgz".into(), 5_000_000, Outcome::Installed);
        report.write(&path).unwrap();
        report.add("b-1.whl".into(), 0, Outcome::RefusedByPublish("a | pipe".into()));
        report.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(HEADING).count(), 1, "{text}");
        assert!(text.starts_with("# Real packages\n\n## Debian packages\n\na\n\n## Archives"), "{text}");
        assert!(text.contains("2 archives (1 tgz, 1 whl), 5 MB") && text.contains("| b-1.whl |"), "{text}");
        std::fs::write(&path, format!("{text}\n## More\n\nb\n")).unwrap();
        report.write(&path).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("## More\n\nb\n"));
    }
}
