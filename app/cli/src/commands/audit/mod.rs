//! `banyan audit`: reads the audit log, exports it, and verifies an exported log without the server.
//!
//! Each command that asks the server also checks that its log begins with what it was at the last check
//! ([`known_head`]).

mod export;
mod known_head;
mod verify;

use crate::{
    api_client::AuditQuery,
    commands::{connect, machines::csv},
    duration,
    output::{Exit, Failure, OutputArgs, WithContext as _, format_table, print_json, print_note, print_text},
    profile::ProfileArg,
};
use banyan_proto::{
    UnixSeconds, arguments,
    audit::{Actor, AuditEntry, AuditResult},
};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use std::path::PathBuf;

/// See who changed what, export the audit log, or verify an exported one
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  \
                  banyan audit list --since 7d\n  \
                  banyan audit list --actor anna --csv > anna.csv\n  \
                  # The whole log, to keep elsewhere\n  \
                  banyan audit export audit-2026-12.jsonl\n  \
                  # Without the server: was anything changed or cut off?\n  \
                  banyan audit verify audit-2026-12.jsonl\n\n\
                  This computer remembers the newest head of each server's log, beside the\n\
                  profile, and checks at each use that the log begins with what it was then.",
    arg_required_else_help = true
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Export(export::ExportArgs),
    Verify(verify::VerifyArgs),
    Head(HeadArgs),
}

/// List rows of the audit log, the newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan audit list\n  \
    banyan audit list --actor anna --since 2026-11-01\n  \
    banyan audit list --object 'machine:till-3*' --json\n  \
    # What the server decided by itself, and what it refused\n  \
    banyan audit list --actor system:gate\n  \
    banyan audit list --result refused --since 24h")]
struct ListArgs {
    /// Who did it: a person, or `system:` and a part of the server
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// What it was done to; with * at the end, the beginning of that
    #[arg(long, value_name = "OBJECT")]
    object: Option<String>,
    /// What was done, such as deploy
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// What became of it: done, refused or failed
    #[arg(long, value_name = "RESULT", value_parser = parse_result)]
    result: Option<AuditResult>,
    /// Not older than this: 7d, or a date such as 2026-11-01
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<UnixSeconds>,
    /// Older than this: 7d, or a date such as 2026-12-01
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<UnixSeconds>,
    /// At most this many rows; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    /// Print a table for spreadsheets
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Check the server's log against the head that this computer remembers, and print the newest head
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan audit head\n  \
    # Keep a head where nobody who administers the server can change it\n  \
    banyan audit head --json > head.json\n  \
    # After the server was restored from a backup\n  \
    banyan audit head --replace")]
struct HeadArgs {
    /// Remember the newest head although the log does not begin with what it was
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    output: OutputArgs,
}

fn parse_result(text: &str) -> Result<AuditResult, String> {
    serde_json::from_value(text.into()).map_err(|_| format!("{text:?} is not done, refused or failed"))
}

/// Parses a time: how long ago, or a date, or a date and time of this computer's time zone.
fn parse_time(text: &str) -> Result<UnixSeconds, String> {
    if let Ok(ago) = duration::parse(text) {
        return Ok(UnixSeconds(UnixSeconds::now().0.saturating_sub(ago.as_secs())));
    }
    let zoned = text.parse::<jiff::civil::DateTime>().and_then(|time| time.to_zoned(jiff::tz::TimeZone::system()));
    let seconds = zoned.map(|time| time.timestamp().as_second()).ok().and_then(|seconds| u64::try_from(seconds).ok());
    seconds
        .map(UnixSeconds)
        .ok_or_else(|| format!("{text:?} is neither a duration such as 7d nor a date such as 2026-11-01"))
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        Command::List(args) => list(args, given).await,
        Command::Export(args) => export::run(args, given).await,
        Command::Verify(args) => verify::run(args, given),
        Command::Head(args) => head(args, given).await,
    }
}

