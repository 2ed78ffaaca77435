//! A summary of one update for the tray and the window: its state, one sentence of explanation, and the actions that
//! the person can take now.

use crate::{Clock, texts};
use banyan_proto::{
    UnixSeconds,
    local::{Overruled, Request, Update, UpdateState},
    schedule::{Gate, Stage, Why, Wish},
};
use banyan_schedule::sentences;

/// The kind of a state, which decides its colour. The window shows an icon and a word beside the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// The update is waiting.
    Waiting,
    /// Something is in progress.
    Moving,
    /// The update is installed.
    Done,
    /// The person should act or take notice.
    NeedsYou,
    /// The update failed.
    Failed,
}

/// An action that the person can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAction {
    /// The button's label.
    pub label: String,
    /// The exact time that the label stands for, shown as a tooltip. May be empty.
    pub tooltip: String,
    /// The request that the button sends to the agent.
    pub request: Request,
}

/// The summary of one update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateSummary {
    /// Package and version: `LibreOffice 26.2`.
    pub title: String,
    /// The kind of the state.
    pub tone: Tone,
    /// The state in a few words.
    pub state: String,
    /// Why, and what to do. May be empty.
    pub explanation: String,
    /// The reason's code, for support staff. May be empty.
    pub code: &'static str,
    /// What the programs of a failed install reported, for support staff. May be empty and may have many lines.
    pub details: String,
    /// Progress of the download (percent).
    pub percent: Option<u8>,
    /// Possible actions, the most likely one first.
    pub actions: Vec<UserAction>,
}

/// Returns the summary of an update.
#[must_use]
pub fn summarise_update(update: &Update, clock: &Clock) -> UpdateSummary {
    let (tone, state, explanation) = describe_state(update, clock);
    let percent = matches!(update.state, UpdateState::Receiving).then(|| update.progress.percent());
    let code = match (&update.state, &update.waits) {
        (UpdateState::Failed { reason, .. }, _) => reason.code(),
        (_, Some(wait)) if !explanation.is_empty() && tone == Tone::Waiting => wait.reason.code(),
        _ => "",
    };
    let details = match &update.state {
        UpdateState::Failed { detail, .. } => detail.clone(),
        _ => String::new(),
    };
    UpdateSummary {
        title: texts::updates::title(update),
        tone,
        state,
        explanation,
        code,
        details,
        percent,
        actions: available_actions(update, clock),
    }
}

fn describe_state(update: &Update, clock: &Clock) -> (Tone, String, String) {
    let waits = |stage: Stage| {
        let wait = update.waits.as_ref().filter(|wait| wait.stage == stage);
        wait.map(|wait| {
            (Tone::Waiting, texts::updates::WAITING.to_owned(), texts::updates::waiting_reason(wait, clock))
        })
    };
    let closed = |stage: Stage, because: &Why, until: Option<UnixSeconds>, before: &str| {
        let explanation = sentences::closing_setting(because, stage).unwrap_or_default();
        // Once a deadline is what opens the gate, it is the state: a sentence about the wait would repeat it.
        let by_the_clock = matches!(because, Why::Window { .. } | Why::PutOff | Why::NeverOpens { .. });
        let deadline = update.verdict.announce.iter().find(|announced| announced.stage == stage);
        if let Some(deadline) = deadline.filter(|deadline| by_the_clock && until == Some(deadline.at)) {
            return (Tone::NeedsYou, texts::updates::deadline(deadline, clock), explanation);
        }
        let state = format!(
            "{before}{}",
            texts::format::lowercase_if(!before.is_empty(), &sentences::closed_gate(because, until, clock.here()))
        );
        (Tone::Waiting, state, explanation)
    };
    match &update.state {
        UpdateState::Receiving => match &update.verdict.receive {
            Gate::Closed { because, until } => closed(Stage::Receive, because, *until, ""),
            Gate::Open { .. } if update.progress.down > 0 => {
                (Tone::Moving, texts::updates::DOWNLOADING.to_owned(), String::new())
            }
            Gate::Open { .. } => waits(Stage::Receive)
                .unwrap_or_else(|| (Tone::Waiting, texts::updates::WAITING_FOR_SOURCE.to_owned(), String::new())),
        },
        UpdateState::Checking => (Tone::Moving, texts::updates::CHECKING.to_owned(), String::new()),
        UpdateState::Ready => match &update.verdict.install {
            Gate::Closed { because, until } => closed(Stage::Install, because, *until, texts::updates::READY_BUT),
            Gate::Open { .. } => waits(Stage::Install)
                .unwrap_or_else(|| (Tone::NeedsYou, texts::updates::READY.to_owned(), String::new())),
        },
        UpdateState::Installing => (Tone::Moving, texts::updates::INSTALLING.to_owned(), String::new()),
        UpdateState::Installed { at } => {
            (Tone::Done, texts::updates::installed_when(&texts::format::past_moment(*at, clock)), String::new())
        }
        UpdateState::Failed { reason, restored, .. } => {
            (Tone::Failed, texts::updates::FAILED.to_owned(), texts::updates::failure(*reason, *restored, update.alone))
        }
    }
}

