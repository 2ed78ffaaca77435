//! Watches a deployment until it ends: polls the server, bridges short outages, and reports at the end which machines
//! have not succeeded and why.

use crate::{
    api_client::{ApiClient, ApiClientError},
    deployment_tree::{LiveTree, TreeView},
    output::{Exit, print_note, sanitise},
    platform,
};
use banyan_proto::{
    OrderId, Reason,
    admin::{DeploymentState, DeploymentStatus, Stage},
};
use std::time::{Duration, Instant};

/// How long an unreachable server is polled before watching fails.
const MAX_OUTAGE: Duration = Duration::from_secs(300);

/// How the progress is shown.
pub(crate) enum WatchDisplay {
    /// As a tree on a terminal, or as log lines elsewhere.
    Tree(LiveTree),
    /// One JSON value on standard output for each change.
    OutputArgs,
    /// Not at all.
    Hidden,
}

/// How long to watch at most; unlimited by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WatchLimit {
    /// The total time.
    pub(crate) total: Option<Duration>,
    /// The time without any change.
    pub(crate) without_change: Option<Duration>,
}

/// The outcome of watching.
#[derive(Debug)]
pub(crate) enum WatchResult {
    /// The deployment has ended, or a time limit was reached.
    Stopped(DeploymentStatus),
    /// Interrupted by Ctrl-C.
    Interrupted,
}

/// Watches until the deployment has ended, a limit is reached, or Ctrl-C is pressed.
pub(crate) async fn watch(
    client: &ApiClient,
    id: OrderId,
    limit: WatchLimit,
    mut display: WatchDisplay,
) -> Result<WatchResult, ApiClientError> {
    let mut last: Option<DeploymentStatus> = None;
    let outcome = tokio::select! {
        outcome = follow(client, id, limit, &mut last, &mut display) => outcome.map(WatchResult::Stopped),
        // If signals cannot be caught, watching continues without Ctrl-C.
        Ok(()) = platform::wait_for_interrupt() => Ok(WatchResult::Interrupted),
    };
    if let WatchDisplay::Tree(live) = display {
        live.finish();
    }
    outcome
}

