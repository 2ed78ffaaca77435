//! `banyan machines`: lists the enrolled machines or those of a filter, shows one, revokes one, or readmits a quarantined
//! one. `edit` changes names, groups and tags, and `import` takes them from a CSV file.

pub(crate) mod csv;
mod edit;
mod import;

use crate::{
    api_client::ApiClient,
    commands::{connect, resolve, selection},
    output::{
        Exit, Failure, OutputArgs, WithContext as _, format_age, format_count, format_table, print_json, print_note,
        print_text, sanitise,
    },
    profile::ProfileArg,
};
use banyan_proto::{
    KnownRate, MachineId, MeasuredRate, Reach, Reason, UnixSeconds,
    admin::{Machine, SuspiciousEvent},
    format_size,
};
use serde::Serialize;

/// List the enrolled machines, show or change them
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
                  # Which machines are enrolled and online\n  \
                  banyan machines\n  \
                  # For scripts, and for a spreadsheet\n  \
                  banyan machines --json\n  \
                  banyan machines --csv > machines.csv\n  \
                  # Those of a filter, and those of which not enough is known\n  \
                  banyan machines --where 'os = linux and seen > 7d'\n  \
                  banyan machines --where 'receives < 5Mbit/s' --unknown\n  \
                  # Tags, groups and names\n  \
                  banyan machines tag 'group:lab and name = till-*' exam\n  \
                  banyan machines rename till-3 kiosk\n  \
                  # One machine, and what the server noticed about it\n  \
                  banyan machines show till-3\n  \
                  # Cut a machine off: no other machine connects to it any more\n  \
                  banyan machines revoke till-3\n  \
                  # Readmit a machine whose disk had been cloned\n  \
                  banyan machines readmit till-3"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only machines for which this filter says yes
    ///
    /// Such as `os = linux and tag:lab and not site = branch`. Machines of which not enough is known are left out, and
    /// counted.
    #[arg(long = "where", value_name = "FILTER", value_parser = selection::parse_filter)]
    filter: Option<String>,
    /// Instead, only machines for which the filter has no answer, because not enough is known of them
    #[arg(long, requires = "filter")]
    unknown: bool,
    /// Print CSV for a spreadsheet
    ///
    /// `banyan machines import` reads it. A quote goes before texts that a spreadsheet would take for a formula.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Tag(edit::TagArgs),
    Untag(edit::UntagArgs),
    Group(edit::GroupArgs),
    Ungroup(edit::UngroupArgs),
    Rename(edit::RenameArgs),
    Import(import::ImportArgs),
    Show(ShowArgs),
    Revoke(RevokeArgs),
    Readmit(ReadmitArgs),
}

/// Show one machine, and suspicious events about it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines show till-3\n  \
    banyan machines show 1f3a90c2 --json\n\n\
    A suspicious event means that a machine, or one above it in the tree, may be\n\
    hostile, damaged or misconfigured. The server keeps events for 180 days.")]