fn available_actions(update: &Update, clock: &Clock) -> Vec<UserAction> {
    let wish = |stage, wish| Request::Wish { order: update.order, stage, wish };
    let action = |label: &str, request| UserAction { label: label.to_owned(), tooltip: String::new(), request };
    let mut actions = Vec::new();
    let gate = match update.state {
        UpdateState::Receiving => &update.verdict.receive,
        UpdateState::Ready => &update.verdict.install,
        UpdateState::Checking
        | UpdateState::Installing
        | UpdateState::Installed { .. }
        | UpdateState::Failed { .. } => return actions,
    };
    let waits = update.waits.as_ref().is_some_and(|wait| wait.stage == Stage::Install);
    match (&update.state, gate) {
        (_, Gate::Closed { because, .. }) if may_ignore(because) => {
            actions.extend(
                condition_to_ignore(because)
                    .map(|(label, signal)| action(label, Request::Overrule { signal, on: true })),
            );
        }
        // The person cannot change these conditions, so no button claims to.
        (_, Gate::Closed { because: Why::DiskLow { .. } | Why::DiskUnknown | Why::SwitchedOff { .. }, .. }) => {}
        (UpdateState::Receiving, Gate::Closed { .. }) if update.wishes.receive != Wish::Now => {
            actions.push(action(texts::updates::DOWNLOAD_NOW, wish(Stage::Receive, Wish::Now)));
        }
        (UpdateState::Receiving, Gate::Open { .. }) if update.wishes.install != Wish::Now => {
            actions.push(action(texts::updates::INSTALL_WHEN_DOWNLOADED, wish(Stage::Install, Wish::Now)));
        }
        // The update installs as soon as the server permits it, so "Install now" would change nothing.
        (UpdateState::Ready, Gate::Open { .. }) if waits => {}
        (UpdateState::Ready, _) if update.wishes.install != Wish::Now => {
            let label = if waits { texts::updates::INSTALL_WHEN_PERMITTED } else { texts::updates::INSTALL_NOW };
            actions.push(action(label, wish(Stage::Install, Wish::Now)));
        }
        _ => {}
    }
    if update.state == UpdateState::Ready {
        actions.extend(update.later.iter().map(|later| UserAction {
            label: texts::updates::postpone_label(later.when).to_owned(),
            tooltip: sentences::format_time(later.at, clock.here()),
            request: wish(Stage::Install, Wish::After(later.at)),
        }));
    }
    actions
}

/// Returns whether a condition closes the gate and the policy lets the person ignore that condition.
fn may_ignore(because: &Why) -> bool {
    matches!(
        because,
        Why::Metered { may_overrule: true, .. }
            | Why::PowerSaver { may_overrule: true }
            | Why::Battery { may_overrule: true, .. }
            | Why::FullScreen { may_overrule: true }
    )
}

