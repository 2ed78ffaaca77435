//! The snapshot of everything a user interface shows, the events between two snapshots, and the headline.
//!
//! The agent builds a whole snapshot after each change. It sends each subscriber the [`Snapshot::changes`] since the
//! snapshot it sent before. So no other code must know which change causes which event. A slow subscriber gets fewer
//! and larger changes instead of a growing queue.

use super::{About, HistoryEntry, Link, Progress, Scheduling, Sharing, Update, UpdateState};
use crate::{OrderId, UnixSeconds, schedule::Why};
use serde::{Deserialize, Serialize};

/// The complete state of the agent, as shown to users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// This machine's identity and settings.
    pub about: About,
    /// The connection to the server.
    pub link: Link,
    /// The updates, newest first: active ones, and finished ones whose content is still stored.
    pub updates: Vec<Update>,
    /// When this machine may transfer and install.
    pub scheduling: Scheduling,
    /// How much this machine has shared and received.
    pub sharing: Sharing,
    /// The last 200 history entries, newest first.
    pub history: Vec<HistoryEntry>,
}

/// A change of the snapshot. [`Snapshot::apply`] applies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The whole snapshot; always the first event.
    Snapshot(Box<Snapshot>),
    /// The machine's identity or settings changed.
    About(Box<About>),
    /// The connection to the server changed.
    Link(Link),
    /// An update is new or has changed.
    Update(Box<Update>),
    /// Only the progress of this update changed.
    Progress {
        /// The update's order.
        order: OrderId,
        /// The new progress.
        progress: Progress,
    },
    /// An update was removed from the snapshot.
    Gone {
        /// The update's order.
        order: OrderId,
    },
    /// The scheduling changed.
    Scheduling(Box<Scheduling>),
    /// The shared or received amounts changed.
    Sharing(Sharing),
    /// The history changed; contains all entries.
    History {
        /// The entries, newest first.
        entries: Vec<HistoryEntry>,
    },
}

/// The most important fact for the user, shown as the headline and as the tray icon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Headline {
    /// This machine is not enrolled: the user must enter a join code.
    NotEnrolled,
    /// The last update failed.
    Problem(OrderId),
    /// An update is ready, and only a full-screen program or battery power, which the user can override, holds it back.
    NeedsYou(OrderId),
    /// The install helper is running.
    Installing(OrderId),
    /// Content is being received.
    Receiving(OrderId),
    /// Content is being forwarded.
    Forwarding(OrderId),
    /// The server cannot be reached.
    NotConnected,
    /// The user paused the machine.
    Paused {
        /// When the pause ends; `None`: when the user resumes.
        until: Option<UnixSeconds>,
    },
    /// An update is waiting for its window, or for another condition that the verdict names.
    Waiting {
        /// The update's order.
        order: OrderId,
        /// The reason.
        because: Why,
        /// When the wait ends, if that is known.
        until: Option<UnixSeconds>,
    },
    /// An update is in progress, and there is nothing specific to report yet.
    Working(OrderId),
    /// There is nothing to do.
    Idle,
}

