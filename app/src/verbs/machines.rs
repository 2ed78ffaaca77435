//! `banyan machines`: who is enrolled, and taking a machine off for good.

use super::{connect, which};
use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{Json, ago, json_line, say, table},
    profile::ProfileArg,
};
use banyan_proto::{UnixSeconds, admin::Machine};
use serde::Serialize;

/// List the enrolled machines, or revoke one
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
    banyan machines                    who is enrolled and who is online\n  \
    banyan machines --json             for scripts\n  \
    banyan machines revoke till-3      take one off: no other machine speaks to it any more"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    json: Json,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Revoke(RevokeArgs),
}

/// Revoke a machine's certificate: within a minute nobody speaks to it any more
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan machines revoke till-3\n  \
    banyan machines revoke 1f3a90c2\n\n\
    It cannot be taken back; a machine revoked by mistake is enrolled again with a new join code.")]
pub(crate) struct RevokeArgs {
    /// The machine: its label, or the first digits of its id
    machine: String,
    #[command(flatten)]
    json: Json,
}

/// The answer to scripts.
#[derive(Debug, Serialize)]
struct Revoked {
    revoked: banyan_proto::MachineId,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    match &args.verb {
        None => {
            let tried = || "list the machines".to_owned();
            let mut machines = connect(profile, tried)?.machines().await.tried(tried)?;
            machines.sort_by(|a, b| (&a.label, a.id).cmp(&(&b.label, b.id)));
            args.json.answer(&machines, |machines| list(machines, UnixSeconds::now()))?;
        }
        Some(Verb::Revoke(args)) => {
            let tried = || format!("revoke {:?}", args.machine);
            let client = connect(profile, tried)?;
            let all = client.machines().await.tried(tried)?;
            let id = which::machine(&all, &args.machine)
                .map_err(|wrong| Failure::new(tried(), wrong, "`banyan machines` lists them all; use the id"))?;
            client.revoke(id).await.tried(tried)?;
            if args.json.json {
                json_line(&Revoked { revoked: id })?;
            }
            say(&format!("revoked {id}; within a minute no machine speaks to it any more"));
        }
    }
    Ok(Exit::Success)
}

fn list(machines: &[Machine], now: UnixSeconds) -> String {
    if machines.is_empty() {
        return "no machines yet; `banyan tokens create` makes a join code for one".into();
    }
    let mut rows =
        vec![["LABEL", "ID", "GROUP", "PLATFORM", "SEEN", "ADDRESSES", "SOFTWARE"].map(str::to_owned).to_vec()];
    for machine in machines {
        let seen = match machine {
            Machine { revoked: true, .. } => "revoked".into(),
            Machine { online: true, .. } => "online".into(),
            Machine { seen, .. } => ago(now.0.saturating_sub(seen.0)),
        };
        let addresses: Vec<String> = machine.addresses.iter().map(ToString::to_string).collect();
        rows.push(vec![
            machine.label.clone(),
            machine.id.short(),
            machine.group.clone().unwrap_or_else(|| "-".into()),
            machine.platform.clone(),
            seen,
            addresses.join(" "),
            machine.software.clone(),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::test_args::parse;

    #[test]
    fn the_list_says_who_is_there() {
        let machine = Machine {
            id: banyan_proto::MachineId([1; 16]),
            label: "desk".into(),
            group: None,
            platform: "linux-x86_64".into(),
            addresses: vec!["10.0.0.7:7701".parse().unwrap()],
            seen: UnixSeconds(100),
            online: false,
            revoked: false,
            software: "banyan 0.1".into(),
        };
        let text = list(&[machine.clone(), Machine { revoked: true, online: true, ..machine }], UnixSeconds(160));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("desk   01010101  -") && lines[1].contains("60 s ago"), "{text}");
        assert!(lines[2].contains("revoked") && !lines[2].contains("online"), "{text}");
        assert!(list(&[], UnixSeconds(0)).contains("tokens create"));
    }

    #[test]
    fn arguments() {
        assert!(parse::<Args>("--json").unwrap().json.json);
        assert!(
            matches!(parse::<Args>("revoke desk").unwrap().verb, Some(Verb::Revoke(args)) if args.machine == "desk")
        );
        assert!(parse::<Args>("revoke").is_err());
    }
}
