//! Giving way: what this machine receives and passes on leaves room for other traffic, and what it sent is counted as the
//! link sees it.
//!
//! One of these serves all connections of a node. Whenever a socket moves ([`Rein`]), but not too often, the system is asked about all of
//! them and about the interface at once: what one tells later than the other would look like somebody else's. The decision is pure
//! (`banyan_schedule::pace`). Two levers carry it out: a socket is read and written no
//! faster than decided, in small pieces, and the window it offers is not larger than that needs, or its sender would fill
//! the link on while we wait.
//!
//! Nothing here has a timer of its own: it acts when a socket does. So it costs nothing while nothing moves.

mod interface;
mod rein;
mod tcp;

pub(crate) use rein::{Holds, Rein};
pub(crate) use tcp::{Handle, handle};

use crate::limit::Bucket;
use banyan_proto::schedule::GiveWay;
use banyan_schedule::pace::others::Others;
use interface::Interfaces;
use rein::Watched;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// The system is asked so often.
const STEP: Duration = Duration::from_millis(100);
/// How long received bytes may be between the interface and our count: long when the processors are busy.
const SLACK_DOWN: Duration = Duration::from_millis(80);
/// The same for sent ones, which stand in the system's own queue: the interface counts them when they leave it.
const SLACK_UP: Duration = Duration::from_millis(100);
/// A window is worth so much of the rate at the least: the reader does not run all the time.
const WINDOW_LEAST: Duration = Duration::from_millis(25);
/// What a queue may add to a round trip.
const WINDOW_QUEUE: Duration = Duration::from_millis(8);

/// The system's queue is shorter than this: what has not passed by then, or by twice that, was dropped.
const QUEUE: Duration = Duration::from_secs(2);
/// The interface is at most so much (bytes) ahead of what the sockets have told.
const SPARE: u64 = 256 << 10;

/// Shared by all connections of a node.
#[derive(Debug)]
pub struct Giver {
    began: Instant,
    /// What may be read; without a rate while nobody has to be given way to.
    pub(crate) down: Bucket,
    /// What may be written.
    pub(crate) up: Bucket,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    modes: (GiveWay, GiveWay),
    down: Option<Others>,
    up: Option<Others>,
    interfaces: Interfaces,
    /// All connections.
    watched: Vec<Weak<Watched>>,
    due: Duration,
    /// Ours since the last step: came, went (bytes with headers; at the most).
    ours: (u64, u64),
    left: Left,
}

impl State {
    /// Asks about one connection.
    fn look(&mut self, watched: &Watched, rate: Option<u64>) {
        let Some((before, after)) = watched.look(rate) else { return };
        // What is ours at the most: a miscount is not to be taken for somebody else.
        self.ours.0 += after.came.saturating_sub(before.came);
        self.ours.1 += after.went_at_most.saturating_sub(before.went_at_most);
        self.left.sent.0 += after.went.saturating_sub(before.went);
    }
}

/// What has left. The sockets count what they hand to the system; what a full queue of the system drops again has never been on the
/// link, and can be many times what has. So no more counts than the interface says has passed.
#[derive(Debug, Default)]
struct Left {
    total: u64,
    /// Handed to the system and not seen to pass yet: lately, and before that.
    sent: (u64, u64),
    /// When lately began.
    turned: Duration,
    /// Passed, and whose it is will be told soon.
    spare: u64,
}

impl Left {
    fn passed(&mut self, now: Duration, passed: Option<u64>) {
        let (lately, before) = self.sent;
        let mut spare = passed.map_or(lately + before, |passed| self.spare.saturating_add(passed));
        let mut left = |sent: u64| {
            let left = sent.min(spare);
            spare -= left;
            left
        };
        let (old, new) = (left(before), left(lately));
        self.total += old + new;
        (self.sent, self.spare) = ((lately - new, before - old), spare.min(SPARE));
        if now.saturating_sub(self.turned) >= QUEUE {
            (self.sent, self.turned) = ((0, self.sent.0), now);
        }
    }
}

fn others(to: GiveWay, slack: Duration, now: Duration) -> Option<Others> {
    (to == GiveWay::Programs).then(|| Others::new(slack, now))
}

impl Default for Giver {
    /// Gives way to nobody, and counts.
    fn default() -> Self {
        Self {
            began: Instant::now(),
            down: Bucket::even(),
            up: Bucket::even(),
            state: Mutex::new(State {
                modes: (GiveWay::Nobody, GiveWay::Nobody),
                down: None,
                up: None,
                interfaces: Interfaces::default(),
                watched: Vec::new(),
                due: Duration::ZERO,
                ours: (0, 0),
                left: Left::default(),
            }),
        }
    }
}

