//! Settings, history and usage of the users at this machine: their schedule choice, their wishes about updates, and
//! the amounts transferred. Everything a user chooses is stored in the database before it takes effect.
//!
//! [`front`] serves it over the local API; [`keeper`] applies the schedule.

pub mod front;
pub mod keeper;
mod laid;
mod ledger;
mod meter;
pub(crate) mod scene;
pub mod signals;

use crate::{
    orders::lock,
    state::{State, StateError},
};
use banyan_proto::{
    OrderId, Reason, UnixSeconds,
    api::{ApiError, Event},
    local::{Happened, HistoryEntry, Replaces, Request, Wait, Wishes},
    schedule::{Choice, Policy, Stage, Wish},
};
use banyan_schedule::{Moment, apply_to_choice, apply_wish, ledger::Refusal, tomorrow};
use jiff::tz::TimeZone;
use ledger::Shared;
use serde::{Deserialize, Serialize};
use signals::{Asked, Heard, Sampled, screens::Screens};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, RwLock},
    time::Instant,
};
use tokio::sync::{Notify, mpsc, watch};

/// Maximum number of history entries kept.
const HISTORY: usize = 200;

/// Settings, history and usage of the users at this machine.
pub struct People {
    state: Arc<State>,
    /// The content folder, whose disk needs free space.
    content: PathBuf,
    /// The time zone of this machine's clock.
    pub zone: TimeZone,
    policy: RwLock<Arc<Policy>>,
    started: Instant,
    known: Mutex<Known>,
    /// Usage history and upload quota.
    pub(crate) shared: Shared,
    /// The conditions measured on this machine.
    pub(crate) sampled: Mutex<Sampled>,
    /// The conditions reported by system services.
    heard: Mutex<Heard>,
    /// Asks the system services to report again.
    asker: OnceLock<mpsc::Sender<Asked>>,
    /// Desktop programs' reports about the screen.
    pub(crate) screens: Screens,
    changes: watch::Sender<u64>,
    replan: Notify,
}

#[derive(Debug, Default)]
struct Known {
    choice: Option<Choice>,
    notes: BTreeMap<OrderId, Notes>,
    history: Vec<HistoryEntry>,
    /// What Banyan has installed, by package.
    installed: BTreeMap<String, Replaces>,
}

/// The record about one order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    /// When this machine first accepted the order.
    pub(crate) seen: UnixSeconds,
    /// The user's wishes.
    pub(crate) wishes: Wishes,
    /// How the order ended.
    pub(crate) ended: Option<Ended>,
    /// Whether the installer is running.
    #[serde(skip)]
    pub(crate) installing: bool,
    /// What the order waits for apart from the schedule.
    #[serde(skip)]
    pub(crate) waits: Option<Wait>,
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) at: UnixSeconds,
    pub(crate) failed: Option<(Reason, String, bool)>,
}

fn failed(error: &StateError) -> ApiError {
    ApiError { reason: Reason::DiskFailed, detail: format!("nothing was changed: {error}") }
}