async fn list(args: &ListArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "list the audit log".to_owned();
    let client = connect(given, action)?;
    known_head::check(&client, given, false).await?;
    let query = AuditQuery {
        actor: args.actor.clone(),
        object: args.object.clone(),
        action: args.action.clone(),
        result: args.result,
        since: args.since,
        until: args.until,
    };
    let most = if args.limit == 0 { u64::MAX } else { args.limit };
    let (mut entries, mut before) = (Vec::new(), None);
    while (entries.len() as u64) < most {
        let page = client.audit(&query, before, most - entries.len() as u64).await.with_context(action)?;
        entries.extend(page.entries);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    if args.csv {
        print_text(&format_csv(&entries))?;
    } else {
        args.output.print(&entries, |entries| format_entries(entries))?;
    }
    if before.is_some() && !args.output.json {
        print_note(&format!("the newest {} rows; --limit shows more", entries.len()));
    }
    Ok(Exit::Success)
}

async fn head(args: &HeadArgs, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "check the audit log".to_owned();
    let client = connect(given, action)?;
    let (known, head) = known_head::check(&client, given, args.replace).await?;
    if args.output.json {
        print_json(&known)?;
    } else {
        print_text(&format!("{} rows, root {}, signed {}", head.size, head.root, format_time(head.at)))?;
    }
    Ok(Exit::Success)
}

fn format_time(at: UnixSeconds) -> String {
    let seconds = i64::try_from(at.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

fn format_result(entry: &AuditEntry) -> String {
    let result = match entry.result {
        AuditResult::Done => "done",
        AuditResult::Refused => "refused",
        AuditResult::Failed => "failed",
    };
    entry.reason.map_or_else(|| result.to_owned(), |reason| format!("{result} ({})", reason.code()))
}

fn format_entries(entries: &[AuditEntry]) -> String {
    if entries.is_empty() {
        return "no rows".into();
    }
    let mut rows = vec![["ROW", "TIME", "ACTOR", "FROM", "ACTION", "OBJECT", "RESULT"].map(str::to_owned).to_vec()];
    rows.extend(entries.iter().map(|entry| {
        vec![
            entry.number.to_string(),
            format_time(entry.at),
            entry.actor.name(),
            entry.from.map_or_else(|| "-".into(), |from| from.to_string()),
            entry.action.clone(),
            entry.object.clone(),
            format_result(entry),
        ]
    }));
    format_table(&rows)
}

fn format_csv(entries: &[AuditEntry]) -> String {
    let header = ["row", "time", "actor", "token", "role", "from", "action", "object", "result", "before", "after"];
    let mut text = csv::MARK.to_string() + &csv::format_line(header.map(str::to_owned));
    for entry in entries {
        let (token, role) = match &entry.actor {
            Actor::Person { token, role, .. } => (token.clone(), role.to_string()),
            Actor::System { .. } => Default::default(),
        };
        let value = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string).unwrap_or_default();
        text += &csv::format_line([
            entry.number.to_string(),
            format_time(entry.at),
            entry.actor.name(),
            token,
            role,
            entry.from.map(|from| from.to_string()).unwrap_or_default(),
            entry.action.clone(),
            entry.object.clone(),
            format_result(entry),
            value(&entry.before),
            value(&entry.after),
        ]);
    }
    text
}

/// Parses a path on the command line.
fn path_parser() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(arguments::into_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{Reason, access::Role};

    fn entry(actor: Actor) -> AuditEntry {
        AuditEntry {
            number: 7,
            at: UnixSeconds(1_800_000_000),
            actor,
            from: Some([10, 0, 0, 1].into()),
            action: "deploy".into(),
            object: "=1+1".into(),
            result: AuditResult::Refused,
            reason: Some(Reason::NotAllowed),
            before: None,
            after: Some(serde_json::json!({ "a": 1 })),
        }
    }

    #[test]
    fn rows_are_shown_with_actor_and_result_and_no_cell_is_a_formula() {
        let anna = Actor::Person { person: "anna".into(), token_id: 1, token: "laptop".into(), role: Role::Viewer };
        let entries = [entry(anna), entry(Actor::System { part: "gate".into() })];
        let text = format_entries(&entries);
        assert!(
            text.contains("anna") && text.contains("system:gate") && text.contains("refused (not-allowed)"),
            "{text}"
        );
        let table = format_csv(&entries);
        assert!(table.contains(",anna,laptop,viewer,10.0.0.1,deploy,'=1+1,refused (not-allowed),,"), "{table}");
        assert!(table.contains(r#""{""a"":1}""#), "{table}");
    }

    #[test]
    fn times_are_durations_or_dates() {
        assert!(parse_time("7d").unwrap() < UnixSeconds::now());
        assert!(parse_time("2026-11-01").is_ok() && parse_time("2026-11-01T12:30:00").is_ok());
        assert!(parse_time("yesterday").is_err() && parse_result("maybe").is_err());
        assert_eq!(parse_result("refused"), Ok(AuditResult::Refused));
    }
}