impl Giver {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// To whom receiving and passing on give way from now on.
    pub fn set(&self, down: GiveWay, up: GiveWay) {
        let now = self.began.elapsed();
        let mut state = self.lock();
        if state.modes.0 != down {
            state.down = others(down, SLACK_DOWN, now);
        }
        if state.modes.1 != up {
            state.up = others(up, SLACK_UP, now);
        }
        if state.modes != (down, up) {
            // What passed before is nobody's business.
            state.modes = (down, up);
            state.ours = (0, 0);
            let passed = state.interfaces.passed();
            state.left.passed(now, passed.map(|all| all.went));
        }
        self.apply(&state);
    }
    /// What has left this machine over connections with other machines (bytes): content, acknowledgements and headers, and what was
    /// sent again; but not what the system dropped before it left. Zero where the system does not tell.
    #[must_use]
    pub fn went(&self) -> u64 {
        let mut state = self.lock();
        if state.interfaces.is_empty() {
            // There is nothing to hold it against, and so nothing to wait for.
            state.left.passed(self.now(), None);
        } else {
            self.step(&mut state, self.now());
        }
        state.left.total
    }
    /// Whether receiving is slow on purpose now: its senders are not to blame.
    #[must_use]
    pub fn holds_down(&self) -> bool {
        self.down.is_limited()
    }
    /// Takes a connection in.
    pub(crate) fn rein(self: &Arc<Self>, local: Option<IpAddr>, socket: Option<tcp::Handle>) -> Rein {
        let interface = local.and_then(interface::of);
        let watched = Arc::new(Watched::new(socket));
        let mut state = self.lock();
        if let Some(name) = &interface {
            state.interfaces.add(name);
        }
        state.watched.push(Arc::downgrade(&watched));
        drop(state);
        Rein::new(Arc::clone(self), interface, watched)
    }
    /// A connection is about to end.
    fn gone(&self, watched: &Watched, interface: Option<&str>) {
        let mut state = self.lock();
        state.look(watched, None);
        watched.let_go();
        if let Some(name) = interface {
            state.interfaces.remove(name);
        }
    }
    fn now(&self) -> Duration {
        self.began.elapsed()
    }
    /// Some connection moves.
    fn moves(&self) {
        let now = self.now();
        self.step(&mut self.lock(), now);
    }
    fn step(&self, state: &mut State, now: Duration) {
        if now < state.due {
            return;
        }
        state.due = now + STEP;
        let rate = self.down.rate();
        state.watched.retain(|watched| watched.strong_count() > 0);
        for watched in state.watched.clone() {
            if let Some(watched) = watched.upgrade() {
                state.look(&watched, rate);
            }
        }
        let passed = state.interfaces.passed();
        state.left.passed(now, passed.map(|all| all.went));
        let ours = std::mem::take(&mut state.ours);
        if let Some(all) = passed.filter(|_| state.modes != (GiveWay::Nobody, GiveWay::Nobody)) {
            if let Some(others) = &mut state.down {
                others.moved(now, ours.0, all.in_use.0);
            }
            if let Some(others) = &mut state.up {
                others.moved(now, ours.1, all.in_use.1);
            }
            self.apply(state);
        }
    }
    fn apply(&self, state: &State) {
        for (bucket, way, what) in [(&self.down, &state.down, "receiving"), (&self.up, &state.up, "passing on")] {
            let (before, limit) = (bucket.rate(), way.as_ref().and_then(Others::limit));
            if before != limit {
                if before.is_none() || limit.is_none() {
                    tracing::debug!(what, ?limit, "giving way");
                }
                bucket.set(limit);
            }
        }
    }
}

/// The window that a rate (bytes a second) needs on a path with this round trip; none: as large as it may be.
fn window(rate: Option<u64>, round_trip: Option<Duration>) -> Option<u64> {
    let time = 2 * (round_trip.unwrap_or(WINDOW_LEAST) + WINDOW_QUEUE).max(WINDOW_LEAST);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
    rate.map(|rate| (rate as f64 * time.as_secs_f64()) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_dropped_has_not_left() {
        let (mut left, mut now) = (Left::default(), Duration::ZERO);
        for _ in 0..1000 {
            // Ten times as much is handed over as the link takes.
            left.sent.0 += 100_000;
            now += STEP;
            left.passed(now, Some(10_000));
        }
        assert_eq!(left.total, 10_000_000);
        // It is forgotten: what others send afterwards is not taken for it.
        left.passed(now + QUEUE, Some(0));
        left.passed(now + 2 * QUEUE, Some(0));
        left.passed(now + 3 * QUEUE, Some(5_000_000));
        assert_eq!(left.total, 10_000_000);
    }

    #[test]
    fn what_stands_in_a_queue_leaves_later_and_what_sockets_tell_late_is_counted() {
        let mut left = Left::default();
        left.passed(QUEUE, Some(50_000));
        left.sent.0 += 50_000;
        left.passed(QUEUE + STEP, Some(0));
        assert_eq!(left.total, 50_000, "told late");
        left.sent.0 += 30_000;
        left.passed(2 * QUEUE, Some(10_000));
        left.passed(2 * QUEUE + STEP, Some(20_000));
        assert_eq!(left.total, 80_000, "it stood in a queue");
        left.sent.0 += 7;
        left.passed(3 * QUEUE, None);
        assert_eq!(left.total, 80_007, "a system that does not tell");
    }
}
