//! Bandwidth yielding: transfers leave room for other traffic, and sent bytes are counted as the link carries them.
//!
//! One [`BandwidthYield`] serves all connections of a node. Whenever a socket moves data (`ConnectionThrottle`), but
//! at a limited rate, the statistics of all connections and of the interface are read together. If one were read later
//! than the other, the difference would look like other traffic. The decision is pure
//! (`banyan_schedule::cross_traffic`). It is carried out in two ways. A socket is read and written no faster than
//! decided, in small pieces. The window it offers is no larger than that rate needs, because otherwise its sender would
//! keep filling the link while this machine waits.
//!
//! There is no timer here: the code runs only when a socket does, so it costs nothing while there is no traffic.

mod connection_throttle;
mod interface_traffic;
mod sent_bytes;
mod tcp_stats;

pub(crate) use connection_throttle::{ConnectionThrottle, Waits};
pub(crate) use tcp_stats::{SocketHandle, duplicate_handle};

use crate::{
    lock::lock,
    rate_limit::TokenBucket,
    site_limit::{SiteLimit, UplinkConnection},
};
use banyan_proto::schedule::GiveWay;
use banyan_schedule::cross_traffic::CrossTraffic;
use connection_throttle::TrackedConnection;
use interface_traffic::{Interfaces, interface_of};
use sent_bytes::SentBytes;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

/// The interval between two readings of the statistics.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// How long received bytes may take from the interface to the socket's count: long when the processors are busy.
const SLACK_DOWN: Duration = Duration::from_millis(80);
/// The same for sent bytes, which wait in the system's queue: the interface counts them when they leave it.
const SLACK_UP: Duration = Duration::from_millis(100);
/// A window covers at least this much time at the decided rate, because the reader does not run all the time.
const MIN_WINDOW_TIME: Duration = Duration::from_millis(25);
/// The queueing delay that may be added to a round trip.
const MAX_QUEUE_DELAY: Duration = Duration::from_millis(8);

/// Bytes in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ByteCounts {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// The addresses at both ends of a connection, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ConnectionEnds {
    pub(crate) local: Option<IpAddr>,
    pub(crate) peer: Option<IpAddr>,
}

/// The yielding decision and byte counts, shared by all connections of a node.
#[derive(Debug)]
pub struct BandwidthYield {
    started: Instant,
    /// The rate limit for reading; unlimited while there is nothing to yield to.
    pub(crate) down: TokenBucket,
    /// The rate limit for writing.
    pub(crate) up: TokenBucket,
    /// The limit over the uplink of this machine's site.
    pub(crate) site_limit: Arc<SiteLimit>,
    state: Mutex<YieldState>,
}

#[derive(Debug)]
struct YieldState {
    /// What receiving and sending yield to.
    down_yields_to: GiveWay,
    up_yields_to: GiveWay,
    down: Option<CrossTraffic>,
    up: Option<CrossTraffic>,
    interfaces: Interfaces,
    /// All connections.
    connections: Vec<Weak<TrackedConnection>>,
    next_sample: Duration,
    /// This node's own bytes since the last sample (with headers; upper bounds).
    own: ByteCounts,
    sent: SentBytes,
}

impl YieldState {
    /// Reads the statistics of one connection.
    fn read(&mut self, connection: &TrackedConnection, rate: Option<u64>) {
        let Some((before, after)) = connection.sample(rate) else { return };
        // Upper bounds, so that a miscount is not mistaken for other traffic.
        self.own.received += after.received.saturating_sub(before.received);
        self.own.sent += after.sent_at_most.saturating_sub(before.sent_at_most);
        self.sent.hand_over(after.sent.saturating_sub(before.sent));
    }
    fn yields(&self) -> bool {
        self.down_yields_to != GiveWay::Nobody || self.up_yields_to != GiveWay::Nobody
    }
}

fn controller(yields_to: GiveWay, slack: Duration, now: Duration) -> Option<CrossTraffic> {
    (yields_to == GiveWay::Programs).then(|| CrossTraffic::new(slack, now))
}

impl Default for BandwidthYield {
    /// Creates one that yields to nothing and only counts.
    fn default() -> Self {
        Self {
            started: Instant::now(),
            down: TokenBucket::with_even_flow(),
            up: TokenBucket::with_even_flow(),
            site_limit: Arc::default(),
            state: Mutex::new(YieldState {
                down_yields_to: GiveWay::Nobody,
                up_yields_to: GiveWay::Nobody,
                down: None,
                up: None,
                interfaces: Interfaces::default(),
                connections: Vec::new(),
                next_sample: Duration::ZERO,
                own: ByteCounts::default(),
                sent: SentBytes::default(),
            }),
        }
    }
}