async fn follow(
    client: &ApiClient,
    id: OrderId,
    limit: WatchLimit,
    last: &mut Option<DeploymentStatus>,
    display: &mut WatchDisplay,
) -> Result<DeploymentStatus, ApiClientError> {
    let began = Instant::now();
    let mut changed = began;
    let mut away_since: Option<Instant> = None;
    loop {
        match client.deployment(id).await {
            Ok(status) => {
                away_since = None;
                if last.as_ref() != Some(&status) {
                    changed = Instant::now();
                    match display {
                        WatchDisplay::Tree(live) => live.show(TreeView::from_status(&status)),
                        // A closed pipe is noticed when the final result is written.
                        WatchDisplay::OutputArgs => drop(crate::output::print_json(&status)),
                        WatchDisplay::Hidden => {}
                    }
                }
                if has_ended(&status) || is_over(limit.total, began) || is_over(limit.without_change, changed) {
                    return Ok(status);
                }
                *last = Some(status);
            }
            // A server restart does not end the watch: the deployment continues.
            Err(error) if error.is_temporary() && last.is_some() => {
                let since = *away_since.get_or_insert_with(|| {
                    if let WatchDisplay::Tree(live) = display {
                        live.clear();
                    }
                    print_note(&format!(
                        "{}; retrying for {} minutes",
                        sanitise(&error.to_string()),
                        MAX_OUTAGE.as_secs() / 60
                    ));
                    Instant::now()
                });
                if since.elapsed() > MAX_OUTAGE {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        let addressees = last.as_ref().map_or(0, |status| status.addressees.len());
        tokio::time::sleep(polling_interval(addressees)).await;
    }
}

fn is_over(limit: Option<Duration>, since: Instant) -> bool {
    limit.is_some_and(|limit| since.elapsed() >= limit)
}

/// Returns the polling interval. It grows with the number of machines, as the answer does.
fn polling_interval(addressees: usize) -> Duration {
    Duration::from_millis(match addressees {
        0..100 => 200,
        100..1000 => 1000,
        _ => 3000,
    })
}

/// Returns whether nothing more will happen without an administrator.
fn has_ended(status: &DeploymentStatus) -> bool {
    match status.state {
        DeploymentState::Halted | DeploymentState::Superseded | DeploymentState::Finished => true,
        DeploymentState::Running => {
            !status.addressees.is_empty()
                && status.addressees.iter().all(|machine| {
                    matches!(machine.stage, Stage::Installed | Stage::Failed)
                        || machine.reason == Some(Reason::FailedElsewhere)
                })
        }
    }
}

/// Returns the exit code after waiting: success only if every target machine succeeded.
pub(crate) fn exit_for(status: &DeploymentStatus) -> Exit {
    let all = status.addressees.iter().all(|machine| machine.stage == Stage::Installed);
    if all && !status.addressees.is_empty() { Exit::Success } else { Exit::Incomplete }
}

/// Returns a line for each machine that has not succeeded: the problem and the next step. Empty if all have.
pub(crate) fn describe_unfinished(status: &DeploymentStatus) -> Vec<String> {
    let unfinished = status.addressees.iter().filter(|machine| machine.stage != Stage::Installed);
    let line = |machine: &banyan_proto::admin::AddresseeStatus| {
        let texts = machine.reason.map(Reason::for_admin);
        let is_new = |detail: &&str| {
            !detail.is_empty() && texts.is_none_or(|texts| *detail != texts.what && *detail != texts.advice)
        };
        let detail = machine.detail.as_deref().filter(is_new);
        // The summary leads to the next step; the output of commands comes below both.
        let (summary, output) = detail.map_or((None, ""), |detail| match detail.split_once('\n') {
            Some((summary, output)) => (Some(summary), output),
            None => (Some(detail), ""),
        });
        let text = match (machine.reason, summary) {
            (Some(reason), Some(summary)) => format!("{reason}: {summary}; next: {}", reason.for_admin().advice),
            (Some(reason), None) => format!("{reason}; next: {}", reason.for_admin().advice),
            (None, Some(summary)) => summary.to_owned(),
            (None, None) => "not finished".into(),
        };
        sanitise(&format!("{}: {text}\n{output}", machine.label)).trim_end().replace('\n', "\n    ")
    };
    unfinished.map(line).collect()
}

/// Returns a line for each machine on which the release works, but something else needs attention.
pub(crate) fn describe_remarks(status: &DeploymentStatus) -> Vec<String> {
    let installed = status.addressees.iter().filter(|machine| machine.stage == Stage::Installed);
    let line = |machine: &banyan_proto::admin::AddresseeStatus| {
        let remark = machine.detail.as_deref().filter(|remark| !remark.is_empty())?;
        Some(sanitise(&format!("{}: installed; note: {remark}", machine.label)).replace('\n', "\n    "))
    };
    installed.filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment_tree::fixture::{PlannedSource, status};

    #[test]
    fn zero_is_for_complete_success_only() {
        let mut status = status(&[("a", PlannedSource::Server), ("b", PlannedSource::Of("a"))]);
        assert!(!has_ended(&status));
        assert_eq!(exit_for(&status), Exit::Incomplete);
        status.addressees[0].stage = Stage::Installed;
        status.addressees[1].stage = Stage::Failed;
        assert!(has_ended(&status), "nothing is left to wait for");
        assert_eq!(exit_for(&status), Exit::Incomplete);
        status.addressees[1].stage = Stage::Installed;
        assert_eq!(exit_for(&status), Exit::Success);
        status.addressees.clear();
        assert_eq!(exit_for(&status), Exit::Incomplete, "an empty list is not a success");
    }

    #[test]
    fn a_deployment_that_a_person_stopped_is_not_waited_for() {
        let mut status = status(&[("a", PlannedSource::Server)]);
        for (state, over) in [
            (DeploymentState::Running, false),
            (DeploymentState::Halted, true),
            (DeploymentState::Superseded, true),
            (DeploymentState::Finished, true),
        ] {
            status.state = state;
            assert_eq!(has_ended(&status), over, "{state:?}");
        }
    }

    #[test]
    fn unfinished_machines_are_named_with_reason_and_next_step() {
        let mut status = status(&[("a", PlannedSource::Server), ("b", PlannedSource::Of("a"))]);
        status.addressees[0].stage = Stage::Installed;
        status.addressees[1].stage = Stage::Failed;
        status.addressees[1].reason = Some(Reason::ProbeFailed);
        status.addressees[1].detail = Some("exit code 7\n$ probe\nno licence".into());
        let lines = describe_unfinished(&status);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with("\n    $ probe\n    no licence"), "{}", lines[0]);
        status.addressees[0].detail = Some("dpkg left indexer 1 half-configured".into());
        assert_eq!(describe_remarks(&status), ["a: installed; note: dpkg left indexer 1 half-configured"]);
        assert!(
            lines[0].starts_with("b: ") && lines[0].contains("(probe-failed): exit code 7; next: test on one machine")
        );
    }
}
