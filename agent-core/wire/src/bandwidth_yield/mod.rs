//! Bandwidth yielding: transfers leave room for other traffic, and sent bytes are counted as the link carries them.
//!
//! One [`Giver`] serves all connections of a node. Whenever a socket moves data ([`Rein`]), but at a limited rate, the
//! statistics of all connections and of the interface are read together. If one were read later than the other, the
//! difference would look like other traffic. The decision is pure (`banyan_schedule::pace`). It is carried out in two
//! ways. A socket is read and written no faster than decided, in small pieces. The window it offers is no larger than
//! that rate needs, because otherwise its sender would keep filling the link while this machine waits.
//!
//! There is no timer here: the code runs only when a socket does, so it costs nothing while there is no traffic.

mod connection_throttle;
mod interface_traffic;
mod tcp_stats;

pub(crate) use connection_throttle::{Holds, Rein};
pub(crate) use tcp_stats::{Handle, handle};

use crate::rate_limit::Bucket;
use banyan_proto::schedule::GiveWay;
use banyan_schedule::cross_traffic::Others;
use connection_throttle::Watched;
use interface_traffic::Interfaces;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// The interval between two readings of the statistics.
const STEP: Duration = Duration::from_millis(100);
/// How long received bytes may take from the interface to the socket's count: long when the processors are busy.
const SLACK_DOWN: Duration = Duration::from_millis(80);
/// The same for sent bytes, which wait in the system's queue: the interface counts them when they leave it.
const SLACK_UP: Duration = Duration::from_millis(100);
/// A window covers at least this much time at the decided rate, because the reader does not run all the time.
const WINDOW_LEAST: Duration = Duration::from_millis(25);
/// The queueing delay that may be added to a round trip.
const WINDOW_QUEUE: Duration = Duration::from_millis(8);

/// The system's queue is shorter than this. Bytes that have not passed within one to two such periods were dropped.
const QUEUE: Duration = Duration::from_secs(2);
/// The most bytes by which the interface's count may be ahead of the sockets' counts.
const SPARE: u64 = 256 << 10;

/// The yielding decision and byte counts, shared by all connections of a node.
#[derive(Debug)]
pub struct Giver {
    began: Instant,
    /// The rate limit for reading; unlimited while there is nothing to yield to.
    pub(crate) down: Bucket,
    /// The rate limit for writing.
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
    /// This node's own bytes since the last step: received, sent (with headers; upper bounds).
    ours: (u64, u64),
    left: Left,
}

impl State {
    /// Reads the statistics of one connection.
    fn look(&mut self, watched: &Watched, rate: Option<u64>) {
        let Some((before, after)) = watched.look(rate) else { return };
        // Upper bounds, so that a miscount is not mistaken for other traffic.
        self.ours.0 += after.came.saturating_sub(before.came);
        self.ours.1 += after.went_at_most.saturating_sub(before.went_at_most);
        self.left.sent.0 += after.went.saturating_sub(before.went);
    }
}

/// The bytes that have left this machine. Sockets count what they hand to the system. What a full queue then drops has
/// never been on the link, and can be many times what has. So no more is counted than the interface reports as passed.
#[derive(Debug, Default)]
struct Left {
    total: u64,
    /// Bytes handed to the system and not seen to pass yet: in the current period, and in the one before.
    sent: (u64, u64),
    /// When the current period began.
    turned: Duration,
    /// Bytes that passed the interface and that a socket will account for soon.
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
    /// Creates one that yields to nothing and only counts.
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
    /// Sets what receiving and sending yield to from now on.
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
            // Traffic that passed earlier is not counted.
            state.modes = (down, up);
            state.ours = (0, 0);
            let passed = state.interfaces.passed();
            state.left.passed(now, passed.map(|all| all.went));
        }
        self.apply(&state);
    }
    /// Returns the bytes that have left this machine over connections with other machines: content, acknowledgements,
    /// headers and retransmissions. Bytes that the system dropped before they left are not counted. Zero where the
    /// system provides no statistics.
    #[must_use]
    pub fn went(&self) -> u64 {
        let mut state = self.lock();
        if state.interfaces.is_empty() {
            // There are no interface counts to compare with, and so nothing to wait for.
            state.left.passed(self.now(), None);
        } else {
            self.step(&mut state, self.now());
        }
        state.left.total
    }
    /// Returns whether receiving is throttled on purpose now, so that its senders are not to blame.
    #[must_use]
    pub fn holds_down(&self) -> bool {
        self.down.is_limited()
    }
    /// Registers a connection.
    pub(crate) fn rein(self: &Arc<Self>, local: Option<IpAddr>, socket: Option<tcp_stats::Handle>) -> Rein {
        let interface = local.and_then(interface_traffic::of);
        let watched = Arc::new(Watched::new(socket));
        let mut state = self.lock();
        if let Some(name) = &interface {
            state.interfaces.add(name);
        }
        state.watched.push(Arc::downgrade(&watched));
        drop(state);
        Rein::new(Arc::clone(self), interface, watched)
    }
    /// Unregisters a connection that is about to end.
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
    /// Reacts to data moving on a connection.
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
        for (bucket, way, what) in [(&self.down, &state.down, "receiving"), (&self.up, &state.up, "sending")] {
            let (before, limit) = (bucket.rate(), way.as_ref().and_then(Others::limit));
            if before != limit {
                if before.is_none() || limit.is_none() {
                    tracing::debug!(what, ?limit, "yielding changed");
                }
                bucket.set(limit);
            }
        }
    }
}

/// Returns the window that a rate (bytes a second) needs on a path with this round-trip time; `None`: as large as
/// possible.
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
            // Ten times as much is handed over as the link can carry.
            left.sent.0 += 100_000;
            now += STEP;
            left.passed(now, Some(10_000));
        }
        assert_eq!(left.total, 10_000_000);
        // The dropped bytes are forgotten: bytes that other programs send later are not attributed to them.
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
        assert_eq!(left.total, 50_000, "reported late by the socket");
        left.sent.0 += 30_000;
        left.passed(2 * QUEUE, Some(10_000));
        left.passed(2 * QUEUE + STEP, Some(20_000));
        assert_eq!(left.total, 80_000, "the bytes waited in a queue");
        left.sent.0 += 7;
        left.passed(3 * QUEUE, None);
        assert_eq!(left.total, 80_007, "the system provides no statistics");
    }
}
