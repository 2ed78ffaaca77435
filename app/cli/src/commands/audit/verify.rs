//! `banyan audit verify`: checks an exported log without the server. Says what was changed, removed or cut off.

use super::{format_time, known_head, path_parser};
use crate::{
    output::{Exit, Failure, OutputArgs, format_count, print_note},
    profile::ProfileArg,
};
use banyan_proto::{
    audit::{AuditEntry, ExportHeader, KnownHead, TreeHead},
    format,
    merkle::{self, TreeHash},
};
use serde::Serialize;
use std::{fs, path::PathBuf};

/// Most findings about single rows that are named.
const MAX_NAMED: usize = 10;

/// Verify an exported audit log, without the server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan audit verify audit-2026-12.jsonl\n  \
    # Against a head that was kept elsewhere\n  \
    banyan audit verify audit-2026-12.jsonl --head head.json\n\n\
    Without --head, the file is checked against the newest head of that server that this\n\
    computer remembers, if it remembers one.")]
pub(super) struct VerifyArgs {
    /// Exported log
    #[arg(value_name = "FILE", value_parser = path_parser())]
    file: PathBuf,
    /// Head that was known before: the result of `banyan audit head --json`
    #[arg(long, value_name = "HEAD", value_parser = path_parser())]
    head: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What verifying has found.
#[derive(Debug, Serialize)]
struct Verdict {
    /// How many rows the file has.
    rows: u64,
    /// The head that the server signed.
    head: Option<TreeHead>,
    /// Whether a head that was known before was compared.
    compared: bool,
    /// What is wrong with the file; empty: nothing.
    findings: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || format!("verify {}", args.file.display());
    let failure = |cause: String| Failure::new(action(), cause, "name a file that `banyan audit export` wrote");
    let text = fs::read_to_string(&args.file).map_err(|error| failure(format!("cannot read it: {error}")))?;
    let known = match &args.head {
        Some(path) => Some(known_head::read(path)),
        None => known_head::remembered(given).transpose(),
    };
    let known = known.transpose().map_err(failure)?;
    let verdict = verify(&text, known.as_ref());
    args.output.print(&verdict, format_verdict)?;
    if verdict.findings.is_empty() && !verdict.compared {
        print_note(
            "no earlier head was compared: pass --head, or use `banyan audit head` with the server's profile now and then",
        );
    }
    Ok(if verdict.findings.is_empty() { Exit::Success } else { Exit::Failed })
}

fn format_verdict(verdict: &Verdict) -> String {
    let rows = format_count(usize::try_from(verdict.rows).unwrap_or(usize::MAX), "row");
    if verdict.findings.is_empty() {
        let signed = verdict.head.as_ref().map(|head| format!(", signed {}", format_time(head.at))).unwrap_or_default();
        return format!("whole: {rows}{signed}");
    }
    let mut text = format!("NOT WHOLE: {rows} in the file\n");
    verdict.findings.iter().for_each(|finding| text += &format!("- {finding}\n"));
    text
}

/// The rows of a file, with the hashes that they should have and have.
#[derive(Default)]
struct Rows {
    stated: Vec<TreeHash>,
    found: Vec<TreeHash>,
}

/// Reads the line of a row: the hash that it was recorded with, and its text.
fn split_line(line: &str) -> Option<(TreeHash, &str)> {
    let (leaf, row) = line.strip_prefix("{\"leaf\":\"")?.split_once("\",\"row\":")?;
    Some((TreeHash::try_from(leaf.to_owned()).ok()?, row.strip_suffix('}')?))
}

fn read_rows<'a>(lines: impl Iterator<Item = &'a str>, findings: &mut Vec<String>) -> Rows {
    let mut rows = Rows::default();
    let mut wrong = Vec::new();
    for (place, line) in (0_u64..).zip(lines) {
        let Some((stated, text)) = split_line(line) else {
            wrong.push(format!("line {} is not a row", place + 2));
            continue;
        };
        let found = merkle::leaf(text.as_bytes());
        match serde_json::from_str::<AuditEntry>(text) {
            _ if found != stated => wrong.push(format!("row {place} was edited: its text does not have its hash")),
            Ok(entry) if entry.number != place => {
                wrong.push(format!(
                    "row {} stands where row {place} should be: rows were removed or moved",
                    entry.number
                ));
            }
            Ok(_) => {}
            Err(error) => wrong.push(format!("row {place} cannot be read: {error}")),
        }
        rows.stated.push(stated);
        rows.found.push(found);
    }
    let more = wrong.len().saturating_sub(MAX_NAMED);
    findings.extend(wrong.into_iter().take(MAX_NAMED));
    if more > 0 {
        findings.push(format!("and {more} more rows"));
    }
    rows
}

