//! `banyan events`: what happens on the server, as it happens.

use crate::{
    commands::connect,
    output::{Exit, Failure, WithContext as _, print_note, print_text, sanitise},
    profile::ProfileArg,
};
use banyan_proto::server_events::ServerEvent;
use std::time::Duration;

/// How long to wait before connecting again.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// Print what happens, as it happens, until interrupted
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan events\n  \
    # For programs: one JSON object a line, beginning after the event seen last\n  \
    banyan events --json --after 1207\n\n\
    The connection is made again when it is lost, without missing events. If some are\n\
    no longer kept, a note on standard error says so.")]
pub(crate) struct Args {
    /// Number of the last event seen: first print what came after it [default: only new ones]
    #[arg(long, value_name = "EVENT")]
    after: Option<u64>,
    /// End after this many events [default: no end]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print each event as a JSON object on a line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args, given: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "read the server's events".to_owned();
    let client = connect(given, action)?;
    let (mut last, mut printed) = (args.after, 0);
    let mut is_first = true;
    loop {
        let mut stream = match client.events(last).await {
            Ok(stream) => stream,
            Err(error) if is_first || !error.is_temporary() => return Err(error).with_context(action),
            Err(_) => {
                tokio::time::sleep(RECONNECT_AFTER).await;
                continue;
            }
        };
        is_first = false;
        while let Some(message) = stream.next().await {
            last = message.id.or(last);
            if message.name == "resync" {
                print_note("some events are no longer kept; what follows begins later");
                continue;
            }
            let Ok(event) = serde_json::from_str::<ServerEvent>(&message.data) else { continue };
            let line = if args.json { format!("{}\n", message.data) } else { format_event(&event) };
            print_text(&line)?;
            printed += 1;
            if args.count == Some(printed) {
                return Ok(Exit::Success);
            }
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

fn format_event(event: &ServerEvent) -> String {
    let seconds = i64::try_from(event.at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let mut line = format!("{at}  {:<20}", event.kind.name());
    if let Some(package) = &event.package {
        line += &format!("  {} {}", sanitise(package), sanitise(event.version.as_deref().unwrap_or("")));
    }
    if let Some(deployment) = event.deployment {
        line += &format!("  {}", deployment.short());
    }
    if let Some(label) = &event.label {
        line += &format!("  {}", sanitise(label));
    }
    if let Some(reason) = event.reason {
        line += &format!("  {}", reason.code());
    }
    if let Some(detail) = event.detail.lines().next() {
        line += &format!("  {}", sanitise(detail));
    }
    line + "\n"
}
