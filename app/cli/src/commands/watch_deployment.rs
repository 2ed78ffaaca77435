//! Watches a deployment until it ends: polls the server, bridges short outages, and reports at the end which machines
//! have not succeeded and why.

use crate::{
    api_client::{ApiClient, ApiClientError},
    deployment_tree::{LiveTree, TreeView},
    output::{Exit, print_note, sanitise},
    platform,
};
use banyan_proto::{
    DeploymentId, Reason,
    admin::{AddresseeStatus, DeploymentState, DeploymentStatus, RingStatus, RingVerdict, Stage},
    text,
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

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
    /// Interrupted by Ctrl-C. What was known then.
    Interrupted(Option<DeploymentStatus>),
}

/// Watches until the deployment has ended, a limit is reached, or Ctrl-C is pressed.
pub(crate) async fn watch(
    client: &ApiClient,
    id: DeploymentId,
    limit: WatchLimit,
    mut display: WatchDisplay,
) -> Result<WatchResult, ApiClientError> {
    let mut last: Option<DeploymentStatus> = None;
    let outcome = tokio::select! {
        outcome = follow(client, id, limit, &mut last, &mut display) => outcome.map(WatchResult::Stopped),
        // If signals cannot be caught, watching continues without Ctrl-C.
        Ok(()) = platform::wait_for_interrupt() => Ok(WatchResult::Interrupted(None)),
    };
    let outcome = match outcome {
        Ok(WatchResult::Interrupted(_)) => Ok(WatchResult::Interrupted(last)),
        other => other,
    };
    if let WatchDisplay::Tree(live) = display {
        live.finish();
    }
    outcome
}

async fn follow(
    client: &ApiClient,
    id: DeploymentId,
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
    let is_blocked = |ring: &RingStatus| matches!(ring.verdict, RingVerdict::Undecided(missing) if missing.nobody_left);
    if status.state == DeploymentState::Running && status.rings.iter().any(is_blocked) {
        return true;
    }
    match status.state {
        DeploymentState::Halted | DeploymentState::Superseded | DeploymentState::Finished => true,
        // Machines that had begun to install finish.
        DeploymentState::Cancelled | DeploymentState::Running => {
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

/// Returns a line for each machine that has not succeeded: the problem and the next step, and below them the output of
/// the programs that failed. Machines with the same problem share one. Empty if all have succeeded.
pub(crate) fn describe_unfinished(status: &DeploymentStatus) -> Vec<String> {
    describe_together(status.addressees.iter().filter(|machine| machine.stage != Stage::Installed))
}

/// Returns the same for the machines on which the release has failed, and for those that say more than their reason.
pub(crate) fn describe_problems(status: &DeploymentStatus) -> Vec<String> {
    let says_more = |machine: &&AddresseeStatus| {
        machine.stage == Stage::Failed || (machine.stage != Stage::Installed && machine.detail.is_some())
    };
    describe_together(status.addressees.iter().filter(says_more))
}

/// Machines of one description that are named; the rest are counted.
const MAX_NAMED: usize = 10;

/// Machines with the same problem.
struct Alike<'a> {
    problem: String,
    /// The output of the first machine's programs. The others' may differ in names and numbers.
    output: &'a str,
    labels: Vec<&'a str>,
}

/// Describes machines, those with the same problem together, in the order of the first of each.
fn describe_together<'a>(machines: impl Iterator<Item = &'a AddresseeStatus>) -> Vec<String> {
    let mut all: Vec<Alike<'a>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for machine in machines {
        let (problem, output) = describe_problem(machine);
        let place = *known.entry(problem).or_insert_with_key(|problem| {
            all.push(Alike { problem: problem.clone(), output, labels: Vec::new() });
            all.len() - 1
        });
        all[place].labels.push(&machine.label);
    }
    all.iter().map(describe_alike).collect()
}

fn describe_alike(Alike { problem, output, labels }: &Alike<'_>) -> String {
    let named = labels[..labels.len().min(MAX_NAMED)].join(", ");
    let more = match labels.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let whose = match labels.as_slice() {
        [first, _, ..] if !output.is_empty() => format!("output of {first}:\n"),
        _ => String::new(),
    };
    sanitise(&format!("{named}{more}: {problem}\n{whose}{output}")).trim_end().replace('\n', "\n    ")
}

/// Returns a machine's problem and the next step in one line, and the output below the problem's summary.
fn describe_problem(machine: &AddresseeStatus) -> (String, &str) {
    let detail = machine.detail.as_deref().unwrap_or_default();
    let (summary, output) = detail.split_once('\n').unwrap_or((detail, ""));
    let summary = summary.trim_end().trim_end_matches(':');
    let Some(reason) = machine.reason else {
        let problem = if summary.is_empty() { "not finished" } else { summary };
        return (problem.to_owned(), output);
    };
    let texts = reason.for_admin();
    // A summary that says what the reason says anyway is left out.
    let summary = text::without_repeats(summary, &[texts.what, texts.advice]);
    let summary = if summary.is_empty() { summary } else { format!(": {summary}") };
    (format!("{reason}{summary}; next: {}", texts.advice), output)
}

/// Returns a line for each machine on which the release works, but something else needs attention.
pub(crate) fn describe_remarks(status: &DeploymentStatus) -> Vec<String> {
    let installed = status.addressees.iter().filter(|machine| machine.stage == Stage::Installed);
    let line = |machine: &AddresseeStatus| {
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
            lines[0].starts_with("b: ")
                && lines[0].contains("(probe-failed): exit code 7; next: read the probe's output")
        );
        assert_eq!(describe_problems(&status), lines);
    }

    #[test]
    fn what_a_waiting_machine_says_beside_its_reason_is_shown() {
        let mut status = status(&[("a", PlannedSource::Server), ("b", PlannedSource::Of("a"))]);
        status.addressees[0].reason = Some(Reason::DiskFull);
        assert!(describe_problems(&status).is_empty(), "the tree shows the reason");
        status.addressees[0].detail = Some("only 3.1 MB are free on /var:\n".into());
        let lines = describe_problems(&status);
        assert!(
            lines.len() == 1 && lines[0].contains("(disk-full): only 3.1 MB are free on /var; next: "),
            "{lines:#?}"
        );
    }

    #[test]
    fn what_many_machines_report_is_told_once() {
        let labels: Vec<String> = (0..30).map(|number| format!("m{number}")).collect();
        let plan: Vec<_> = labels.iter().map(|label| (label.as_str(), PlannedSource::Server)).collect();
        let mut status = status(&plan);
        for (number, machine) in status.addressees.iter_mut().enumerate() {
            (machine.stage, machine.reason) = (Stage::Failed, Some(Reason::InstallFailed));
            machine.detail = Some(format!("dpkg exited with code 1\nno licence {number}"));
        }
        status.addressees[7].detail = Some("the installation failed; dpkg exited with code 2".into());
        for lines in [describe_unfinished(&status), describe_problems(&status)] {
            assert_eq!(lines.len(), 2, "{lines:#?}");
            assert!(lines[0].starts_with("m0, m1, ") && lines[0].contains(", m10 and 19 more: "), "{lines:#?}");
            assert_eq!(lines.concat().matches("no licence").count(), 1, "{lines:#?}");
            assert!(lines[0].ends_with("\n    output of m0:\n    no licence 0"), "{lines:#?}");
        }
        let line = &describe_unfinished(&status)[1];
        assert!(line.starts_with("m7: ") && line.matches("the installation failed").count() == 1, "{line}");
    }
}