pub(crate) struct ShowArgs {
    /// Machine: its name, or the first digits of its id
    machine: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Readmit a machine quarantined because two computers used its identity
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    banyan machines readmit till-3\n\n\
    First make sure that only one computer has the identity. On the other one (the\n\
    clone), stop the agent, empty its data folder and enrol it with a new join code.\n\
    If both still run, the identity is quarantined again at once.")]
pub(crate) struct ReadmitArgs {
    /// Machine: its name, or the first digits of its id
    machine: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Revoke a machine's certificate; it is cut off within a minute
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines revoke till-3\n  \
    banyan machines revoke 1f3a90c2\n\n\
    This cannot be undone. To restore a machine revoked by mistake, enrol it again\n\
    with a new join code.")]
pub(crate) struct RevokeArgs {
    /// Machine: its name, or the first digits of its id
    machine: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// The JSON result of `show`.
#[derive(Debug, Serialize)]
struct ShownMachine {
    machine: Machine,
    /// Newest first.
    suspicions: Vec<SuspiciousEvent>,
}

/// The JSON result of `revoke`.
#[derive(Debug, Serialize)]
struct RevokeResult {
    revoked: MachineId,
}

/// The JSON result of `readmit`.
#[derive(Debug, Serialize)]
struct ReadmitResult {
    readmitted: MachineId,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    match &args.command {
        None => {
            let action = || "list the machines".to_owned();
            let client = connect(profile, action)?;
            let (mut machines, unknown) = match &args.filter {
                Some(filter) => client.matching_machines(filter, args.unknown).await.with_context(action)?,
                None => (client.machines().await.with_context(action)?, 0),
            };
            machines.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
            if unknown > 0 && !args.unknown {
                print_note(&format!(
                    "{} left out, because what the filter asks for is not known of them; --unknown lists them",
                    format_count(unknown, "machine")
                ));
            }
            let now = UnixSeconds::now();
            if args.csv {
                print_text(&csv::format_machines(&machines, now))?;
            } else if args.filter.is_some() && machines.is_empty() && !args.output.json {
                print_note("no machines");
            } else {
                args.output.print(&machines, |machines| format_machines(machines, now))?;
            }
        }
        Some(Command::Tag(args)) => edit::tag(args, profile).await?,
        Some(Command::Untag(args)) => edit::untag(args, profile).await?,
        Some(Command::Group(args)) => edit::group(args, profile).await?,
        Some(Command::Ungroup(args)) => edit::ungroup(args, profile).await?,
        Some(Command::Rename(args)) => edit::rename(args, profile).await?,
        Some(Command::Import(args)) => return import::run(args, profile).await,
        Some(Command::Show(args)) => {
            let action = || format!("show {:?}", args.machine);
            let client = connect(profile, action)?;
            let all = client.machines().await.with_context(action)?;
            let id = resolve_machine(&all, &args.machine, action)?;
            let mut suspicions = client.suspicions().await.with_context(action)?;
            suspicions.retain(|event| event.machine == Some(id));
            // The name was resolved to one of them.
            for machine in all.into_iter().filter(|machine| machine.id == id) {
                let shown = ShownMachine { machine, suspicions: suspicions.clone() };
                args.output.print(&shown, |shown| format_machine(shown, UnixSeconds::now()))?;
            }
        }
        Some(Command::Revoke(args)) => {
            let action = || format!("revoke {:?}", args.machine);
            let client = connect(profile, action)?;
            let id = find_machine(&client, &args.machine, action).await?;
            client.revoke(id).await.with_context(action)?;
            if args.output.json {
                print_json(&RevokeResult { revoked: id })
                    .map_err(|failure| failure.after_success("the machine is revoked", SEE_MACHINES))?;
            }
            print_note(&format!("revoked {id}; it is cut off within a minute"));
        }
        Some(Command::Readmit(args)) => {
            let action = || format!("readmit {:?}", args.machine);
            let client = connect(profile, action)?;
            let id = find_machine(&client, &args.machine, action).await?;
            client.readmit(id).await.with_context(action)?;
            if args.output.json {
                print_json(&ReadmitResult { readmitted: id })
                    .map_err(|failure| failure.after_success("the machine is readmitted", SEE_MACHINES))?;
            }
            print_note(&format!(
                "readmitted {id}; if two computers still use the identity, it is quarantined again at once"
            ));
        }
    }
    Ok(Exit::Success)
}

/// How to see what became of a machine.
const SEE_MACHINES: &str = "see it with `banyan machines`";

/// Finds the machine with this name or id.
pub(crate) async fn find_machine(
    client: &ApiClient,
    name: &str,
    action: impl Fn() -> String,
) -> Result<MachineId, Failure> {
    let all = client.machines().await.with_context(&action)?;
    resolve_machine(&all, name, action)
}

fn resolve_machine(all: &[Machine], name: &str, action: impl Fn() -> String) -> Result<MachineId, Failure> {
    resolve::resolve_machine(all, name)
        .map_err(|wrong| Failure::new(action(), wrong, "use the machine's id; `banyan machines` lists all machines"))
}

/// A difference between a machine's clock and the server's that is shown (seconds).
const CLOCKS_WRONG: u64 = 300;

fn format_machines(machines: &[Machine], now: UnixSeconds) -> String {
    if machines.is_empty() {
        return "no machines yet; create a join code with `banyan tokens create`".into();
    }
    let mut rows = vec![
        ["LABEL", "ID", "GROUPS", "TAGS", "PLATFORM", "SEEN", "ADDRESSES", "SOFTWARE"].map(str::to_owned).to_vec(),
    ];
    for machine in machines {
        let seen = describe_presence(machine, now);
        let addresses: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
        rows.push(vec![
            machine.label.clone(),
            machine.id.short(),
            or_dash(groups_of(machine)),
            or_dash(&machine.tags),
            machine.platform.clone(),
            seen,
            addresses.join(" "),
            machine.software.clone(),
        ]);
    }
    let aside = machines.iter().filter_map(|machine| Some((machine, machine.out.filter(|_| !machine.revoked)?)));
    std::iter::once(format_table(&rows))
        .chain(aside.map(|(machine, reason)| describe_quarantine(machine, reason)))
        .collect()
}

/// Returns a machine's groups. An older server names one only.
fn groups_of(machine: &Machine) -> &[String] {
    if machine.groups.is_empty() { machine.group.as_slice() } else { &machine.groups }
}

fn or_dash(names: &[String]) -> String {
    if names.is_empty() { "-".into() } else { selection::join_names(names) }
}

/// Says whether a machine is online, or why it takes no part.
fn describe_presence(machine: &Machine, now: UnixSeconds) -> String {
    match machine {
        Machine { replaced_by: Some(new), .. } => format!("replaced by {}", new.short()),
        Machine { revoked: true, .. } => "revoked".into(),
        Machine { out: Some(_), .. } => "quarantined".into(),
        Machine { online: true, clock_ahead: Some(ahead), .. } if ahead.unsigned_abs() >= CLOCKS_WRONG => {
            "online, clock wrong".into()
        }
        Machine { online: true, .. } => "online".into(),
        Machine { seen, .. } => format_age(now.0.saturating_sub(seen.0)),
    }
}

/// Says who can connect to a machine.
fn describe_reach(reach: Option<Reach>) -> &'static str {
    match reach {
        None => "not tried yet",
        Some(Reach::Everyone) => "all machines",
        Some(Reach::OwnSite) => "machines of its own site",
        Some(Reach::Nobody) => "no machine; it connects to others itself",
    }
}

/// Formats one machine and the suspicious events about it.
fn format_machine(shown: &ShownMachine, now: UnixSeconds) -> String {
    let ShownMachine { machine, suspicions } = shown;
    let addresses: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut text = format_table(&[
        row(
            "label",
            match &machine.reported_label {
                Some(reported) => format!("{} (the machine reports {reported})", machine.label),
                None => machine.label.clone(),
            },
        ),
        row("id", machine.id.to_string()),
        row("groups", or_dash(groups_of(machine))),
        row("tags", or_dash(&machine.tags)),
        row("platform", machine.platform.clone()),
        row("seen", describe_presence(machine, now)),
        row("addresses", addresses.join(" ")),
        row("software", machine.software.clone()),
        row("receives", describe_rate(machine.rates.down, now)),
        row("sends", describe_rate(machine.rates.up, now)),
        row("can be reached by", describe_reach(machine.reach).into()),
    ]);
    if let Some(reason) = machine.out.filter(|_| !machine.revoked) {
        text += &describe_quarantine(machine, reason);
    }
    if suspicions.is_empty() {
        return text + "\nno suspicious events about it\n";
    }
    text += &format!("\n{} about it, newest first:\n", format_count(suspicions.len(), "suspicious event"));
    for SuspiciousEvent { at, deployment, reason, detail, .. } in suspicions {
        let age = format_age(now.0.saturating_sub(at.0));
        let of = deployment.map_or(String::new(), |id| format!(", deployment {}", id.short()));
        let texts = reason.for_admin();
        let detail = banyan_proto::text::without_repeats(detail, &[texts.what, texts.advice]);
        let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
        text += &sanitise(&format!("  {age}{of}: {reason}{detail}\n      next: {}\n", texts.advice));
    }
    text
}

/// Says what a link carries in one direction, and when that was measured.
fn describe_rate(known: Option<KnownRate>, now: UnixSeconds) -> String {
    let Some(KnownRate { rate: MeasuredRate { at_least, at_most, is_rough }, measured }) = known else {
        return "not measured yet".into();
    };
    let age = format_age(now.0.saturating_sub(measured.0));
    if is_rough {
        let precision = if at_most.is_some() { "about" } else { "at least" };
        return format!("{precision} {}/s, checked {age}", format_size(at_least));
    }
    let rate = match at_most {
        Some(most) if most <= at_least => format!("{}/s", format_size(most)),
        Some(most) => format!("{} to {}/s", format_size(at_least), format_size(most)),
        None => format!("at least {}/s", format_size(at_least)),
    };
    format!("{rate}, measured {age}")
}

/// Formats why a machine is quarantined and how to readmit it.
fn describe_quarantine(machine: &Machine, reason: Reason) -> String {
    let (id, next) = (machine.id.short(), reason.for_admin().advice);
    let label = sanitise(&machine.label);
    format!("\n{label} ({id}) is quarantined: {} [{}]\n  next: {next}\n", reason.for_admin().what, reason.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{test_args::parse, test_machine::machine};
    use banyan_proto::KnownRates;

    #[test]
    fn the_list_says_who_is_there() {
        let machine = Machine {
            addresses: vec!["10.0.0.7:7701".parse().unwrap()],
            seen: UnixSeconds(100),
            online: false,
            ..machine(1, "desk")
        };
        let changed = [
            Machine { revoked: true, out: Some(Reason::Revoked), online: true, ..machine.clone() },
            Machine {
                revoked: true,
                out: Some(Reason::Retired),
                replaced_by: Some(MachineId([2; 16])),
                ..machine.clone()
            },
            Machine { out: Some(Reason::Cloned), online: true, ..machine.clone() },
        ];
        let all: Vec<Machine> = [machine].into_iter().chain(changed).collect();
        let text = format_machines(&all, UnixSeconds(160));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("desk   01010101  -") && lines[1].contains("60 s ago"), "{text}");
        assert!(lines[2].contains("revoked") && !lines[2].contains("online"), "{text}");
        assert!(lines[3].contains("replaced by 02020202"), "{text}");
        assert!(lines[4].contains("quarantined") && !lines[4].contains("online"), "{text}");
        assert!(
            text.contains("[cloned]") && text.contains("next: ") && text.contains("banyan machines readmit"),
            "{text}"
        );
        assert_eq!(text.matches("next: ").count(), 1, "{text}");
        assert!(format_machines(&[], UnixSeconds(0)).contains("tokens create"));
    }

    #[test]
    fn one_machine_is_shown_with_what_was_noticed_about_it() {
        let event = SuspiciousEvent {
            at: UnixSeconds(40),
            machine: Some(MachineId([1; 16])),
            deployment: None,
            reason: Reason::CodeWrong,
            detail: "on the way from \u{1b}[31mserver".into(),
        };
        let mut shown = ShownMachine { machine: machine(1, "desk"), suspicions: vec![event] };
        let text = format_machine(&shown, UnixSeconds(100));
        assert!(text.contains("1 suspicious event about it") && text.contains("  60 s ago: "), "{text}");
        assert!(text.contains("(code-wrong): on the way") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("receives") && text.contains("not measured yet"), "{text}");
        let known = |at_most, is_rough| KnownRate {
            rate: MeasuredRate { at_least: 2_500_000, at_most, is_rough },
            measured: UnixSeconds(40),
        };
        let most = Some(2_500_000);
        shown.machine.rates = KnownRates { down: Some(known(most, false)), up: Some(known(None, false)) };
        let text = format_machine(&shown, UnixSeconds(100));
        assert!(text.contains("2.5 MB/s, measured 60 s ago") && text.contains("at least 2.5 MB/s"), "{text}");
        shown.machine.rates.down = Some(known(most, true));
        let text = format_machine(&shown, UnixSeconds(100));
        assert!(text.contains("about 2.5 MB/s, checked 60 s ago"), "{text}");
        assert!(text.contains("not tried yet"), "{text}");
        shown.machine.reach = Some(Reach::Nobody);
        assert!(format_machine(&shown, UnixSeconds(100)).contains("it connects to others itself"), "{text}");
        shown.suspicions.clear();
        shown.machine.out = Some(Reason::Cloned);
        let text = format_machine(&shown, UnixSeconds(100));
        assert!(text.contains("no suspicious events") && text.contains("[cloned]"), "{text}");
    }

    #[test]
    fn arguments() {
        assert!(parse::<Args>("--json").unwrap().output.json);
        assert!(
            matches!(parse::<Args>("revoke desk").unwrap().command, Some(Command::Revoke(args)) if args.machine == "desk")
        );
        assert!(
            matches!(parse::<Args>("readmit desk").unwrap().command, Some(Command::Readmit(args)) if args.machine == "desk")
        );
        assert!(parse::<Args>("revoke").is_err());
    }
}
