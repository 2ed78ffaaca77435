//! `banyan halt`, `resume` and `retry`: controls a running deployment.

use crate::commands::{
    connect,
    resolve::{self, Which},
};
use crate::{
    api_client::Intervention,
    output::{Exit, Failure, Json, Tried as _, json_line, say},
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
    common: Common,
}

/// Resume a halted deployment
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  banyan resume 1f3a\n  banyan resume latest")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    common: Common,
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
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Deployment: the first digits of its id, or `latest`
    deployment: Which,
    #[command(flatten)]
    json: Json,
}

pub(crate) async fn halt(args: &HaltArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    intervene(Intervention::Halt, &args.common, profile).await
}
pub(crate) async fn resume(args: &ResumeArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    intervene(Intervention::Resume, &args.common, profile).await
}
pub(crate) async fn retry(args: &RetryArgs, profile: &ProfileArg) -> Result<Exit, Failure> {
    let tried = || "retry the deployment".to_owned();
    let client = connect(profile, tried)?;
    let id = resolve::deployment(&client, &args.common.deployment, tried).await?;
    let again = client.retry(id).await.tried(tried)?;
    args.common.json.answer(&again, |again| again.id.to_string())?;
    say(&format!("deployment started; follow it with `banyan status {} --watch`", again.id.short()));
    Ok(Exit::Success)
}

/// The JSON result.
#[derive(Debug, Serialize)]
struct Done {
    id: banyan_proto::OrderId,
    done: &'static str,
}

async fn intervene(what: Intervention, args: &Common, profile: &ProfileArg) -> Result<Exit, Failure> {
    let tried = || format!("{} the deployment", what.verb());
    let client = connect(profile, tried)?;
    let id = resolve::deployment(&client, &args.deployment, tried).await?;
    client.intervene(id, what).await.tried(tried)?;
    if args.json.json {
        json_line(&Done { id, done: what.verb() })?;
    }
    say(&match what {
        Intervention::Halt => format!("halted {}; resume it with `banyan resume {0}`", id.short()),
        Intervention::Resume => format!("resumed {}; follow it with `banyan status {0} --watch`", id.short()),
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
        assert_eq!(parse::<ResumeArgs>("latest").unwrap().common.deployment, Which::Latest);
    }
}
