//! Delay-based congestion control: how fast a receiver may request data without disturbing other traffic on its link.
//!
//! Senders use ordinary TCP; only the receiver knows that the transfer can wait. It slows the transfer down by
//! requesting slowly, and detects other traffic by round-trip times: a queue grows at the bottleneck before anyone
//! loses packets. That much is rLEDBAT (RFC 9840) with the LEDBAT++ rule. LEDBAT++ aims at a standing queue of 60 ms,
//! which has two drawbacks here. Where round trips are short, a whole BBR flow causes a shorter queue than that, so the
//! transfer would never yield to it. And everyone on the link feels a standing queue. This controller therefore uses
//! another rule:
//!
//! 1. **Room.** Request slightly less than the link was seen to carry for this transfer, so that it causes no queue
//!    alone. A queue then means other traffic.
//! 2. **Let go.** After requesting more than there was room for, request almost nothing until the transfer's own queue
//!    has drained. A queue that does not drain belongs to other traffic.
//! 3. **Come back** to almost what got through. A queue that rises now or later means that other traffic has taken
//!    room: stay away, longer each time, so that a greedy flow is disturbed only for a small part of the time. Then
//!    start again slowly.
//! 4. **Probe.** After a quiet time, request slightly more. If more arrives without a queue, there is more room:
//!    continue, faster each time.
//!
//! **The lever matters.** The data requested but not yet received must be bounded by [`Pace::outstanding`]: with
//! requests or credits, or with a socket receive buffer of about that size. A large receive buffer keeps filling the
//! link while its reader waits. With 1 MiB of it at 20 Mbit/s and 20 ms, this controller mistook its own queue for
//! other traffic and used a tenth of an idle link.
//!
//! **The agent does not use this controller.** It uses [`others`], which counts instead of guessing. In a trial on real
//! sockets (`TCP_INFO` round-trip time of the receiving socket, with windows and reading as the lever), this controller
//! used 0.22 of an idle 20 Mbit/s link while the machine's processors were busy. The kernel's value for a receiver
//! includes the receiver's own pauses in reading, and a late wake-up looks like a queue of some milliseconds. In a
//! swarm, the queue before a parent also belongs to its other child. A round-trip time measured by the sending peer
//! would be better, but the peer would have to transmit it.
//!
//! The evidence for this controller is **simulation** (`tests/schedule/pace`): one bottleneck with a drop-tail queue,
//! one foreground flow (CUBIC or BBRv1, starting earlier or later, with the same round trip or three times it), with
//! and without jitter. Not covered: real links, Wi-Fi that delays in bursts, active queue management, queues shorter
//! than 20 ms, several such transfers on one link, BBRv3.

mod measure;
pub mod others;

use measure::{Measure, Measured};
use std::time::Duration;

/// The settings. The simulation used the defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The initial rate (bytes a second). Default 64 KiB.
    pub start: u64,
    /// The minimum rate, so that round trips can be measured (bytes a second). The actual minimum is a fiftieth of the
    /// highest rate seen, between this value and four times it. Default 8 KiB.
    pub floor: u64,
    /// The queue that indicates other traffic. An eighth of the round trip applies instead, if it is more. Default 3
    /// ms.
    pub queue: Duration,
    /// The upper limit of that threshold. Default 8 ms.
    pub queue_most: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { start: 64 << 10, floor: 8 << 10, queue: Duration::from_millis(3), queue_most: Duration::from_millis(8) }
    }
}

