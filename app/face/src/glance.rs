//! One update in one glance: its state, its one sentence, and what the person can do about it now.

use crate::{Clock, texts};
use banyan_proto::{
    local::{Overruled, Request, Update, UpdateState},
    schedule::{Gate, Stage, Why, Wish},
};
use banyan_schedule::say;

/// A colour of state. Each has an icon and a word beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It waits.
    Waiting,
    /// It moves.
    Moving,
    /// It is done.
    Done,
    /// A person is needed.
    NeedsYou,
    /// It failed.
    Failed,
}

/// Something that the person can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// On the button.
    pub label: String,
    /// The exact time that it means, for the tooltip; may be empty.
    pub exact: String,
    /// What it asks the agent for.
    pub request: Request,
}

/// One update, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// `LibreOffice 26.2`.
    pub title: String,
    /// Colour of its state.
    pub tone: Tone,
    /// Its state in a few words.
    pub state: String,
    /// More about it: why, and what to do; may be empty.
    pub more: String,
    /// The reason's code, small, for whoever helps; may be empty.
    pub code: &'static str,
    /// Progress (percent), while it is received.
    pub percent: Option<u8>,
    /// What the person can do; the first one is what most will want.
    pub offers: Vec<Offer>,
}

/// The update in one glance.
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
    let closed = |because: &Why, until, before: &str| {
        let state =
            format!("{before}{}", texts::lower_if(!before.is_empty(), &say::closed(because, until, clock.here())));
        (Tone::Waiting, state, say::setting(because).unwrap_or_default())
    };
    match &update.state {
        UpdateState::Receiving => match &update.verdict.receive {
            Gate::Closed { because, until } => closed(because, *until, ""),
            Gate::Open { .. } if update.progress.down > 0 => (Tone::Moving, texts::RECEIVING.to_owned(), String::new()),
            Gate::Open { .. } => waits(Stage::Receive)
                .unwrap_or_else(|| (Tone::Waiting, texts::WAITS_FOR_OTHERS.to_owned(), String::new())),
        },
        UpdateState::Checking => (Tone::Moving, texts::CHECKING.to_owned(), String::new()),
        UpdateState::Ready => match &update.verdict.install {
            Gate::Closed { because, until } => closed(because, *until, texts::READY_BUT),
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
    match (&update.state, gate) {
        (_, Gate::Closed { because, .. }) if may_overrule(because) => {
            offers
                .extend(overruled(because).map(|(label, signal)| offer(label, Request::Overrule { signal, on: true })));
        }
        // What no word of the person's opens is not offered as if it did.
        (_, Gate::Closed { because: Why::DiskLow { .. } | Why::DiskUnknown | Why::SwitchedOff { .. }, .. }) => {}
        (UpdateState::Receiving, Gate::Closed { .. }) if update.wishes.receive != Wish::Now => {
            offers.push(offer(texts::RECEIVE_NOW, wish(Stage::Receive, Wish::Now)));
        }
        (UpdateState::Receiving, Gate::Open { .. }) if update.wishes.install != Wish::Now => {
            offers.push(offer(texts::INSTALL_WHEN_HERE, wish(Stage::Install, Wish::Now)));
        }
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

/// What closes the gate is a signal, and the policy lets the person say that it does not count.
fn may_overrule(because: &Why) -> bool {
    matches!(
        because,
        Why::Metered { may_overrule: true, .. }
            | Why::PowerSaver { may_overrule: true }
            | Why::Battery { may_overrule: true, .. }
            | Why::FullScreen { may_overrule: true }
    )
}

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
    use crate::sample;

    #[test]
    fn each_sample_says_what_it_is_and_what_can_be_done() {
        let clock = sample::clock();
        let seen: Vec<_> = sample::busy()
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
                row("LibreOffice 26.2", Tone::Moving, "Receiving", "Install when here"),
                row("Maths Tools 4.0", Tone::Waiting, "Waits for tonight, 22:00", "Receive now"),
                row("Printer Driver 7.3", Tone::Failed, "Could not be installed", ""),
                row("Time Sync 2.8", Tone::Done, "Installed yesterday, 16:05", ""),
            ]
        );
    }

    #[test]
    fn a_signal_that_may_not_be_overruled_is_not_offered_so() {
        let clock = sample::clock();
        let mut update = sample::busy().updates[1].clone();
        for may_overrule in [true, false] {
            update.verdict.receive = Gate::Closed { because: Why::PowerSaver { may_overrule }, until: None };
            let battery = glance(&update, &clock).offers.iter().any(|offer| offer.label == texts::USE_BATTERY);
            assert_eq!(battery, may_overrule);
        }
    }
}
