//! Everything a face shows, as one comparable value; what has changed between two of them; and the one line at the top.
//!
//! The agent makes a whole snapshot when something has happened and tells each subscriber [`Snapshot::changes`] from the
//! one that it was told before. So there is no second place that has to remember which change makes which event, and
//! a subscriber that is slow gets fewer, larger changes instead of a growing queue.

use super::{About, HistoryEntry, Link, Progress, Scheduling, Sharing, Update, UpdateState};
use crate::{DeploymentId, UnixSeconds, schedule::Why};
use serde::{Deserialize, Serialize};

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// Who this machine is.
    pub about: About,
    /// Whether its server can be reached.
    pub link: Link,
    /// Updates, newest first: those under way, and those that ended whose content is still kept.
    pub updates: Vec<Update>,
    /// When it may transfer and install.
    pub scheduling: Scheduling,
    /// What it gave and got.
    pub sharing: Sharing,
    /// What happened, newest first (the last 200).
    pub history: Vec<HistoryEntry>,
}

/// What has changed. Apply it with [`Snapshot::apply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// First of all: everything.
    Snapshot(Box<Snapshot>),
    /// Who this machine is.
    About(Box<About>),
    /// Whether the server can be reached.
    Link(Link),
    /// An update is new or has changed.
    Update(Box<Update>),
    /// Of this update only the progress has changed.
    Progress {
        /// Which.
        order: DeploymentId,
        /// Now.
        progress: Progress,
    },
    /// An update is no longer here.
    Gone {
        /// Which.
        order: DeploymentId,
    },
    /// When it may transfer and install.
    Scheduling(Box<Scheduling>),
    /// What it gave and got.
    Sharing(Sharing),
    /// The whole history.
    History {
        /// Newest first.
        entries: Vec<HistoryEntry>,
    },
}

/// The one line at the top, the icon of the tray: what the person wants to know first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Headline {
    /// This machine belongs to no server yet: the person has to paste a join code.
    NotEnrolled,
    /// The last update failed.
    Problem(DeploymentId),
    /// Something waits for the person: an update is ready, and only their own word or a pause of theirs holds it.
    NeedsYou(DeploymentId),
    /// The installer is at work.
    Installing(DeploymentId),
    /// Content comes in.
    Receiving(DeploymentId),
    /// Content is passed on.
    Forwarding(DeploymentId),
    /// The server cannot be reached.
    NotConnected,
    /// The person said so.
    Paused {
        /// Until when; none: until they resume.
        until: Option<UnixSeconds>,
    },
    /// An update waits for its window, or for something else that the verdict names.
    Waiting {
        /// Which.
        order: DeploymentId,
        /// Why.
        because: Why,
        /// Until when, if that is known.
        until: Option<UnixSeconds>,
    },
    /// An update is on its way, and nothing is to be said about it yet.
    Working(DeploymentId),
    /// All is done.
    Idle,
}

impl Snapshot {
    /// Changes this snapshot as the event says.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Snapshot(snapshot) => *self = *snapshot,
            Event::About(about) => self.about = *about,
            Event::Link(link) => self.link = link,
            Event::Update(update) => match self.updates.iter_mut().find(|old| old.order == update.order) {
                Some(old) => *old = *update,
                None => {
                    // Newest first; the order in which changes are told never matters.
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

    /// What to tell somebody who has `before`, so that they have this one. Empty when nothing has changed.
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

    /// Puts the updates in their order: newest first.
    pub fn sort(&mut self) {
        self.updates.sort_by_key(|update| (std::cmp::Reverse(update.number), update.order));
    }

    /// What the person wants to know first.
    #[must_use]
    pub fn headline(&self) -> Headline {
        let find = |wanted: fn(&Update) -> bool| self.updates.iter().find(|update| wanted(update)).map(|u| u.order);
        // Also without a server: the person opened it.
        if let Some(order) = find(|update| update.state == UpdateState::Installing) {
            return Headline::Installing(order);
        }
        if self.link == Link::NotEnrolled {
            return Headline::NotEnrolled;
        }
        // What failed stays at the top until a newer order of the same package has taken its place.
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

/// It is ready, and what holds it is something that the person can lift with one word.
fn needs_the_person(update: &Update) -> bool {
    use crate::schedule::{Gate, Wish};
    update.state == UpdateState::Ready
        && update.waits.is_none()
        && update.wishes.install == Wish::Unsaid
        && matches!(&update.verdict.install, Gate::Closed { because: Why::FullScreen { .. } | Why::Battery { .. }, .. })
}
