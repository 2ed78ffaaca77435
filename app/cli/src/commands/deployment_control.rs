//! `banyan halt`, `resume` and `retry`: controls a running deployment.

use crate::{
    api_client::DeploymentControl,
    commands::{
        connect, deploy,
        resolve::{self, DeploymentSelector},
    },
    output::{Exit, Failure, OutputArgs, WithContext as _, print_json, print_note},
    profile::ProfileArg,
};
use serde::Serialize;

/// Halt a deployment: no further machine will install it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan halt 1f3a\n  \
    banyan halt latest\n\n\
    Machines keep what they have received and installed. `banyan resume` continues\n\
    the deployment from there.")]
pub(crate) struct HaltArgs {
    #[command(flatten)]
    common: ControlArgs,
}

/// Resume a halted deployment
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  banyan resume 1f3a\n  banyan resume latest")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    common: ControlArgs,
}

/// Deploy again to the machines where it failed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    banyan retry 1f3a\n  \
    banyan retry latest\n\n\
    Machines that succeeded are not touched. The command prints the id of the new\n\
    deployment.")]
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
pub(crate) async fn retry(args: &RetryArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "retry the deployment".to_owned();
    let client = connect(profile, action)?;
    let id = resolve::resolve_deployment(&client, &args.common.deployment, action).await?;
    let again = client.retry(id).await.with_context(action)?;
    let begun = |failure: Failure| failure.after_success("the deployment has begun", deploy::how_to_watch(again.id));
    args.common.output.print(&again, |again| again.id.to_string()).map_err(begun)?;
    print_note(&format!("deployment started; follow it with `banyan status {} --watch`", again.id.short()));
    Ok(Exit::Success)
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct ControlResult {
    id: banyan_proto::OrderId,
    done: &'static str,
}

async fn control_deployment(
    control: DeploymentControl,
    args: &ControlArgs,
    profile: &ProfileArg,
) -> Result<Exit, Failure> {
    let action = || format!("{} the deployment", control.name());
    let client = connect(profile, action)?;
    let id = resolve::resolve_deployment(&client, &args.deployment, action).await?;
    client.control_deployment(id, control).await.with_context(action)?;
    if args.output.json {
        print_json(&ControlResult { id, done: control.name() }).map_err(|failure| {
            let next = format!("see its state with `banyan status {}`", id.short());
            failure.after_success("the server has changed the deployment", next)
        })?;
    }
    print_note(&match control {
        DeploymentControl::Halt => format!("halted {}; resume it with `banyan resume {0}`", id.short()),
        DeploymentControl::Resume => format!("resumed {}; follow it with `banyan status {0} --watch`", id.short()),
    });
    Ok(Exit::Success)
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
    }
}