impl Snapshot {
    /// Applies an event to this snapshot.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Snapshot(snapshot) => *self = *snapshot,
            Event::About(about) => self.about = *about,
            Event::Link(link) => self.link = link,
            Event::Update(update) => match self.updates.iter_mut().find(|old| old.order == update.order) {
                Some(old) => *old = *update,
                None => {
                    // Newest first, whatever the order in which events arrive.
                    let key = |update: &Update| (std::cmp::Reverse(update.number), update.order);
                    let at = self.updates.partition_point(|other| key(other) < key(&update));
                    self.updates.insert(at, *update);
                }
            },
            Event::Progress { order, progress } => {
                if let Some(update) = self.updates.iter_mut().find(|update| update.order == order) {
                    update.progress = progress;
                }
            }
            Event::Gone { order } => self.updates.retain(|update| update.order != order),
            Event::Scheduling(scheduling) => self.scheduling = *scheduling,
            Event::Sharing(sharing) => self.sharing = sharing,
            Event::History { entries } => self.history = entries,
        }
    }

    /// Returns the events that turn `before` into this snapshot; empty if nothing has changed.
    #[must_use]
    pub fn changes(&self, before: &Self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.about != before.about {
            events.push(Event::About(Box::new(self.about.clone())));
        }
        if self.link != before.link {
            events.push(Event::Link(self.link));
        }
        let gone = before.updates.iter().filter(|old| !self.updates.iter().any(|new| new.order == old.order));
        events.extend(gone.map(|old| Event::Gone { order: old.order }));
        for new in &self.updates {
            match before.updates.iter().find(|old| old.order == new.order) {
                Some(old) if old == new => {}
                Some(old) if only_progress(old, new) => {
                    events.push(Event::Progress { order: new.order, progress: new.progress.clone() });
                }
                _ => events.push(Event::Update(Box::new(new.clone()))),
            }
        }
        if self.scheduling != before.scheduling {
            events.push(Event::Scheduling(Box::new(self.scheduling.clone())));
        }
        if self.sharing != before.sharing {
            events.push(Event::Sharing(self.sharing.clone()));
        }
        if self.history != before.history {
            events.push(Event::History { entries: self.history.clone() });
        }
        events
    }

    /// Sorts the updates, newest first.
    pub fn sort(&mut self) {
        self.updates.sort_by_key(|update| (std::cmp::Reverse(update.number), update.order));
    }

    /// Returns the most important fact for the user.
    #[must_use]
    pub fn headline(&self) -> Headline {
        let find = |wanted: fn(&Update) -> bool| self.updates.iter().find(|update| wanted(update)).map(|u| u.order);
        // An install comes first even without a server, because the user started it.
        if let Some(order) = find(|update| update.state == UpdateState::Installing) {
            return Headline::Installing(order);
        }
        if self.link == Link::NotEnrolled {
            return Headline::NotEnrolled;
        }
        // A failure stays at the top until a newer order of the same package replaces it.
        if let Some(order) = find(|update| matches!(update.state, UpdateState::Failed { .. })) {
            return Headline::Problem(order);
        }
        if let Some(order) = find(needs_the_person) {
            return Headline::NeedsYou(order);
        }
        if let Some(order) = find(|update| update.state == UpdateState::Receiving && update.progress.down > 0) {
            return Headline::Receiving(order);
        }
        if let Some(order) = find(|update| update.progress.up > 0) {
            return Headline::Forwarding(order);
        }
        if let Link::Away { .. } = self.link {
            return Headline::NotConnected;
        }
        use crate::schedule::Gate;
        if let Gate::Closed { because: Why::Paused { .. }, until } = &self.scheduling.verdict.receive {
            return Headline::Paused { until: *until };
        }
        let Some(update) = self.updates.iter().find(|update| !update.state.is_over()) else { return Headline::Idle };
        let gate =
            if update.state == UpdateState::Receiving { &update.verdict.receive } else { &update.verdict.install };
        match gate {
            Gate::Closed { because, until } => {
                Headline::Waiting { order: update.order, because: because.clone(), until: *until }
            }
            Gate::Open { .. } => Headline::Working(update.order),
        }
    }
}

fn only_progress(old: &Update, new: &Update) -> bool {
    old.progress != new.progress && Update { progress: new.progress.clone(), ..old.clone() } == *new
}

/// Returns whether an update is ready and held back only by a condition that the user can override.
fn needs_the_person(update: &Update) -> bool {
    use crate::schedule::{Gate, Wish};
    update.state == UpdateState::Ready
        && update.waits.is_none()
        && update.wishes.install == Wish::Unsaid
        && matches!(&update.verdict.install, Gate::Closed { because: Why::FullScreen { .. } | Why::Battery { .. }, .. })
}
