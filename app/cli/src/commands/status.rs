//! `banyan status`: lists all deployments, or shows one and its tree, once or until it ends.

use crate::commands::{
    connect,
    resolve::{self, Which},
    watch_deployment::{self, Limit, Show, Watched, watch},
};
use crate::{
    deployment_tree::{Live, TreeView, draw, look},
    output::{Exit, Failure, Json, Tried as _, ago, say, table},
    profile::ProfileArg,
};
use banyan_proto::{
    UnixSeconds,
    admin::{DeploymentState, DeploymentStatus, Stage},
};

/// List deployments, or show one and its tree
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    # All deployments\n  \
    banyan status\n  \
    # The tree of one deployment (the first digits of its id)\n  \
    banyan status 1f3a\n  \
    # The newest one, until it has ended\n  \
    banyan status latest --watch\n  \
    # For scripts\n  \
    banyan status 1f3a --json\n\n\
    With --watch, the exit code is 0 if every target machine succeeded, and 3\n\
    otherwise. With --watch and --json, each change is one line of JSON.")]
pub(crate) struct Args {
    /// Deployment: the first digits of its id, or `latest`
    deployment: Option<Which>,
    /// Keep watching until it ends [default deployment: the newest one]
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    json: Json,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let tried = || "show the status".to_owned();
    let client = connect(profile, tried)?;
    let which = match (&args.deployment, args.watch) {
        (Some(which), _) => which,
        (None, true) => &Which::Latest,
        (None, false) => {
            let mut all = client.deployments().await.tried(tried)?;
            all.sort_by_key(|deployment| std::cmp::Reverse(deployment.accepted));
            args.json.answer(&all, |all| list(all, UnixSeconds::now()))?;
            return Ok(Exit::Success);
        }
    };
    let id = resolve::deployment(&client, which, tried).await?;
    if !args.watch {
        let status = client.deployment(id).await.tried(tried)?;
        let picture =
            |status: &DeploymentStatus| draw(&TreeView::of(status), look(&console::Term::stdout(), false)).join("\n");
        args.json.answer(&status, picture)?;
        return Ok(Exit::Success);
    }
    let show = if args.json.json { Show::Json } else { Show::Picture(Live::answer()) };
    match watch(&client, id, Limit::default(), show).await.tried(|| format!("watch deployment {}", id.short()))? {
        Watched::Ended(status) => {
            watch_deployment::shortfall(&status).iter().for_each(|line| say(line));
            Ok(watch_deployment::outcome(&status))
        }
        Watched::Interrupted => Ok(Exit::Interrupted),
    }
}

/// Formats the deployments as a table, newest first.
fn list(all: &[DeploymentStatus], now: UnixSeconds) -> String {
    if all.is_empty() {
        return "no deployments yet; start one with `banyan deploy`".into();
    }
    let mut rows =
        vec![["DEPLOYMENT", "RELEASE", "STATE", "STARTED", "INSTALLED", "FAILED"].map(str::to_owned).to_vec()];
    for one in all {
        let at = |stage: Stage| one.counts.iter().find(|(at, _)| *at == stage).map_or(0, |(_, count)| *count);
        let total: u32 = one.counts.iter().map(|(_, count)| count).sum();
        let state = match one.state {
            DeploymentState::Running => "running",
            DeploymentState::Halted => "halted",
            DeploymentState::Superseded => "superseded",
            DeploymentState::Finished => "finished",
        };
        rows.push(vec![
            one.id.short(),
            format!("{} {}", one.package, one.version),
            state.into(),
            ago(now.0.saturating_sub(one.accepted.0)),
            format!("{} of {total}", at(Stage::Installed)),
            at(Stage::Failed).to_string(),
        ]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{commands::test_args::parse, deployment_tree::fixture::status};

    #[test]
    fn the_list_says_how_far_each_is() {
        let mut one = status(&[]);
        one.counts = vec![(Stage::Installed, 6), (Stage::Failed, 1)];
        let text = list(&[one], UnixSeconds(1_700_000_060));
        let line = text.lines().nth(1).unwrap();
        assert_eq!(
            line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>(),
            ["abababab", "hello 1.0", "running", "60 s ago", "6 of 7", "1"]
        );
        assert!(list(&[], UnixSeconds(0)).contains("banyan deploy"));
    }

    #[test]
    fn arguments() {
        let args: Args = parse("latest --watch --json").unwrap();
        assert_eq!((args.deployment, args.watch, args.json.json), (Some(Which::Latest), true, true));
        assert!(parse::<Args>("hello").is_err(), "a package name is not a deployment");
    }
}