/// Verifies an exported log. `known` is a head that was known before.
fn verify(text: &str, known: Option<&KnownHead>) -> Verdict {
    let mut findings = Vec::new();
    let mut lines = text.lines();
    let header = format::read::<ExportHeader>(lines.next().unwrap_or_default().as_bytes());
    let rows = read_rows(lines, &mut findings);
    let count = rows.found.len() as u64;
    let head = match &header {
        Err(error) => {
            findings.push(format!("the first line has no signed head: {error}"));
            None
        }
        // The keys that were known before: whoever signs a log anew has others.
        Ok(header) => match header.head.verify(known.map_or(&header.keys, |known| &known.keys)) {
            Ok(head) => Some(head),
            Err(error) => {
                findings.push(format!("its head is not signed by the server: {error}"));
                None
            }
        },
    };
    if let Some(head) = &head {
        check_head(&rows, head, &mut findings);
    }
    if let Some(known) = known {
        match known.head.verify(&known.keys) {
            Ok(old) => check_known(&rows.found, head.as_ref(), &old, &mut findings),
            Err(error) => findings.push(format!("the head that was known before is damaged: {error}")),
        }
    }
    Verdict { rows: count, head, compared: known.is_some(), findings }
}

/// Checks the rows against the head that was exported with them.
fn check_head(rows: &Rows, head: &TreeHead, findings: &mut Vec<String>) {
    let count = rows.found.len() as u64;
    match count {
        0 if head.size > 0 => findings.push(format!("all {} rows are missing", head.size)),
        _ if count < head.size => {
            let missing = head.size - count;
            findings
                .push(format!("{missing} of {} rows are missing; unless others are named, the last ones", head.size));
        }
        _ if count > head.size => {
            findings.push(format!("the server signed {} rows, and {} more follow", head.size, count - head.size));
        }
        // Where single rows were edited, the hashes that they should have show that the others are whole.
        _ if merkle::root(&rows.stated) != head.root => {
            findings.push("the rows are not those that the server signed: the log was hashed anew".into());
        }
        _ => {}
    }
}

