//! `banyan halt`, `resume`, `cancel`, `promote` and `retry`: controls a deployment that is under way.

use crate::{
    api_client::DeploymentControl,
    commands::{
        connect, deploy,
        resolve::{self, DeploymentSelector},
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, format_count, print_json, print_note, sanitise},
    profile::ProfileArg,
};
use banyan_proto::{DeploymentId, admin::MachinesLeft};
use serde::Serialize;

/// Halt a deployment: machines stop receiving, forwarding and installing it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan halt 1f3a\n  \
    banyan halt latest\n\n\
    Machines keep what they have received and installed, and `banyan resume` continues\n\
    from there. Machines that cannot reach the server are told by others. One that\n\
    is installing completes that.")]
pub(crate) struct HaltArgs {
    #[command(flatten)]
    common: ControlArgs,
}

/// Resume a halted deployment
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  banyan resume 1f3a\n  banyan resume latest\n\n\
    If failures halted the deployment, resuming accepts them: they do not halt it\n\
    again, and the gates of its rings no longer count them.")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    common: ControlArgs,
}

/// Cancel a deployment: it ends, and nothing is uninstalled
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  banyan cancel 1f3a\n  banyan cancel latest\n\n\
    Machines that are installing finish. Machines that have the release keep it.\n\
    A cancelled deployment cannot be resumed.")]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    common: ControlArgs,
}

/// Open the next ring of a deployment although its gate has not passed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  banyan promote 1f3a\n  banyan promote latest\n\n\
    Use it when a gate cannot be decided, for example because no machine of the ring\n\
    needed the release. `banyan status` shows what the gate lacks.")]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    common: ControlArgs,
}

/// Let the machines where a deployment failed try again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan retry 1f3a\n  \
    banyan retry latest\n\n\
    Exactly the failed machines try again, in the same deployment. Machines that have\n\
    the release by now are left out. `banyan status --json` keeps the earlier attempts.")]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    common: ControlArgs,
}

#[derive(Debug, clap::Args)]
struct ControlArgs {
    /// Deployment: the first digits of its id, or `latest`
    deployment: DeploymentSelector,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn halt(args: &HaltArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    control_deployment(DeploymentControl::Halt, &args.common, profile).await
}
pub(crate) async fn resume(args: &ResumeArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    control_deployment(DeploymentControl::Resume, &args.common, profile).await
}
pub(crate) async fn cancel(args: &CancelArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    control_deployment(DeploymentControl::Cancel, &args.common, profile).await
}
pub(crate) async fn promote(args: &PromoteArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "open the next ring".to_owned();
    let client = connect(profile, action)?;
    let id = resolve::resolve_deployment(&client, &args.common.deployment, action).await?;
    let opened = client.promote(id).await.with_context(action)?;
    let done = |failure: Failure| failure.after_success("the ring is open", deploy::how_to_watch(id));
    if args.common.output.json {
        print_json(&opened).map_err(done)?;
    }
    print_note(&format!("ring {} is open; follow it with `banyan status {} --watch`", opened.ring, id.short()));
    Ok(Exit::Success)
}
pub(crate) async fn retry(args: &RetryArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "retry the deployment".to_owned();
    let client = connect(profile, action)?;
    let id = resolve::resolve_deployment(&client, &args.common.deployment, action).await?;
    let again = client.retry(id).await.with_context(action)?;
    let begun = |failure: Failure| failure.after_success("the machines try again", deploy::how_to_watch(again.id));
    args.common.output.print(&again, |again| again.id.to_string()).map_err(begun)?;
    if !again.repaired.is_empty() {
        let names = sanitise(&again.repaired.join(", "));
        print_note(&format!("left out, because they have the release by now: {names}"));
    }
    let machines = usize::try_from(again.machines).unwrap_or(usize::MAX);
    let (machines, id) = (format_count(machines, "failed machine"), again.id.short());
    print_note(&match again.is_halted {
        true => format!("{machines} will try again when you resume the deployment: `banyan resume {id}`"),
        false => format!("trying again on {machines}; follow it with `banyan status {id} --watch`"),
    });
    Ok(Exit::Success)
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct ControlResult {
    id: DeploymentId,
    done: &'static str,
    #[serde(flatten)]
    machines: MachinesLeft,
}

async fn control_deployment(
    control: DeploymentControl,
    args: &ControlArgs,
    profile: &ProfileArg,
) -> Result<Exit, Failure> {
    let action = || format!("{} the deployment", control.name());
    let client = connect(profile, action)?;
    let id = resolve::resolve_deployment(&client, &args.deployment, action).await?;
    let machines = client.control_deployment(id, control).await.with_context(action)?;
    if args.output.json {
        print_json(&ControlResult { id, done: control.name(), machines }).map_err(|failure| {
            let next = format!("see its state with `banyan status {}`", id.short());
            failure.after_success("the server has changed the deployment", next)
        })?;
    }
    print_note(&describe(control, id, machines));
    Ok(Exit::Success)
}

/// Says what has happened, and where the machines are.
fn describe(control: DeploymentControl, id: DeploymentId, machines: MachinesLeft) -> String {
    let MachinesLeft { installed, finishing, waiting } = machines;
    let id = id.short();
    match control {
        DeploymentControl::Halt => format!(
            "halted {id}: {waiting} stopped, {finishing} still finishing, {installed} have it already; resume it with \
             `banyan resume {id}`"
        ),
        DeploymentControl::Resume => format!(
            "resumed {id}: {waiting} to go, {finishing} installing, {installed} have it already; follow it with \
             `banyan status {id} --watch`"
        ),
        DeploymentControl::Cancel => format!(
            "cancelled {id}: {waiting} ended without it, {finishing} still finishing, {installed} have it and keep it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::test_args::parse;

    #[test]
    fn a_deployment_must_be_named() {
        assert!(parse::<HaltArgs>("").is_err());
        assert!(parse::<RetryArgs>("everything").is_err());
        assert_eq!(parse::<ResumeArgs>("latest").unwrap().common.deployment, DeploymentSelector::Latest);
        assert!(parse::<CancelArgs>("").is_err() && parse::<PromoteArgs>("1f3a").is_ok());
    }

    #[test]
    fn an_action_says_who_stopped_who_finishes_and_who_has_it() {
        let machines = MachinesLeft { installed: 17, finishing: 2, waiting: 12 };
        let text = describe(DeploymentControl::Halt, DeploymentId([0xab; 16]), machines);
        assert!(text.contains("12 stopped, 2 still finishing, 17 have it already"), "{text}");
    }
}