impl BandwidthYield {
    /// Sets what receiving and sending yield to from now on.
    pub fn set(&self, down: GiveWay, up: GiveWay) {
        let now = self.started.elapsed();
        let mut state = lock(&self.state);
        let changed = state.down_yields_to != down || state.up_yields_to != up;
        if state.down_yields_to != down {
            state.down = controller(down, SLACK_DOWN, now);
        }
        if state.up_yields_to != up {
            state.up = controller(up, SLACK_UP, now);
        }
        if changed {
            // Traffic that passed earlier is not counted.
            state.down_yields_to = down;
            state.up_yields_to = up;
            state.own = ByteCounts::default();
            let passed = state.interfaces.traffic_since_last();
            state.sent.on_passed(now, passed.map(|all| all.sent));
        }
        self.apply(&state);
    }
    /// Returns the bytes that have left this machine over connections with other machines: content, acknowledgements,
    /// headers and retransmissions. Bytes that the system dropped before they left are not counted. Zero where the
    /// system provides no statistics.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        let mut state = lock(&self.state);
        if state.interfaces.is_empty() {
            // There are no interface counts to compare with, and so nothing to wait for.
            state.sent.on_passed(self.now(), None);
        } else {
            self.sample(&mut state, self.now());
        }
        state.sent.total()
    }
    /// Returns whether receiving is throttled on purpose now, so that its senders are not to blame.
    #[must_use]
    pub fn is_throttling_receive(&self) -> bool {
        self.down.is_limited() || self.site_limit.is_limiting_receive()
    }
    /// Returns whether sending is throttled on purpose now.
    #[must_use]
    pub(crate) fn is_throttling_send(&self) -> bool {
        self.up.is_limited() || self.site_limit.is_limiting_send()
    }
    /// Registers a connection.
    pub(crate) fn track(self: &Arc<Self>, ends: ConnectionEnds, socket: Option<SocketHandle>) -> ConnectionThrottle {
        let interface = ends.local.and_then(interface_of);
        let uplink = UplinkConnection::new(Arc::clone(&self.site_limit), ends.peer);
        let connection = Arc::new(TrackedConnection::new(socket, uplink));
        let mut state = lock(&self.state);
        if let Some(name) = &interface {
            state.interfaces.add(name);
        }
        state.connections.push(Arc::downgrade(&connection));
        drop(state);
        ConnectionThrottle::new(Arc::clone(self), interface, connection)
    }
    /// Unregisters a connection that is about to end.
    fn untrack(&self, connection: &TrackedConnection, interface: Option<&str>) {
        let mut state = lock(&self.state);
        state.read(connection, None);
        connection.close_handle();
        if let Some(name) = interface {
            state.interfaces.remove(name);
        }
    }
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
    /// Reacts to data moving on a connection.
    fn on_data(&self) {
        let now = self.now();
        self.sample(&mut lock(&self.state), now);
    }
    /// Reads all statistics, if it is time, and decides the rates.
    fn sample(&self, state: &mut YieldState, now: Duration) {
        if now < state.next_sample {
            return;
        }
        state.next_sample = now + SAMPLE_INTERVAL;
        let rate = self.down.rate();
        state.connections.retain(|connection| connection.strong_count() > 0);
        for connection in state.connections.clone() {
            if let Some(connection) = connection.upgrade() {
                state.read(&connection, rate);
            }
        }
        let passed = state.interfaces.traffic_since_last();
        state.sent.on_passed(now, passed.map(|all| all.sent));
        let own = std::mem::take(&mut state.own);
        if let Some(all) = passed.filter(|_| state.yields()) {
            if let Some(down) = &mut state.down {
                down.record(now, own.received, all.in_use.received);
            }
            if let Some(up) = &mut state.up {
                up.record(now, own.sent, all.in_use.sent);
            }
            self.apply(state);
        }
    }
    fn apply(&self, state: &YieldState) {
        for (bucket, controller, what) in [(&self.down, &state.down, "receiving"), (&self.up, &state.up, "sending")] {
            let (before, limit) = (bucket.rate(), controller.as_ref().and_then(CrossTraffic::limit));
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
    let time = 2 * (round_trip.unwrap_or(MIN_WINDOW_TIME) + MAX_QUEUE_DELAY).max(MIN_WINDOW_TIME);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
    rate.map(|rate| (rate as f64 * time.as_secs_f64()) as u64)
}
