//! Giving way: how fast a receiver may ask, so that everything else on its link hardly notices.
//!
//! Senders are ordinary TCP; only the receiver knows that the transfer can wait. It slows it down by asking slowly, and learns about
//! others from round-trip times: a queue grows at the bottleneck before anybody loses anything. That much is rLEDBAT (RFC 9840)
//! with LEDBAT++ as its rule. LEDBAT++ aims at a standing queue of 60 ms, which has two faults for us: where the round trip is short a
//! whole BBR flow causes less queue than that, so we would never give way to one; and a standing queue is felt by everybody.
//! So the rule here is another one:
//!
//! 1. **Room.** Ask for a little less than the link was seen to carry for us, so that alone we cause no queue at all. A queue then
//!    means somebody else.
//! 2. **Let go.** After asking for more than there was room for, ask for next to nothing until our own queue has run off. If it does
//!    not run off, it is not ours.
//! 3. **Come back** to nearly what got through. A queue that rises now, or later, means that somebody has taken room: stay away, longer
//!    each time, so that a greedy flow is disturbed for a small part of the time only; then begin again, slowly.
//! 4. **Probe.** After a quiet while, ask for a little more. If more comes without a queue, there is more room: go on, faster each
//!    time.
//!
//! **The lever matters.** What was asked for and is not here yet must be bounded by [`Pace::outstanding`]: with requests or
//! credits, or by a socket's receive buffer of about that size. A large receive buffer goes on filling the link while its reader waits;
//! with 1 MiB of it on 20 Mbit/s and 20 ms this controller took its own queue for somebody else and used a tenth of an idle link.
//!
//! **No agent does this.** What is in use is [`others`], which counts instead of guessing. Tried on real sockets (`TCP_INFO`'s round trip of the
//! receiving socket, windows and reading as the lever), this controller used 0.22 of an idle link of 20 Mbit/s while the machine's
//! processors were busy: the kernel's figure for a receiver holds our own pauses in reading too, and a late wake-up looks like a queue of
//! some milliseconds. And in a swarm the queue before a parent is its other child's. A round trip that a peer measures
//! where it sends would be better, but has to be told to us. What is shown for it is shown **in simulation** (`tests/schedule/pace`): one bottleneck with a drop-tail queue, one flow in the
//! foreground (CUBIC or BBRv1, before or after us, of our round trip or three times it), with and without jitter. Not shown: real links,
//! Wi-Fi that delays in bursts, queues under active management, queues shorter than 20 ms, several of us at once on one link, BBRv3.

mod measure;
pub mod others;

use measure::{Measure, Measured};
use std::time::Duration;

/// What may be adjusted. The defaults are those the simulation was made with.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Asked for at first (bytes a second). Default 64 KiB.
    pub start: u64,
    /// Asked for at the least, so that round trips can be measured (bytes a second). A fiftieth of what the link was seen to
    /// carry, between this and four times this. Default 8 KiB.
    pub floor: u64,
    /// A queue of this much, or of an eighth of the round trip if that is more, means others. Default 3 ms.
    pub queue: Duration,
    /// The most that a queue may be without meaning others. Default 8 ms.
    pub queue_most: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { start: 64 << 10, floor: 8 << 10, queue: Duration::from_millis(3), queue_most: Duration::from_millis(8) }
    }
}

/// Asked for, of what the link was seen to carry for us.
const CRUISE: f64 = 0.98;
/// Asked for when coming back.
const BACK: f64 = 0.94;
/// A queue that rises while the room is not left means that there is less room, by so much at least.
const YIELD: f64 = 0.95;
/// A probe that ends in a queue finds no more room than this: packets bunch up, and one step's rate may be more than the link's.
const SURE: f64 = 1.02;
/// Coming back has worked when no queue has risen for so long.
const PROVED: Duration = Duration::from_millis(1000);
/// The first stay away; doubles.
const AWAY: Duration = Duration::from_secs(1);
/// but at least so many round trips: others need them to take the room.
const AWAY_ROUND_TRIPS: u32 = 40;
/// The longest stay away.
const AWAY_MOST: Duration = Duration::from_secs(16);
/// A quiet time after which one doubling is forgotten.
const QUIET: Duration = Duration::from_secs(10);
/// The first quiet time before more is asked for; doubles with each time in vain.
const HOLD: Duration = Duration::from_secs(3);
/// The longest.
const HOLD_MOST: Duration = Duration::from_secs(12);
/// Growth for each step while nothing is known.
const GROWTH: f64 = 1.5;
/// Growth for each step when somebody had taken the room: slow, for they may need many round trips to take more.
const REGROWTH: f64 = 1.15;
/// The first probe asks for so much more.
const PROBE: f64 = 0.125;
/// Probes that succeed grow up to so much more.
const PROBE_MOST: f64 = 0.5;
/// Steps that a probe takes.
const PROBE_STEPS: u32 = 4;
/// A queue of so many bytes is none, however long it takes.
const PACKETS: f64 = 2.0 * 1500.0;
/// Steps that a queue stands before it means something: a burst of one packet train is none.
const STANDS: u32 = 2;
/// Steps of letting go.
const LET_GO_STEPS: u32 = 3;

