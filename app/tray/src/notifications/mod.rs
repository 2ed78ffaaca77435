//! Notifications as comparable data: a pure function of the notifications shown so far and the agent's snapshot. The
//! module [`desktop`] displays them.
//!
//! An update has one notification at a time; a later one replaces the earlier. Each kind is shown once per update, even
//! if its cause comes and goes. Nothing is shown during a full-screen program; what still applies is shown afterwards.

#[cfg(target_os = "linux")]
pub(crate) mod desktop;
#[cfg(test)]
mod tests;

use crate::tray_model::Action;
use banyan_proto::{
    OrderId, UnixSeconds,
    local::{Snapshot, Update, UpdateState, When},
    schedule::{Gate, Stage, Wish},
};
use banyan_ui_common::{
    Clock, Page, texts,
    update_summary::{Offer, glance},
};
use std::collections::BTreeMap;

/// The kind of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A new update is on its way; only for people who enabled this.
    Incoming,
    /// The update is downloaded but held, and the person has not chosen when to install it.
    Ready,
    /// A deadline is near; `before` is the lead time of this announcement (seconds).
    Countdown { before: u32 },
    /// The new version was installed.
    Done,
    /// The install failed.
    Failed,
}

/// The urgency of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Low,
    Normal,
    /// Stays until it is answered: the person may have to save their work.
    High,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) order: OrderId,
    pub(crate) kind: Kind,
    pub(crate) weight: Weight,
    pub(crate) title: String,
    pub(crate) body: String,
    /// The buttons, the most likely one first.
    pub(crate) buttons: Vec<(String, Action)>,
}

/// A change to the notifications on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Say {
    /// Show this notification, in place of an earlier one about the same update.
    Show(Notice),
    /// Close the notification about this update.
    Close(OrderId),
}

/// The notifications shown so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    updates: BTreeMap<OrderId, Memory>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Memory {
    /// The update was seen before it ended, so its end is news.
    under_way: bool,
    told: Vec<Kind>,
    shown: Option<Kind>,
}

/// An announcement with at most this lead time (seconds) stays until it is answered.
const LAST_CALL: u32 = 15 * 60;

/// Returns the changes to make now. `incoming` is called when an update is first seen, and returns whether the person
/// wants notifications of new updates.
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

/// Returns the kind of notification that applies to an update now.
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

/// Returns whether the update does not install automatically and the person has not chosen when to install it.
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
    // Few buttons fit on a notification.
    let in_an_hour = texts::when(When::InAnHour);
    let offers = glance.offers.into_iter().filter(|offer| asks && offer.label != in_an_hour);
    let mut buttons: Vec<_> = offers.map(|Offer { label, request, .. }| (label, Action::Ask(request))).collect();
    buttons.push((texts::DETAILS.to_owned(), Action::Open(Page::Updates)));
    Notice { order: update.order, kind, weight, title, body, buttons }
}