impl People {
    /// Loads the records of earlier runs. `content` is the content folder.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub fn open(state: Arc<State>, content: PathBuf) -> Result<Self, StateError> {
        let mut known = Known {
            choice: state.kept("choice")?,
            notes: state.kept("notes")?.unwrap_or_default(),
            history: state.kept("history")?.unwrap_or_default(),
            installed: state.kept("installed")?.unwrap_or_default(),
        };
        if let Some(choice) = &mut known.choice
            && banyan_schedule::after_clock_step(choice, UnixSeconds::now(), 0)
        {
            state.keep("choice", &known.choice)?;
        }
        let policy: Policy = state.kept("policy")?.unwrap_or_default();
        Ok(Self {
            shared: Shared::open(&state)?,
            state,
            content,
            zone: TimeZone::system(),
            policy: RwLock::new(Arc::new(policy)),
            started: Instant::now(),
            known: Mutex::new(known),
            sampled: Mutex::default(),
            heard: Mutex::default(),
            asker: OnceLock::new(),
            screens: Screens::default(),
            changes: watch::Sender::new(0),
            replan: Notify::new(),
        })
    }
    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }
    /// Stores what is not stored yet, because the program ends.
    pub(crate) fn stop(&self) {
        self.shared.close(&self.state);
    }
    /// Returns the present time on both clocks.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment { wall: UnixSeconds::now(), mono: self.started.elapsed() }
    }
    /// Returns whether a chunk may be forwarded now, and counts it if so. `aside` is what this machine still has to
    /// receive (bytes).
    pub(crate) async fn may_give(self: &Arc<Self>, bytes: u64, aside: u64) -> bool {
        loop {
            let quota = banyan_schedule::quota(self.choice().as_ref(), &self.policy());
            match self.shared.take(&self.zone, bytes, quota, aside) {
                Ok(()) => return true,
                Err(Refusal::WriteFirst) => {
                    let this = Arc::clone(self);
                    let written = tokio::task::spawn_blocking(move || this.shared.write_ahead(&this.state, &this.zone));
                    match written.await {
                        Ok(Ok(())) => {}
                        // Forward nothing that might escape the quota after a crash.
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "failed to store the usage history; forwarding refused");
                            return false;
                        }
                        Err(_) => return false,
                    }
                }
                Err(Refusal::Quota) => {
                    self.replan();
                    return false;
                }
            }
        }
    }
    /// Announces that the snapshot may have changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|number| *number += 1);
    }
    /// Requests a new scheduling decision.
    pub(crate) fn replan(&self) {
        self.replan.notify_one();
        self.changed();
    }
    /// Returns a number that changes whenever the snapshot may have changed.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
    /// Returns the user's choice; `None` until a user has chosen.
    #[must_use]
    pub fn choice(&self) -> Option<Choice> {
        lock(&self.known).choice.clone()
    }
    /// Returns the version of a package that Banyan installed last.
    pub(crate) fn installed(&self, package: &str) -> Option<Replaces> {
        lock(&self.known).installed.get(package).cloned()
    }
    /// Records the version now installed.
    pub(crate) fn has_installed(&self, package: &str, version: &str, sequence: u64) {
        let mut known = lock(&self.known);
        let now = Replaces { version: version.to_owned(), sequence, at: UnixSeconds::now() };
        known.installed.insert(package.to_owned(), now);
        if let Err(error) = self.state.keep("installed", &known.installed) {
            tracing::warn!(%error, "failed to record the installed version");
        }
    }
    pub(crate) fn history(&self) -> Vec<HistoryEntry> {
        lock(&self.known).history.clone()
    }
    pub(crate) fn notes(&self, order: OrderId) -> Notes {
        lock(&self.known).notes.get(&order).cloned().unwrap_or_default()
    }
    /// Adjusts the choice after the wall clock was stepped by this many seconds.
    pub(crate) fn clock_stepped(&self, by: i64) {
        let mut known = lock(&self.known);
        let Some(choice) = &mut known.choice else { return };
        if banyan_schedule::after_clock_step(choice, UnixSeconds::now(), by)
            && let Err(error) = self.state.keep("choice", &known.choice)
        {
            tracing::warn!(%error, "failed to store the adjusted choice after a clock step");
        }
    }

    /// Carries out a request about the choice; refuses all others.
    pub(crate) fn carry_out(&self, request: &Request) -> Result<(), ApiError> {
        let policy = self.policy();
        let mut known = lock(&self.known);
        let choice = apply_to_choice(request, known.choice.as_ref(), &policy, UnixSeconds::now())
            .map_err(|error| error.to_api_error())?;
        self.state.keep("choice", &choice).map_err(|error| failed(&error))?;
        known.choice = choice;
        drop(known);
        self.replan();
        Ok(())
    }
    /// Sets the user's wish for one order. Installing now implies receiving now.
    pub(crate) fn wish(&self, order: OrderId, stage: Stage, wish: Wish) -> Result<(), ApiError> {
        let mut known = lock(&self.known);
        let Some(notes) = known.notes.get_mut(&order).filter(|notes| notes.ended.is_none()) else {
            let detail = "this update is no longer in progress".to_owned();
            return Err(ApiError { reason: Reason::NotFound, detail });
        };
        let before = notes.wishes;
        notes.wishes = apply_wish(before, stage, wish).map_err(|error| error.to_api_error())?;
        if let Err(error) = self.state.keep("notes", &known.notes) {
            known.notes.entry(order).or_default().wishes = before;
            return Err(failed(&error));
        }
        drop(known);
        self.replan();
        Ok(())
    }

    /// Records that an order was accepted.
    pub(crate) fn seen(&self, order: OrderId, package: &str, version: &str) {
        let mut known = lock(&self.known);
        if known.notes.contains_key(&order) {
            return;
        }
        let at = UnixSeconds::now();
        known.notes.insert(order, Notes { seen: at, ..Notes::default() });
        let (package, version) = (package.to_owned(), version.to_owned());
        self.tell(&mut known, HistoryEntry { at, order: Some(order), package, version, what: Happened::Incoming });
        drop(known);
        self.replan();
    }
    /// Records that this machine was enrolled.
    pub(crate) fn enrolled(&self) {
        let (at, nothing) = (UnixSeconds::now(), String::new());
        let what = Happened::Enrolled;
        self.tell(
            &mut lock(&self.known),
            HistoryEntry { at, order: None, package: nothing.clone(), version: nothing, what },
        );
        self.changed();
    }
    /// Records that an order was dropped.
    pub(crate) fn gone(&self, order: OrderId, package: &str, version: &str, reason: Reason) {
        let mut known = lock(&self.known);
        if known.notes.remove(&order).is_some_and(|notes| notes.ended.is_none()) {
            let (at, what) = (UnixSeconds::now(), Happened::Dropped { reason });
            let (package, version) = (package.to_owned(), version.to_owned());
            self.tell(&mut known, HistoryEntry { at, order: Some(order), package, version, what });
        } else {
            self.write(&known);
        }
        drop(known);
        self.replan();
    }
    /// Records an event of an order.
    pub(crate) fn happened(&self, order: OrderId, package: &str, version: &str, event: &Event) {
        let at = UnixSeconds::now();
        let mut known = lock(&self.known);
        let Some(notes) = known.notes.get_mut(&order) else { return };
        let what = match event {
            // The verdict states the schedule's own reasons; other machines waiting for a turn here do not concern the
            // user.
            Event::Waits { reason: Reason::NotNow | Reason::MayNotForward | Reason::Busy, .. } => None,
            Event::Waits { reason, detail } => {
                notes.installing = false;
                let stage = if *reason == Reason::NoSource { Stage::Receive } else { Stage::Install };
                let stage =
                    if matches!(reason, Reason::DiskFull | Reason::DiskFailed) { Stage::Receive } else { stage };
                let since = notes.waits.as_ref().filter(|wait| wait.reason == *reason).map_or(at, |wait| wait.since);
                notes.waits = Some(Wait { stage, reason: *reason, detail: detail.clone(), since, next: None });
                None
            }
            Event::Source { .. } | Event::Authenticated => {
                notes.waits = None;
                None
            }
            Event::Installing => {
                (notes.installing, notes.waits) = (true, None);
                None
            }
            Event::Verified { .. } => {
                notes.waits = None;
                Some(Happened::Received)
            }
            Event::Installed { already, .. } => {
                (notes.installing, notes.waits) = (false, None);
                notes.ended = Some(Ended { at, failed: None });
                Some(Happened::Installed { already: *already })
            }
            Event::Failed { reason, detail, restored } => {
                (notes.installing, notes.waits) = (false, None);
                notes.ended = Some(Ended { at, failed: Some((*reason, detail.clone(), *restored)) });
                Some(Happened::Failed { reason: *reason, detail: detail.clone(), restored: *restored })
            }
            Event::SteppedOver { .. }
            | Event::Offered { .. }
            | Event::Refused { .. }
            | Event::BadChunk { .. }
            | Event::Progress { .. } => None,
        };
        if let Some(what) = what {
            let (package, version) = (package.to_owned(), version.to_owned());
            self.tell(&mut known, HistoryEntry { at, order: Some(order), package, version, what });
        }
        drop(known);
        self.replan();
    }
    /// Restores how an order of an earlier run ended; records from older versions lack it.
    pub(crate) fn had_ended(&self, order: OrderId, at: UnixSeconds, result: Result<(), Reason>) {
        let mut known = lock(&self.known);
        let notes = known.notes.entry(order).or_insert_with(|| Notes { seen: at, ..Notes::default() });
        let failed = result.err().map(|reason| (reason, String::new(), true));
        notes.ended.get_or_insert(Ended { at, failed });
    }
    fn tell(&self, known: &mut Known, entry: HistoryEntry) {
        known.history.insert(0, entry);
        known.history.truncate(HISTORY);
        self.write(known);
    }
    /// Stores notes and history. Losing them to a disk failure is tolerable, so an error is only logged.
    fn write(&self, known: &Known) {
        let kept = self.state.keep("notes", &known.notes).and_then(|()| self.state.keep("history", &known.history));
        if let Err(error) = kept {
            tracing::warn!(%error, "failed to store the history");
        }
    }
    /// Returns the times to which an install may be postponed: in an hour, tonight, or 06:00 tomorrow.
    pub(crate) fn later(&self, until: Option<UnixSeconds>) -> Vec<banyan_proto::local::Later> {
        use banyan_proto::local::{Later, When};
        // Round to the minute, so that the offered times stay the same between two snapshots.
        let now = UnixSeconds(UnixSeconds::now().0 / 60 * 60);
        let night = self.choice().map_or(self.policy().night, |choice| choice.night);
        let all = [
            (When::InAnHour, now.plus(3600)),
            (When::Tonight, banyan_schedule::tonight(now, &self.zone, night)),
            (When::Tomorrow, tomorrow(now, &self.zone)),
        ];
        let fits = |at: UnixSeconds| at > now && until.is_none_or(|until| at < until);
        all.into_iter().filter(|(_, at)| fits(*at)).map(|(when, at)| Later { when, at }).collect()
    }
}
