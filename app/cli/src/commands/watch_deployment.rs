//! Watches a deployment until it ends: polls the server, bridges short outages, and reports at the end which machines
//! have not succeeded and why.

use crate::{
    api_client::{Client, ClientError},
    deployment_tree::{Live, TreeView},
    output::{Exit, clean, say},
    platform,
};
use banyan_proto::{
    OrderId,
    admin::{DeploymentState, DeploymentStatus, Stage},
};
use std::time::{Duration, Instant};

/// How long an unreachable server is polled before watching fails.
const PATIENCE: Duration = Duration::from_secs(300);

/// How the progress is shown.
pub(crate) enum Show {
    /// As a tree on a terminal, or as log lines elsewhere.
    Picture(Live),
    /// One JSON value on standard output for each change.
    Json,
    /// Not at all.
    Nothing,
}

/// How long to watch at most; unlimited by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limit {
    /// The total time.
    pub(crate) total: Option<Duration>,
    /// The time without any change.
    pub(crate) still: Option<Duration>,
}

/// The outcome of watching.
#[derive(Debug)]
pub(crate) enum Watched {
    /// The deployment has ended, or a time limit was reached.
    Ended(DeploymentStatus),
    /// Interrupted by Ctrl-C.
    Interrupted,
}

/// Watches until the deployment has ended, a limit is reached, or Ctrl-C is pressed.
pub(crate) async fn watch(client: &Client, id: OrderId, limit: Limit, mut show: Show) -> Result<Watched, ClientError> {
    let mut last: Option<DeploymentStatus> = None;
    let outcome = tokio::select! {
        outcome = follow(client, id, limit, &mut last, &mut show) => outcome.map(Watched::Ended),
        // If signals cannot be caught, watching continues without Ctrl-C.
        Ok(()) = platform::interrupted() => Ok(Watched::Interrupted),
    };
    if let Show::Picture(live) = show {
        live.finish();
    }
    outcome
}

async fn follow(
    client: &Client,
    id: OrderId,
    limit: Limit,
    last: &mut Option<DeploymentStatus>,
    show: &mut Show,
) -> Result<DeploymentStatus, ClientError> {
    let began = Instant::now();
    let mut changed = began;
    let mut away_since: Option<Instant> = None;
    loop {
        match client.deployment(id).await {
            Ok(status) => {
                away_since = None;
                if last.as_ref() != Some(&status) {
                    changed = Instant::now();
                    match show {
                        Show::Picture(live) => live.show(TreeView::of(&status)),
                        // A closed pipe is noticed when the final result is written.
                        Show::Json => drop(crate::output::json_line(&status)),
                        Show::Nothing => {}
                    }
                }
                if ended(&status) || over(limit.total, began) || over(limit.still, changed) {
                    return Ok(status);
                }
                *last = Some(status);
            }
            // A server restart does not end the watch: the deployment continues.
            Err(error) if error.passes() && last.is_some() => {
                let since = *away_since.get_or_insert_with(|| {
                    if let Show::Picture(live) = show {
                        live.clear();
                    }
                    say(&format!("{}; retrying for {} minutes", clean(&error.to_string()), PATIENCE.as_secs() / 60));
                    Instant::now()
                });
                if since.elapsed() > PATIENCE {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        let addressees = last.as_ref().map_or(0, |status| status.addressees.len());
        tokio::time::sleep(pause(addressees)).await;
    }
}

fn over(limit: Option<Duration>, since: Instant) -> bool {
    limit.is_some_and(|limit| since.elapsed() >= limit)
}

/// Returns the polling interval. It grows with the number of machines, as the answer does.
fn pause(addressees: usize) -> Duration {
    Duration::from_millis(match addressees {
        0..100 => 200,
        100..1000 => 1000,
        _ => 3000,
    })
}

/// Returns whether nothing more will happen without an administrator.
fn ended(status: &DeploymentStatus) -> bool {
    match status.state {
        DeploymentState::Halted | DeploymentState::Superseded | DeploymentState::Finished => true,
        DeploymentState::Running => {
            !status.addressees.is_empty()
                && status.addressees.iter().all(|machine| matches!(machine.stage, Stage::Installed | Stage::Failed))
        }
    }
}

/// Returns the exit code after waiting: success only if every target machine succeeded.
pub(crate) fn outcome(status: &DeploymentStatus) -> Exit {
    let all = status.addressees.iter().all(|machine| machine.stage == Stage::Installed);
    if all && !status.addressees.is_empty() { Exit::Success } else { Exit::Incomplete }
}

/// Returns a line for each machine that has not succeeded: the problem and the next step. Empty if all have.
pub(crate) fn shortfall(status: &DeploymentStatus) -> Vec<String> {
    let unfinished = status.addressees.iter().filter(|machine| machine.stage != Stage::Installed);
    let line = |machine: &banyan_proto::admin::AddresseeStatus| {
        let detail = machine.detail.as_deref().filter(|detail| !detail.is_empty());
        let text = match (machine.reason, detail) {
            (Some(reason), Some(detail)) => format!("{reason}: {detail}; next: {}", reason.for_admin().advice),
            (Some(reason), None) => format!("{reason}; next: {}", reason.for_admin().advice),
            (None, Some(detail)) => detail.to_owned(),
            (None, None) => "not finished".into(),
        };
        clean(&format!("{}: {text}", machine.label)).replace('\n', "\n    ")
    };
    unfinished.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment_tree::fixture::{Plan, status};
    use banyan_proto::Reason;

    #[test]
    fn zero_is_for_complete_success_only() {
        let mut status = status(&[("a", Plan::Server), ("b", Plan::Of("a"))]);
        assert!(!ended(&status));
        assert_eq!(outcome(&status), Exit::Incomplete);
        status.addressees[0].stage = Stage::Installed;
        status.addressees[1].stage = Stage::Failed;
        assert!(ended(&status), "nothing is left to wait for");
        assert_eq!(outcome(&status), Exit::Incomplete);
        status.addressees[1].stage = Stage::Installed;
        assert_eq!(outcome(&status), Exit::Success);
        status.addressees.clear();
        assert_eq!(outcome(&status), Exit::Incomplete, "an empty list is not a success");
    }

    #[test]
    fn a_deployment_that_a_person_stopped_is_not_waited_for() {
        let mut status = status(&[("a", Plan::Server)]);
        for (state, over) in [
            (DeploymentState::Running, false),
            (DeploymentState::Halted, true),
            (DeploymentState::Superseded, true),
            (DeploymentState::Finished, true),
        ] {
            status.state = state;
            assert_eq!(ended(&status), over, "{state:?}");
        }
    }

    #[test]
    fn who_has_not_succeeded_is_named_with_reason_and_next_step() {
        let mut status = status(&[("a", Plan::Server), ("b", Plan::Of("a"))]);
        status.addressees[0].stage = Stage::Installed;
        status.addressees[1].stage = Stage::Failed;
        status.addressees[1].reason = Some(Reason::ProbeFailed);
        status.addressees[1].detail = Some("exit code 7".into());
        let lines = shortfall(&status);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("b: ") && lines[0].contains("(probe-failed): exit code 7; next: test on one machine")
        );
    }
}
