//! What is told beside the clock without being asked for, as comparable data: a pure function of what was told before
//! and what the agent says now. Carried out in [`show`].
//!
//! One update has one notice at a time: a later one takes the place of the earlier. Each thing is told once, however often
//! its reason comes and goes. While a program fills the screen nothing is told; what still holds afterwards is told then.

#[cfg(target_os = "linux")]
pub(crate) mod show;
#[cfg(test)]
mod tests;

use crate::model::Action;
use banyan_face::{
    Clock, Page,
    glance::{Offer, glance},
    texts,
};
use banyan_proto::{
    DeploymentId, UnixSeconds,
    local::{Snapshot, Update, UpdateState, When},
    schedule::{Gate, Stage, Wish},
};
use std::collections::BTreeMap;

/// What is told of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is on its way; only for those who want to know.
    Incoming,
    /// It is here, and waits for something that the person can do without.
    Ready,
    /// It is installed soon in any case; the announcement of so many seconds before.
    Countdown { before: u32 },
    /// The new version runs.
    Done,
    /// It could not be installed.
    Failed,
}

/// How much it wants to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Low,
    Normal,
    /// Stays until it is answered: work may have to be saved.
    High,
}

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) order: DeploymentId,
    pub(crate) kind: Kind,
    pub(crate) weight: Weight,
    pub(crate) title: String,
    pub(crate) body: String,
    /// Its buttons, what most will want first.
    pub(crate) buttons: Vec<(String, Action)>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Say {
    /// Show it, in the place of an earlier one about the same update.
    Show(Notice),
    /// What was shown of this update is over.
    Close(DeploymentId),
}

/// What was told so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    updates: BTreeMap<DeploymentId, Memory>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Memory {
    /// It was seen before it was over: its end is news.
    under_way: bool,
    told: Vec<Kind>,
    shown: Option<Kind>,
}

/// An announcement this short before the install stays until it is answered (seconds).
const LAST_CALL: u32 = 15 * 60;

/// What to tell now. `incoming` is asked when an update is seen for the first time: whether the person wants to know.
pub(crate) fn next(
    told: &Told,
    snapshot: &Snapshot,
    may_choose: bool,
    incoming: impl Fn() -> bool,
    clock: &Clock,
) -> (Told, Vec<Say>) {
    let full_screen = snapshot.scheduling.signals.full_screen.value == Some(true);
    let (mut next, mut says) = (Told::default(), Vec::new());
    for update in &snapshot.updates {
        let before = told.updates.get(&update.order);
        let mut memory = before.cloned().unwrap_or_default();
        memory.under_way |= !update.state.is_over();
        let first = before.is_none() && incoming();
        match topic(update, &memory, first) {
            Some(kind) if !memory.told.contains(&kind) && !full_screen => {
                memory.told.push(kind);
                memory.shown = Some(kind);
                says.push(Say::Show(notice(update, kind, may_choose, clock)));
            }
            kind if kind.is_some() && kind == memory.shown => {}
            _ => says.extend(memory.shown.take().map(|_| Say::Close(update.order))),
        }
        next.updates.insert(update.order, memory);
    }
    let gone =
        told.updates.iter().filter(|(order, memory)| !next.updates.contains_key(order) && memory.shown.is_some());
    says.extend(gone.map(|(order, _)| Say::Close(*order)));
    (next, says)
}

/// What there is to tell of an update now.
fn topic(update: &Update, memory: &Memory, wanted: bool) -> Option<Kind> {
    let forced = update.verdict.announce.iter().find(|announced| announced.stage == Stage::Install);
    match &update.state {
        UpdateState::Installed { .. } => memory.under_way.then_some(Kind::Done),
        UpdateState::Failed { .. } => memory.under_way.then_some(Kind::Failed),
        UpdateState::Installing => None,
        UpdateState::Ready | UpdateState::Receiving | UpdateState::Checking if forced.is_some() => {
            forced.map(|forced| Kind::Countdown { before: forced.before })
        }
        UpdateState::Ready => held(update).then_some(Kind::Ready),
        UpdateState::Receiving | UpdateState::Checking => {
            (wanted || memory.told.contains(&Kind::Incoming)).then_some(Kind::Incoming)
        }
    }
}

/// It does not go ahead by itself, and the person has not said yet when it shall.
fn held(update: &Update) -> bool {
    matches!(update.verdict.install, Gate::Closed { .. }) && update.wishes.install == Wish::Unsaid
}

fn notice(update: &Update, kind: Kind, may_choose: bool, clock: &Clock) -> Notice {
    let glance = glance(update, clock);
    let forced = update.verdict.announce.iter().find(|announced| announced.stage == Stage::Install);
    let at = forced.map_or(UnixSeconds::default(), |forced| forced.at);
    let first_line = || update.notes.lines().next().unwrap_or_default().to_owned();
    let (weight, title, body) = match kind {
        Kind::Incoming => (Weight::Low, texts::told_incoming(update), texts::origin(update)),
        Kind::Ready => (Weight::Normal, texts::told_ready(update), texts::told_why(update, clock)),
        Kind::Countdown { before } => {
            let weight = if before <= LAST_CALL { Weight::High } else { Weight::Normal };
            (weight, texts::told_countdown(update, at, clock), texts::TOLD_IN_ANY_CASE.to_owned())
        }
        Kind::Done => (Weight::Low, texts::told_done(update), first_line()),
        Kind::Failed => (Weight::Normal, texts::told_failed(update), glance.more),
    };
    let asks = may_choose && !matches!(kind, Kind::Incoming | Kind::Done | Kind::Failed);
    // Few buttons fit on a notice.
    let in_an_hour = texts::when(When::InAnHour);
    let offers = glance.offers.into_iter().filter(|offer| asks && offer.label != in_an_hour);
    let mut buttons: Vec<_> = offers.map(|Offer { label, request, .. }| (label, Action::Ask(request))).collect();
    buttons.push((texts::DETAILS.to_owned(), Action::Open(Page::Updates)));
    Notice { order: update.order, kind, weight, title, body, buttons }
}
