//! Notifications as comparable data: a pure function of the notifications shown so far and the agent's snapshot. The
//! module [`desktop`] displays them.
//!
//! An update has one notification at a time; a later one replaces the earlier. Each kind is shown once per update, even
//! if its cause comes and goes. Nothing is shown during a full-screen program; what still applies is shown afterwards.

#[cfg(target_os = "linux")]
pub(crate) mod desktop;
#[cfg(test)]
mod tests;

use crate::tray_model::TrayAction;
use banyan_proto::{
    OrderId, UnixSeconds,
    local::{Snapshot, Update, UpdateState, When},
    schedule::{Gate, Stage, Wish},
};
use banyan_ui_common::{
    Clock, Page, texts,
    update_summary::{UserAction, summarise_update},
};
use std::collections::BTreeMap;

/// The kind of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotificationKind {
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
pub(crate) enum Importance {
    Low,
    Normal,
    /// Stays until it is answered: the person may have to save their work.
    High,
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UpdateNotification {
    pub(crate) order: OrderId,
    pub(crate) kind: NotificationKind,
    pub(crate) importance: Importance,
    pub(crate) title: String,
    pub(crate) body: String,
    /// The buttons, the most likely one first.
    pub(crate) buttons: Vec<(String, TrayAction)>,
}

/// A change to the notifications on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotificationChange {
    /// Show this notification, in place of an earlier one about the same update.
    Show(UpdateNotification),
    /// Close the notification about this update.
    Close(OrderId),
}

/// The notifications shown so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NotificationHistory {
    /// When the first snapshot came. What ended before is no news.
    since: Option<UnixSeconds>,
    updates: BTreeMap<OrderId, UpdateHistory>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct UpdateHistory {
    /// The update was seen before it ended, or ended since the first snapshot, so its end is news.
    was_under_way: bool,
    /// The kinds shown so far.
    kinds: Vec<NotificationKind>,
    /// The kind on the screen.
    shown: Option<NotificationKind>,
}

/// An announcement with at most this lead time (seconds) stays until it is answered.
const FINAL_WARNING: u32 = 15 * 60;

/// Returns the changes to make now. `incoming` is called when an update is first seen, and returns whether the person
/// wants notifications of new updates.
pub(crate) fn next_changes(
    history: &NotificationHistory,
    snapshot: &Snapshot,
    may_choose: bool,
    incoming: impl Fn() -> bool,
    clock: &Clock,
) -> (NotificationHistory, Vec<NotificationChange>) {
    let full_screen = snapshot.scheduling.signals.full_screen.value == Some(true);
    let since = history.since.unwrap_or(clock.now);
    let (mut next, mut changes) = (NotificationHistory { since: Some(since), ..Default::default() }, Vec::new());
    for update in &snapshot.updates {
        let before = history.updates.get(&update.order);
        let mut past = before.cloned().unwrap_or_default();
        past.was_under_way |= match &update.state {
            // One that takes a second may never be seen under way.
            UpdateState::Installed { at } | UpdateState::Failed { at, .. } => *at > since,
            _ => true,
        };
        let first = before.is_none() && incoming();
        match due_kind(update, &past, first) {
            Some(kind) if !past.kinds.contains(&kind) && !full_screen => {
                past.kinds.push(kind);
                past.shown = Some(kind);
                changes.push(NotificationChange::Show(build_notification(update, kind, may_choose, clock)));
            }
            kind if kind.is_some() && kind == past.shown => {}
            _ => changes.extend(past.shown.take().map(|_| NotificationChange::Close(update.order))),
        }
        next.updates.insert(update.order, past);
    }
    let gone = history.updates.iter().filter(|(order, past)| !next.updates.contains_key(order) && past.shown.is_some());
    changes.extend(gone.map(|(order, _)| NotificationChange::Close(*order)));
    (next, changes)
}

/// Returns the kind of notification that applies to an update now.
fn due_kind(update: &Update, past: &UpdateHistory, wanted: bool) -> Option<NotificationKind> {
    let deadline = update.verdict.announce.iter().find(|announced| announced.stage == Stage::Install);
    match &update.state {
        UpdateState::Installed { .. } => past.was_under_way.then_some(NotificationKind::Done),
        UpdateState::Failed { .. } => past.was_under_way.then_some(NotificationKind::Failed),
        UpdateState::Installing => None,
        UpdateState::Ready | UpdateState::Receiving | UpdateState::Checking if deadline.is_some() => {
            deadline.map(|deadline| NotificationKind::Countdown { before: deadline.before })
        }
        UpdateState::Ready => is_held(update).then_some(NotificationKind::Ready),
        UpdateState::Receiving | UpdateState::Checking => {
            (wanted || past.kinds.contains(&NotificationKind::Incoming)).then_some(NotificationKind::Incoming)
        }
    }
}

/// Returns whether the update does not install automatically and the person has not chosen when to install it.
fn is_held(update: &Update) -> bool {
    matches!(update.verdict.install, Gate::Closed { .. }) && update.wishes.install == Wish::Unsaid
}

fn build_notification(update: &Update, kind: NotificationKind, may_choose: bool, clock: &Clock) -> UpdateNotification {
    let summary = summarise_update(update, clock);
    let deadline = update.verdict.announce.iter().find(|announced| announced.stage == Stage::Install);
    let at = deadline.map_or(UnixSeconds::default(), |deadline| deadline.at);
    let first_line = || update.notes.lines().next().unwrap_or_default().to_owned();
    let (importance, title, body) = match kind {
        NotificationKind::Incoming => {
            (Importance::Low, texts::notifications::new_update_title(update), texts::updates::origin(update))
        }
        NotificationKind::Ready => (
            Importance::Normal,
            texts::notifications::ready_title(update),
            texts::notifications::ready_body(update, clock),
        ),
        NotificationKind::Countdown { before } => {
            let importance = if before <= FINAL_WARNING { Importance::High } else { Importance::Normal };
            (
                importance,
                texts::notifications::deadline_title(update, at, clock),
                texts::notifications::DEADLINE_BODY.to_owned(),
            )
        }
        NotificationKind::Done => (Importance::Low, texts::notifications::installed_title(update), first_line()),
        NotificationKind::Failed => {
            (Importance::Normal, texts::notifications::failed_title(update), summary.explanation)
        }
    };
    let asks =
        may_choose && !matches!(kind, NotificationKind::Incoming | NotificationKind::Done | NotificationKind::Failed);
    // Few buttons fit on a notification.
    let in_an_hour = texts::updates::postpone_label(When::InAnHour);
    let actions = summary.actions.into_iter().filter(|action| asks && action.label != in_an_hour);
    let mut buttons: Vec<_> =
        actions.map(|UserAction { label, request, .. }| (label, TrayAction::Send(request))).collect();
    buttons.push((texts::updates::DETAILS.to_owned(), TrayAction::OpenPage(Page::Updates)));
    UpdateNotification { order: update.order, kind, importance, title, body, buttons }
}
