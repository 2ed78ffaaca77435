//! A summary of one update for the tray and the window: its state, one sentence of explanation, and the actions that
//! the person can take now.

use crate::{Clock, texts};
use banyan_proto::{
    UnixSeconds,
    local::{Overruled, Request, Update, UpdateState},
    schedule::{Gate, Stage, Why, Wish},
};
use banyan_schedule::say;

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
pub struct Offer {
    /// The button's label.
    pub label: String,
    /// The exact time that the label stands for, shown as a tooltip. May be empty.
    pub exact: String,
    /// The request that the button sends to the agent.
    pub request: Request,
}

/// The summary of one update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Package and version: `LibreOffice 26.2`.
    pub title: String,
    /// The kind of the state.
    pub tone: Tone,
    /// The state in a few words.
    pub state: String,
    /// Why, and what to do. May be empty.
    pub more: String,
    /// The reason's code, for support staff. May be empty.
    pub code: &'static str,
    /// Progress of the download (percent).
    pub percent: Option<u8>,
    /// Possible actions, the most likely one first.
    pub offers: Vec<Offer>,
}

/// Returns the summary of an update.
#[must_use]
pub fn glance(update: &Update, clock: &Clock) -> Glance {
    let (tone, state, more) = state(update, clock);
    let percent = matches!(update.state, UpdateState::Receiving).then(|| update.progress.percent());
    let code = match (&update.state, &update.waits) {
        (UpdateState::Failed { reason, .. }, _) => reason.code(),
        (_, Some(wait)) if !more.is_empty() && tone == Tone::Waiting => wait.reason.code(),
        _ => "",
    };
    Glance { title: texts::title(update), tone, state, more, code, percent, offers: offers(update, clock) }
}

fn state(update: &Update, clock: &Clock) -> (Tone, String, String) {
    let waits = |stage: Stage| {
        let wait = update.waits.as_ref().filter(|wait| wait.stage == stage);
        wait.map(|wait| (Tone::Waiting, texts::WAITS.to_owned(), texts::wait(wait, clock)))
    };
    let closed = |stage: Stage, because: &Why, until: Option<UnixSeconds>, before: &str| {
        let more = say::setting(because, stage).unwrap_or_default();
        // Once a deadline is what opens the gate, it is the state: a sentence about the wait would repeat it.
        let by_the_clock = matches!(because, Why::Window { .. } | Why::PutOff | Why::NeverOpens { .. });
        let deadline = update.verdict.announce.iter().find(|announced| announced.stage == stage);
        if let Some(deadline) = deadline.filter(|deadline| by_the_clock && until == Some(deadline.at)) {
            return (Tone::NeedsYou, texts::announced(deadline, clock), more);
        }
        let state =
            format!("{before}{}", texts::lower_if(!before.is_empty(), &say::closed(because, until, clock.here())));
        (Tone::Waiting, state, more)
    };
    match &update.state {
        UpdateState::Receiving => match &update.verdict.receive {
            Gate::Closed { because, until } => closed(Stage::Receive, because, *until, ""),
            Gate::Open { .. } if update.progress.down > 0 => (Tone::Moving, texts::RECEIVING.to_owned(), String::new()),
            Gate::Open { .. } => waits(Stage::Receive)
                .unwrap_or_else(|| (Tone::Waiting, texts::WAITS_FOR_OTHERS.to_owned(), String::new())),
        },
        UpdateState::Checking => (Tone::Moving, texts::CHECKING.to_owned(), String::new()),
        UpdateState::Ready => match &update.verdict.install {
            Gate::Closed { because, until } => closed(Stage::Install, because, *until, texts::READY_BUT),
            Gate::Open { .. } => {
                waits(Stage::Install).unwrap_or_else(|| (Tone::NeedsYou, texts::READY.to_owned(), String::new()))
            }
        },
        UpdateState::Installing => (Tone::Moving, texts::INSTALLING.to_owned(), String::new()),
        UpdateState::Installed { at } => (Tone::Done, texts::installed(&texts::past(*at, clock)), String::new()),
        UpdateState::Failed { reason, detail, restored, .. } => {
            (Tone::Failed, texts::FAILED.to_owned(), texts::failed(*reason, detail, *restored, update.alone))
        }
    }
}