/// The share of the room to request.
const CRUISE: f64 = 0.98;
/// The share of the room to request when coming back.
const BACK: f64 = 0.94;
/// A queue at a rate within the room means that the room has shrunk, to this share at most.
const YIELD: f64 = 0.95;
/// A probe that ends in a queue raises the room to this share at most: packets arrive in bursts, so a step's rate can
/// exceed the link's.
const SURE: f64 = 1.02;
/// Coming back has succeeded when no queue has risen for this long.
const PROVED: Duration = Duration::from_millis(1000);
/// The first time away; doubles.
const AWAY: Duration = Duration::from_secs(1);
/// The minimum time away in round trips: other flows need them to take the room.
const AWAY_ROUND_TRIPS: u32 = 40;
/// The maximum time away.
const AWAY_MOST: Duration = Duration::from_secs(16);
/// A quiet time of this length undoes one doubling.
const QUIET: Duration = Duration::from_secs(10);
/// The quiet time before the first probe; doubles after each failed probe.
const HOLD: Duration = Duration::from_secs(3);
/// The maximum of that time.
const HOLD_MOST: Duration = Duration::from_secs(12);
/// The growth per step while nothing is known.
const GROWTH: f64 = 1.5;
/// The growth per step after other traffic had taken the room. It is slow, because that traffic may need many round
/// trips to take more.
const REGROWTH: f64 = 1.15;
/// How much more the first probe requests.
const PROBE: f64 = 0.125;
/// The maximum for successful probes.
const PROBE_MOST: f64 = 0.5;
/// The number of steps in a probe.
const PROBE_STEPS: u32 = 4;
/// A queue of this many bytes is ignored, however long it takes to drain.
const PACKETS: f64 = 2.0 * 1500.0;
/// The number of steps for which a queue must stand. A burst of one packet train does not count.
const STANDS: u32 = 2;
/// The number of steps for letting go.
const LET_GO_STEPS: u32 = 3;

/// The phase of the controller.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Nothing is known yet: request more each step until a queue rises.
    Growing,
    /// Request as much as there is room for.
    Cruising,
    /// Request slightly more.
    Probing { gain: f64, steps: u32 },
    /// Request almost nothing for a moment.
    LettingGo { steps: u32 },
    /// Request almost as much as before, and observe.
    Back,
    /// Request almost nothing until then, because other traffic has taken the room.
    Away { until: Duration },
}

/// The rate controller of one receiver. Times are monotonic.
#[derive(Debug, Clone)]
pub struct Pace {
    config: Config,
    measure: Measure,
    state: State,
    since: Duration,
    /// What the link carries for this transfer without a queue (bytes a second).
    room: f64,
    rate: f64,
    /// The number of consecutive steps with a queue.
    queued: u32,
    /// The number of consecutive times that other traffic had taken the room.
    taken: u32,
    hold: Duration,
}

