//! `banyan status`: lists all deployments, or shows one and its tree, once or until it ends.

use crate::{
    commands::{
        connect,
        describe_rings::describe_rings,
        resolve::{self, DeploymentSelector},
        watch_deployment::{self, WatchDisplay, WatchLimit, WatchResult, watch},
    },
    deployment_tree::{LiveTree, TreeView, detect_terminal, draw_tree},
    output::{Exit, Failure, OutputArgs, WithContext as _, format_age, format_table, print_note},
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
    deployment: Option<DeploymentSelector>,
    /// Keep watching until it ends [default deployment: the newest one]
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: &Args, profile: &ProfileArg) -> Result<Exit, Failure> {
    let action = || "show the status".to_owned();
    let client = connect(profile, action)?;
    let selector = match (&args.deployment, args.watch) {
        (Some(selector), _) => selector,
        (None, true) => &DeploymentSelector::Latest,
        (None, false) => {
            // The server lists them by their number, the newest first, whatever its clock said.
            let all = client.deployments().await.with_context(action)?;
            args.output.print(&all, |all| format_deployments(all, UnixSeconds::now()))?;
            return Ok(Exit::Success);
        }
    };
    let id = resolve::resolve_deployment(&client, selector, action).await?;
    if !args.watch {
        let status = client.deployment(id).await.with_context(action)?;
        let picture = |status: &DeploymentStatus| {
            let mut lines = draw_tree(&TreeView::from_status(status), detect_terminal(&console::Term::stdout(), false));
            lines.extend(describe_rings(status, UnixSeconds::now()));
            if status.takes_newcomers {
                lines.push("live: machines that are selected later join it".to_owned());
            }
            lines.extend(watch_deployment::describe_problems(status));
            lines.extend(watch_deployment::describe_remarks(status));
            lines.join("\n")
        };
        args.output.print(&status, picture)?;
        return Ok(Exit::Success);
    }
    let show = if args.output.json { WatchDisplay::OutputArgs } else { WatchDisplay::Tree(LiveTree::on_stdout()) };
    match watch(&client, id, WatchLimit::default(), show)
        .await
        .with_context(|| format!("watch deployment {}", id.short()))?
    {
        WatchResult::Stopped(status) => {
            describe_rings(&status, UnixSeconds::now()).iter().for_each(|line| print_note(line));
            watch_deployment::describe_unfinished(&status).iter().for_each(|line| print_note(line));
            watch_deployment::describe_remarks(&status).iter().for_each(|line| print_note(line));
            Ok(watch_deployment::exit_for(&status))
        }
        WatchResult::Interrupted(last) => {
            let problems = last.iter().flat_map(watch_deployment::describe_problems);
            problems.for_each(|line| print_note(&line));
            Ok(Exit::Interrupted)
        }
    }
}

/// Formats the deployments as a table, newest first.
fn format_deployments(all: &[DeploymentStatus], now: UnixSeconds) -> String {
    if all.is_empty() {
        return "no deployments yet; start one with `banyan deploy`".into();
    }
    let mut rows = vec![
        ["DEPLOYMENT", "RELEASE", "STATE", "STARTED", "INSTALLED", "FAILED", "REPLACED"].map(str::to_owned).to_vec(),
    ];
    for one in all {
        let at = |stage: Stage| one.counts.iter().find(|(at, _)| *at == stage).map_or(0, |(_, count)| *count);
        let total: u32 = one.counts.iter().map(|(_, count)| count).sum();
        let state = match one.state {
            DeploymentState::Running => "running",
            DeploymentState::Halted => "halted",
            DeploymentState::Superseded => "superseded",
            DeploymentState::Finished => "finished",
            DeploymentState::Cancelled => "cancelled",
        };
        rows.push(vec![
            one.id.short(),
            format!("{} {}", one.package, one.version),
            state.into(),
            format_age(now.0.saturating_sub(one.accepted.0)),
            format!("{} of {total}", at(Stage::Installed)),
            at(Stage::Failed).saturating_sub(one.replaced).to_string(),
            one.replaced.to_string(),
        ]);
    }
    format_table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{commands::test_args::parse, deployment_tree::fixture::status};

    #[test]
    fn the_list_says_how_far_each_is() {
        let mut one = status(&[]);
        one.counts = vec![(Stage::Installed, 6), (Stage::Failed, 3)];
        one.replaced = 2;
        let text = format_deployments(&[one], UnixSeconds(1_700_000_060));
        let line = text.lines().nth(1).unwrap();
        assert_eq!(
            line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>(),
            ["abababab", "hello 1.0", "running", "60 s ago", "6 of 9", "1", "2"]
        );
        assert!(format_deployments(&[], UnixSeconds(0)).contains("banyan deploy"));
    }

    #[test]
    fn arguments() {
        let args: Args = parse("latest --watch --json").unwrap();
        assert_eq!((args.deployment, args.watch, args.output.json), (Some(DeploymentSelector::Latest), true, true));
        assert!(parse::<Args>("hello").is_err(), "a package name is not a deployment");
    }
}