/// Checks the rows against a head that was known before.
fn check_known(found: &[TreeHash], head: Option<&TreeHead>, old: &TreeHead, findings: &mut Vec<String>) {
    if head.is_some_and(|head| head.server != old.server) {
        findings.push("the log belongs to another server than the head that was known before".into());
        return;
    }
    let at = format_time(old.at);
    let begins = usize::try_from(old.size).ok().and_then(|size| found.get(..size));
    match begins {
        None => findings.push(format!(
            "the log had {} rows on {at}, and the file has {}: it is older, or rows were cut off (to verify an old export, \
             pass a head of its time with --head)",
            old.size,
            found.len()
        )),
        Some(begins) if merkle::root(begins) != old.root => {
            findings.push(format!("its first {} rows are not those that the log had on {at}", old.size));
        }
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::audit::export::write_row;
    use banyan_proto::{
        MachineId, SigningKey, UnixSeconds,
        audit::{Actor, AuditResult, HashedRow},
        signed::KeyRing,
    };

    struct Log {
        key: SigningKey,
        rows: Vec<HashedRow>,
    }

    impl Log {
        fn new(rows: u64) -> Self {
            let row = |number| {
                let entry = AuditEntry {
                    number,
                    at: UnixSeconds(number),
                    actor: Actor::System { part: "test".into() },
                    from: None,
                    action: "deploy".into(),
                    object: format!("deployment:{number}"),
                    result: AuditResult::Done,
                    reason: None,
                    before: None,
                    after: None,
                };
                let entry = serde_json::to_string(&entry).unwrap();
                HashedRow { leaf: merkle::leaf(entry.as_bytes()), entry }
            };
            Self { key: SigningKey::generate().0, rows: (0..rows).map(row).collect() }
        }
        fn known(&self, size: usize) -> KnownHead {
            let leaves: Vec<TreeHash> = self.rows[..size].iter().map(|row| row.leaf).collect();
            let head = TreeHead {
                server: MachineId([1; 16]),
                size: size as u64,
                root: merkle::root(&leaves),
                at: UnixSeconds(1_800_000_000),
            };
            KnownHead { head: self.key.sign(&head), keys: KeyRing(vec![self.key.public()]) }
        }
        /// Exports these rows with the head of the first `signed` rows.
        fn export(&self, rows: &[HashedRow], signed: usize) -> String {
            let KnownHead { head, keys } = self.known(signed);
            let header = format::write(&ExportHeader { exported: UnixSeconds(1), head, keys });
            let mut file = format!("{header}\n").into_bytes();
            rows.iter().for_each(|row| write_row(&mut file, row).unwrap());
            String::from_utf8(file).unwrap()
        }
    }

    fn found(file: &str, known: Option<&KnownHead>) -> String {
        verify(file, known).findings.join("; ")
    }

    #[test]
    fn a_whole_log_is_whole() {
        let log = Log::new(12);
        for size in [0, 1, 7, 12] {
            let verdict = verify(&log.export(&log.rows, 12), Some(&log.known(size)));
            assert!(verdict.findings.is_empty() && verdict.rows == 12, "{:?}", verdict.findings);
        }
        assert_eq!(found(&log.export(&log.rows, 12), None), "");
        assert_eq!(found(&log.export(&[], 0), None), "");
    }

    #[test]
    fn each_way_to_change_a_log_is_named() {
        let log = Log::new(12);
        let named = |file: &str, known: Option<&KnownHead>, what: &str| {
            let findings = found(file, known);
            assert!(findings.contains(what), "{what:?} in {findings:?}");
        };
        // The last five, and all.
        named(&log.export(&log.rows[..7], 12), None, "5 of 12 rows are missing");
        named(&log.export(&[], 12), None, "all 12 rows are missing");
        // One edited: only this one is named.
        let mut edited = log.rows.clone();
        edited[4].entry = edited[4].entry.replace("deployment:4", "deployment:0");
        let file = log.export(&edited, 12);
        named(&file, None, "row 4 was edited");
        assert_eq!(verify(&file, None).findings.len(), 1);
        // The same, with the hashes made to fit.
        edited[4].leaf = merkle::leaf(edited[4].entry.as_bytes());
        named(&log.export(&edited, 12), None, "the log was hashed anew");
        // The same, signed anew: only a head or key that was known before shows it.
        let forged = Log { key: SigningKey::generate().0, rows: edited };
        let file = forged.export(&forged.rows, 12);
        assert_eq!(found(&file, None), "");
        named(&file, Some(&log.known(9)), "not signed by the server");
        named(&file, Some(&log.known(9)), "first 9 rows are not those that the log had");
        // A server that signs a changed log with its own key.
        let Log { key, .. } = Log { key: SigningKey::generate().0, rows: vec![] };
        let (honest, cut) = (Log { key, rows: log.rows.clone() }, 7);
        let known = honest.known(12);
        named(&honest.export(&honest.rows[..cut], cut), Some(&known), "it is older, or rows were cut off");
        // Yesterday's file.
        named(&honest.export(&honest.rows[..cut], cut), Some(&known), "the log had 12 rows on 2027-01-15");
        // One removed from the middle, and rows that nobody signed.
        let mut without = log.rows.clone();
        without.remove(3);
        named(&log.export(&without, 12), None, "row 4 stands where row 3 should be");
        named(&log.export(&log.rows, 9), None, "the server signed 9 rows, and 3 more follow");
        named("", None, "no signed head");
        named("{}\nnonsense\n", None, "line 2 is not a row");
    }
}