impl Pace {
    /// Creates a controller at the initial rate.
    #[must_use]
    pub fn new(config: Config, now: Duration) -> Self {
        let start = config.start as f64;
        Self {
            measure: Measure::new(now),
            state: State::Growing,
            since: now,
            room: start,
            rate: start,
            queued: 0,
            taken: 0,
            hold: HOLD,
            config,
        }
    }
    /// Records received bytes.
    pub fn received(&mut self, now: Duration, bytes: u64) {
        self.measure.received(bytes);
        self.tick(now);
    }
    /// Records a round-trip time to a sender, measured by TCP or by a message and its answer. Each connection is a path
    /// with its own number.
    pub fn round_trip(&mut self, now: Duration, path: u64, took: Duration) {
        self.measure.round_trip(now, path, took);
        self.tick(now);
    }
    /// Forgets a closed connection.
    pub fn path_ends(&mut self, path: u64) {
        self.measure.path_ends(path);
    }
    /// Returns the rate at which data may be requested or read (bytes a second). A reader that has used its share of
    /// this second must wait.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        (self.rate as u64).max(self.config.floor)
    }
    /// Returns the maximum number of bytes requested but not yet received. If reading slowly is the lever, the socket's
    /// receive buffer must not be much larger: the sender fills it whether or not it is read.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        let round_trip = self.measure.base() + self.config.queue_most;
        (self.rate * 2.0 * round_trip.as_secs_f64()) as u64
    }
    /// Returns whether the transfer is yielding to other traffic. It is then slow on purpose, and the sender is not to
    /// blame.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        matches!(self.state, State::LettingGo { .. } | State::Away { .. })
    }
    /// Lets time pass. Call it at [`Pace::next_wake`] at the latest.
    pub fn tick(&mut self, now: Duration) {
        if let Some(seen) = self.measure.step(now) {
            self.step(now, seen);
        }
    }
    /// Returns when to call [`Pace::tick`] if nothing arrives before.
    #[must_use]
    pub fn next_wake(&self) -> Duration {
        self.measure.step_ends()
    }
    fn step(&mut self, now: Duration, seen: Measured) {
        // A few packets queue before a slow link even without other traffic.
        let packets = Duration::from_secs_f64(PACKETS / self.measure.peak.max(self.config.start as f64));
        let threshold = (seen.base / 8).clamp(self.config.queue, self.config.queue_most) + packets;
        let queue = seen.queue.is_none_or(|queue| queue > threshold);
        self.queued = if queue { self.queued + 1 } else { 0 };
        let here = now.saturating_sub(self.since);
        match self.state {
            State::Growing if self.queued >= 1 => {
                // Beside other traffic, the rate while the queue grows exceeds the room. The rate four steps ago counts
                // instead: data needs that long to arrive and to fill a visible queue.
                let passed = if self.taken > 0 { self.rate / REGROWTH.powi(4) } else { self.rate };
                self.room = seen.rate.min(passed).max(self.config.floor as f64);
                self.enter(now, State::LettingGo { steps: 0 });
            }
            // Grow only if the requested amount arrived; otherwise the sender is the limit.
            State::Growing if seen.rate > 0.7 * self.rate => {
                self.rate *= if self.taken > 0 { REGROWTH } else { GROWTH }
            }
            State::Growing => {}
            State::Cruising | State::Back if self.queued >= STANDS => {
                self.room = seen.rate.min(self.room * YIELD).max(self.config.floor as f64);
                self.taken += 1;
                self.leave(now);
            }
            State::Back if here >= PROVED => self.enter(now, State::Cruising),
            State::Back => {}
            State::Cruising => {
                if here >= self.hold {
                    self.enter(now, State::Probing { gain: PROBE, steps: 0 });
                }
            }
            State::Probing { .. } if self.queued >= STANDS => {
                self.room = seen.rate.clamp(self.room * BACK, self.room * SURE);
                self.hold = (self.hold * 2).min(HOLD_MOST);
                self.enter(now, State::LettingGo { steps: 0 });
            }
            State::Probing { gain, steps } if steps + 1 >= PROBE_STEPS => {
                if seen.rate > (1.0 + gain / 2.0) * self.room {
                    self.room = seen.rate.min(self.rate);
                    self.hold = HOLD;
                    self.taken = self.taken.saturating_sub(1);
                    self.enter(now, State::Probing { gain: (gain * 2.0).min(PROBE_MOST), steps: 0 });
                } else {
                    // No more arrived, and the excess may be in a queue that is too short to see.
                    self.hold = (self.hold * 2).min(HOLD_MOST);
                    self.enter(now, State::LettingGo { steps: 0 });
                }
            }
            State::Probing { gain, steps } => self.state = State::Probing { gain, steps: steps + 1 },
            State::LettingGo { steps } if steps + 1 >= LET_GO_STEPS && !queue => self.enter(now, State::Back),
            // The transfer's own queue would have drained by now, so other traffic has taken the room.
            State::LettingGo { steps } if steps + 1 >= 2 * LET_GO_STEPS => {
                self.taken += 1;
                self.leave(now);
            }
            State::LettingGo { steps } => self.state = State::LettingGo { steps: steps + 1 },
            State::Away { until } if now >= until => {
                if queue {
                    self.taken += 1;
                    self.leave(now);
                } else {
                    self.enter(now, State::Growing);
                }
            }
            State::Away { .. } => {}
        }
        if self.state == State::Cruising && here >= QUIET {
            self.taken = 0;
        }
    }
    fn leave(&mut self, now: Duration) {
        let first = AWAY.max(self.measure.base() * AWAY_ROUND_TRIPS);
        let stay = first.saturating_mul(1 << (self.taken.clamp(1, 10) - 1)).min(AWAY_MOST);
        self.enter(now, State::Away { until: now + stay });
    }
    fn enter(&mut self, now: Duration, state: State) {
        let floor = (self.measure.peak / 50.0).clamp(self.config.floor as f64, 4.0 * self.config.floor as f64);
        self.rate = match state {
            State::Growing => (self.room / 8.0).max(floor),
            State::Cruising => CRUISE * self.room,
            State::Probing { gain, .. } => (1.0 + gain) * self.room,
            State::Back => BACK * self.room,
            State::LettingGo { .. } | State::Away { .. } => floor,
        };
        (self.state, self.since, self.queued) = (state, now, 0);
    }
}