fn offers(update: &Update, clock: &Clock) -> Vec<Offer> {
    let wish = |stage, wish| Request::Wish { order: update.order, stage, wish };
    let offer = |label: &str, request| Offer { label: label.to_owned(), exact: String::new(), request };
    let mut offers = Vec::new();
    let gate = match update.state {
        UpdateState::Receiving => &update.verdict.receive,
        UpdateState::Ready => &update.verdict.install,
        _ => return offers,
    };
    let waits = update.waits.as_ref().is_some_and(|wait| wait.stage == Stage::Install);
    match (&update.state, gate) {
        (_, Gate::Closed { because, .. }) if may_overrule(because) => {
            offers
                .extend(overruled(because).map(|(label, signal)| offer(label, Request::Overrule { signal, on: true })));
        }
        // The person cannot change these conditions, so no button claims to.
        (_, Gate::Closed { because: Why::DiskLow { .. } | Why::DiskUnknown | Why::SwitchedOff { .. }, .. }) => {}
        (UpdateState::Receiving, Gate::Closed { .. }) if update.wishes.receive != Wish::Now => {
            offers.push(offer(texts::RECEIVE_NOW, wish(Stage::Receive, Wish::Now)));
        }
        (UpdateState::Receiving, Gate::Open { .. }) if update.wishes.install != Wish::Now => {
            offers.push(offer(texts::INSTALL_WHEN_HERE, wish(Stage::Install, Wish::Now)));
        }
        // The update installs as soon as the server permits it, so "Install now" would change nothing.
        (UpdateState::Ready, Gate::Open { .. }) if waits => {}
        (UpdateState::Ready, _) if update.wishes.install != Wish::Now => {
            offers.push(offer(texts::INSTALL_NOW, wish(Stage::Install, Wish::Now)));
        }
        _ => {}
    }
    if update.state == UpdateState::Ready {
        offers.extend(update.later.iter().map(|later| Offer {
            label: texts::when(later.when).to_owned(),
            exact: say::moment(later.at, clock.here()),
            request: wish(Stage::Install, Wish::After(later.at)),
        }));
    }
    offers
}

/// Returns whether a condition closes the gate and the policy lets the person ignore that condition.
fn may_overrule(because: &Why) -> bool {
    matches!(
        because,
        Why::Metered { may_overrule: true, .. }
            | Why::PowerSaver { may_overrule: true }
            | Why::Battery { may_overrule: true, .. }
            | Why::FullScreen { may_overrule: true }
    )
}

/// Returns the condition that closes the gate, with the label of the button that ignores it.
fn overruled(because: &Why) -> Option<(&'static str, Overruled)> {
    match because {
        Why::Metered { network, .. } => Some((texts::USE_NETWORK, Overruled::Metered(network.id.clone()))),
        Why::PowerSaver { .. } | Why::Battery { .. } => Some((texts::USE_BATTERY, Overruled::Battery)),
        Why::FullScreen { .. } => Some((texts::BELOW_FULL_SCREEN, Overruled::FullScreen)),
        _ => None,
    }
}

#[cfg(all(test, feature = "sample"))]
mod tests {
    use super::*;
    use crate::sample_data;

    #[test]
    fn each_sample_says_what_it_is_and_what_can_be_done() {
        let clock = sample_data::clock();
        let seen: Vec<_> = sample_data::busy()
            .updates
            .iter()
            .map(|update| {
                let glance = glance(update, &clock);
                let labels: Vec<_> = glance.offers.into_iter().map(|offer| offer.label).collect();
                (glance.title, glance.tone, glance.state, labels.join(" | "))
            })
            .collect();
        let row = |title: &str, tone, state: &str, offers: &str| (title.into(), tone, state.into(), offers.into());
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
    fn a_signal_that_may_not_be_overruled_is_not_offered_so() {
        let clock = sample_data::clock();
        let mut update = sample_data::busy().updates[1].clone();
        for may_overrule in [true, false] {
            update.verdict.receive = Gate::Closed { because: Why::PowerSaver { may_overrule }, until: None };
            let battery = glance(&update, &clock).offers.iter().any(|offer| offer.label == texts::USE_BATTERY);
            assert_eq!(battery, may_overrule);
        }
    }

    #[test]
    fn a_deadline_that_opens_the_gate_is_the_state_and_is_said_once() {
        use banyan_proto::schedule::{Announcement, By};
        let (clock, mut update) = (sample_data::clock(), sample_data::ready());
        let at = UnixSeconds(clock.now.0 + 14 * 60);
        update.verdict.announce = vec![Announcement { stage: Stage::Install, at, before: 900 }];
        update.verdict.install = Gate::Closed { because: Why::NeverOpens { by: By::User }, until: Some(at) };
        let shown = glance(&update, &clock);
        assert_eq!((shown.tone, shown.state.as_str()), (Tone::NeedsYou, "Deadline: will install in 14 minutes"));
        update.verdict.install = Gate::Closed { because: Why::FullScreen { may_overrule: true }, until: None };
        assert_eq!(glance(&update, &clock).tone, Tone::Waiting);
    }

    #[test]
    fn an_update_that_waits_for_permission_has_no_install_button() {
        let (clock, mut update) = (sample_data::clock(), sample_data::ready());
        let now = |update: &Update| glance(update, &clock).offers.iter().any(|offer| offer.label == texts::INSTALL_NOW);
        assert!(now(&update));
        update.waits = Some(banyan_proto::local::Wait {
            stage: Stage::Install,
            reason: banyan_proto::Reason::WaitsForPermit,
            detail: String::new(),
            since: clock.now,
            next: None,
        });
        assert!(!now(&update));
    }
}