/// Returns the condition that closes the gate, with the label of the button that ignores it.
fn condition_to_ignore(because: &Why) -> Option<(&'static str, Overruled)> {
    match because {
        Why::Metered { network, .. } => Some((texts::updates::USE_NETWORK, Overruled::Metered(network.id.clone()))),
        Why::PowerSaver { .. } | Why::Battery { .. } => Some((texts::updates::USE_BATTERY, Overruled::Battery)),
        Why::FullScreen { .. } => Some((texts::updates::INSTALL_DESPITE_FULL_SCREEN, Overruled::FullScreen)),
        Why::DiskLow { .. }
        | Why::DiskUnknown
        | Why::SwitchedOff { .. }
        | Why::Paused { .. }
        | Why::NotIdle { .. }
        | Why::Window { .. }
        | Why::NeverOpens { .. }
        | Why::NeverMeet
        | Why::PutOff
        | Why::QuotaUsed { .. } => None,
    }
}

#[cfg(all(test, feature = "sample"))]
mod tests {
    use super::*;
    use crate::sample_data;

    #[test]
    fn each_update_has_a_state_and_actions() {
        let clock = sample_data::clock();
        let seen: Vec<_> = sample_data::busy()
            .updates
            .iter()
            .map(|update| {
                let summary = summarise_update(update, &clock);
                let labels: Vec<_> = summary.actions.into_iter().map(|action| action.label).collect();
                (summary.title, summary.tone, summary.state, labels.join(" | "))
            })
            .collect();
        let row = |title: &str, tone, state: &str, actions: &str| (title.into(), tone, state.into(), actions.into());
        assert_eq!(
            seen,
            [
                row("School Browser 12.1", Tone::NeedsYou, "Ready to install", "Install now | Tonight | Tomorrow"),
                row("LibreOffice 26.2", Tone::Moving, "Downloading", "Install when downloaded"),
                row("Maths Tools 4.0", Tone::Waiting, "Scheduled for tonight at 22:00", "Download now"),
                row("Printer Driver 7.3", Tone::Failed, "Couldn't install", ""),
                row("Time Sync 2.8", Tone::Done, "Installed yesterday at 16:05", ""),
            ]
        );
    }

    #[test]
    fn a_condition_that_may_not_be_ignored_has_no_action() {
        let clock = sample_data::clock();
        let mut update = sample_data::busy().updates[1].clone();
        for may_overrule in [true, false] {
            update.verdict.receive = Gate::Closed { because: Why::PowerSaver { may_overrule }, until: None };
            let battery = summarise_update(&update, &clock)
                .actions
                .iter()
                .any(|action| action.label == texts::updates::USE_BATTERY);
            assert_eq!(battery, may_overrule);
        }
    }

    #[test]
    fn a_deadline_that_opens_the_gate_is_the_state_and_appears_once() {
        use banyan_proto::schedule::{Announcement, By};
        let (clock, mut update) = (sample_data::clock(), sample_data::ready());
        let at = UnixSeconds(clock.now.0 + 14 * 60);
        update.verdict.announce = vec![Announcement { stage: Stage::Install, at, before: 900 }];
        update.verdict.install = Gate::Closed { because: Why::NeverOpens { by: By::User }, until: Some(at) };
        let shown = summarise_update(&update, &clock);
        assert_eq!((shown.tone, shown.state.as_str()), (Tone::NeedsYou, "Deadline: will install in 14 minutes"));
        update.verdict.install = Gate::Closed { because: Why::FullScreen { may_overrule: true }, until: None };
        assert_eq!(summarise_update(&update, &clock).tone, Tone::Waiting);
    }

    #[test]
    fn an_update_that_waits_for_permission_has_no_install_button() {
        let (clock, mut update) = (sample_data::clock(), sample_data::ready());
        let now = |update: &Update| {
            summarise_update(update, &clock).actions.iter().any(|action| action.label == texts::updates::INSTALL_NOW)
        };
        assert!(now(&update));
        update.waits = Some(banyan_proto::local::Wait {
            stage: Stage::Install,
            reason: banyan_proto::Reason::WaitsForPermit,
            detail: String::new(),
            since: clock.now,
            next: None,
        });
        assert!(!now(&update));
        // The person's schedule holds it back, too: the button ends that, and claims no more.
        let because =
            Why::Window { window: banyan_proto::schedule::Window::Night, by: banyan_proto::schedule::By::User };
        update.verdict.install = Gate::Closed { because, until: Some(clock.now) };
        assert!(!now(&update));
        assert_eq!(summarise_update(&update, &clock).actions[0].label, texts::updates::INSTALL_WHEN_PERMITTED);
    }
}