/// What is being done, since when.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Nothing is known: ask for more each step until a queue rises.
    Growing,
    /// Ask for what there is room for.
    Cruising,
    /// Ask for a little more.
    Probing { gain: f64, steps: u32 },
    /// Ask for next to nothing for a moment.
    LettingGo { steps: u32 },
    /// Ask for nearly as much as before and see.
    Back,
    /// Ask for next to nothing until then: somebody has taken the room.
    Away { until: Duration },
}

/// How fast one receiver may ask. Time is monotonic.
#[derive(Debug, Clone)]
pub struct Pace {
    config: Config,
    measure: Measure,
    state: State,
    since: Duration,
    /// What the link carries for us without a queue (bytes a second).
    room: f64,
    rate: f64,
    /// Steps in a row with a queue.
    queued: u32,
    /// Times in a row that somebody had taken the room.
    taken: u32,
    hold: Duration,
}

impl Pace {
    /// Begins slowly.
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
    /// So many bytes were received.
    pub fn received(&mut self, now: Duration, bytes: u64) {
        self.measure.received(bytes);
        self.tick(now);
    }
    /// A round trip to a sender took so long (as TCP measures it, or by a message and its answer). Each connection is a path
    /// with a number of its own.
    pub fn round_trip(&mut self, now: Duration, path: u64, took: Duration) {
        self.measure.round_trip(now, path, took);
        self.tick(now);
    }
    /// A connection is gone.
    pub fn path_ends(&mut self, path: u64) {
        self.measure.path_ends(path);
    }
    /// How many bytes a second may be asked for (read) now. A reader that has its share of this second waits.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        (self.rate as u64).max(self.config.floor)
    }
    /// How many bytes may be on their way at most (asked for and not here). Where reading slowly is the lever, the socket's
    /// receive buffer must not be much larger than this: what it has room for comes whether it is read or not.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        let round_trip = self.measure.base() + self.config.queue_most;
        (self.rate * 2.0 * round_trip.as_secs_f64()) as u64
    }
    /// Whether others are being given way to now: the transfer is slow on purpose, and its sender is not to blame.
    #[must_use]
    pub fn gives_way(&self) -> bool {
        matches!(self.state, State::LettingGo { .. } | State::Away { .. })
    }
    /// Lets time pass. Call it at the latest at [`Pace::next_wake`].
    pub fn tick(&mut self, now: Duration) {
        if let Some(seen) = self.measure.step(now) {
            self.step(now, seen);
        }
    }
    /// When to call [`Pace::tick`] if nothing comes before.
    #[must_use]
    pub fn next_wake(&self) -> Duration {
        self.measure.step_ends()
    }
    fn step(&mut self, now: Duration, seen: Measured) {
        // A few packets stand before a slow link without anybody being there.
        let packets = Duration::from_secs_f64(PACKETS / self.measure.peak.max(self.config.start as f64));
        let threshold = (seen.base / 8).clamp(self.config.queue, self.config.queue_most) + packets;
        let queue = seen.queue.is_none_or(|queue| queue > threshold);
        self.queued = if queue { self.queued + 1 } else { 0 };
        let here = now.saturating_sub(self.since);
        match self.state {
            State::Growing if self.queued >= 1 => {
                // Beside others, what comes while the queue grows is more than there is room for: what passed without one counts,
                // four steps ago: that long it takes to come, and to fill a queue that can be seen.
                let passed = if self.taken > 0 { self.rate / REGROWTH.powi(4) } else { self.rate };
                self.room = seen.rate.min(passed).max(self.config.floor as f64);
                self.enter(now, State::LettingGo { steps: 0 });
            }
            // More is asked for only when what was asked for came: else the sender is the limit.
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
                    // No more came, and what was asked for beyond the room may stand in a queue that is too short to see.
                    self.hold = (self.hold * 2).min(HOLD_MOST);
                    self.enter(now, State::LettingGo { steps: 0 });
                }
            }
            State::Probing { gain, steps } => self.state = State::Probing { gain, steps: steps + 1 },
            State::LettingGo { steps } if steps + 1 >= LET_GO_STEPS && !queue => self.enter(now, State::Back),
            // Our own queue would have run off by now: somebody has taken the room.
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
