//! Yields bandwidth to other programs on this machine. The network interface counts all traffic; subtracting this
//! program's own leaves theirs, so no guessing is needed.
//!
//! While no other program transfers data there is no limit, and an idle link is used in full. When one does:
//!
//! 1. **Let go.** Transfer almost nothing, and observe how much the others take when they can have everything.
//! 2. **Take the rest**, if they leave any: what the link was seen to carry, minus slightly more than they take. Then
//!    increase slowly.
//! 3. If the link is full and they get less than before, or if they want more, let go again. The rate that was too high
//!    is remembered, and retried after longer and longer times, so that a flow that would take everything is disturbed
//!    only for a small part of the time.
//!
//! This cannot detect other machines behind the same bottleneck (`docs/numbers.md` says what was tried for that).

use std::{collections::VecDeque, time::Duration};

/// How long steps are kept.
const KEPT: Duration = Duration::from_millis(3050);
/// Other traffic is detected in any of these spans. A short span requires a lot of it, a long one little.
const SPANS: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1000), Duration::from_millis(3000)];
const SECOND: Duration = Duration::from_secs(1);
/// The number of consecutive steps that must agree.
const SURE: usize = 2;
/// The share of the link that other traffic must use to be detected.
const NOTICED: f64 = 0.04;
/// The share of the link below which other traffic counts as gone.
const GONE: f64 = 0.02;
/// Background traffic that is ignored (bytes): DNS, clock synchronisation, this program's own calls to the server.
const NOISE: f64 = (32 << 10) as f64;
/// The share of the link to use while letting go, which keeps connections alive.
const FLOOR: f64 = 1.0 / 64.0;
/// The limits of that rate (bytes a second).
const FLOOR_LEAST: f64 = (32 << 10) as f64;
const FLOOR_MOST: f64 = (128 << 10) as f64;
/// How long to observe what other programs take.
const LOOK: Duration = Duration::from_secs(3);
/// Other traffic that is silent for a second counts as gone, but not before this time has passed since letting go: a
/// flow with heavy losses may pause.
const BREATH: Duration = Duration::from_secs(2);
/// How long a rate that was too high is not retried; doubles up to the maximum below.
const HOLD: Duration = Duration::from_secs(10);
const HOLD_MOST: Duration = Duration::from_secs(80);
/// The share of a rate that was too high that is certainly safe.
const BACK: f64 = 0.75;
/// The share of their earlier rate below which others are being disturbed, if the link is full,
const HARM: f64 = 0.96;
/// … and above which they want more.
const WANT: f64 = 1.15;
/// The share of the link above which it counts as full.
const FULL: f64 = 0.85;
/// The growth per second.
const MORE: f64 = 1.15;
/// The number of slots that hold the highest rate of the link,
const SLOTS: usize = 8;
/// … each of this length.
const SLOT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
struct Step {
    began: Duration,
    at: Duration,
    ours: f64,
    all: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// There is no other traffic.
    Alone,
    /// Letting go: since when, and until when at least; what others took a second ago.
    Looking { since: Duration, until: Duration, took: f64 },
    /// Others take this much, and the limit is this.
    Sharing { took: f64, limit: f64, raise: Duration },
}

/// The controller of one direction of the link. Times are monotonic, rates are in bytes a second.
#[derive(Debug, Clone)]
pub struct Others {
    /// How long bytes may be in transit between this program's count and the interface's.
    slack: Duration,
    steps: VecDeque<Step>,
    last: Duration,
    capacity: VecDeque<(Duration, f64)>,
    state: State,
    /// The rate that was too high, and until when it is remembered.
    ceiling: Option<(f64, Duration)>,
    hold: Duration,
}

impl Others {
    /// Creates a controller. `slack` is how long bytes may be in transit between this program's count and the
    /// interface's: for sent bytes the longest queue in front of the interface, for received bytes a moment.
    #[must_use]
    pub fn new(slack: Duration, now: Duration) -> Self {
        let (steps, capacity) = (VecDeque::new(), VecDeque::new());
        Self { slack, steps, last: now, capacity, state: State::Alone, ceiling: None, hold: HOLD }
    }
    /// Returns the rate limit (bytes a second); `None` without other traffic.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        match self.state {
            State::Alone => None,
            State::Looking { .. } => Some(self.floor() as u64),
            State::Sharing { limit, .. } => Some(limit as u64),
        }
    }
    /// Records the bytes since the last call: this program's own, and all that passed the interface, headers included.
    /// Call it about ten times a second during a transfer. After a longer silence everything except the link's capacity
    /// is forgotten.
    pub fn moved(&mut self, now: Duration, ours: u64, all: u64) {
        let began = std::mem::replace(&mut self.last, now);
        if now.saturating_sub(began) > SECOND {
            self.steps.clear();
            self.alone();
            return;
        }
        self.steps.push_back(Step { began, at: now, ours: ours as f64, all: all as f64 });
        while self.steps.front().is_some_and(|step| now.saturating_sub(step.at) > KEPT) {
            self.steps.pop_front();
        }
        if let Some((all, _)) = self.rates(SECOND) {
            match self.capacity.back_mut() {
                Some((since, most)) if now.saturating_sub(*since) < SLOT => *most = most.max(all),
                _ => self.capacity.push_back((now, all)),
            }
            while self.capacity.len() > SLOTS {
                self.capacity.pop_front();
            }
        }
        self.decide(now);
    }
    fn decide(&mut self, now: Duration) {
        let second = self.rates(SECOND);
        match self.state {
            State::Alone if self.somebody() => self.look(now),
            State::Alone => {}
            State::Looking { since, until, took } => {
                let Some((_, others)) = second else { return };
                if others < GONE * self.carries() && now.saturating_sub(since) >= BREATH {
                    self.alone();
                } else if until.saturating_sub(now) >= SECOND {
                    // Their rate a second before the end is compared with their rate at the end.
                    self.state = State::Looking { since, until, took: others };
                } else if now >= until && others > 1.1 * took {
                    // Others are still growing.
                    self.state = State::Looking { since, until: now + SECOND, took: others };
                } else if now >= until {
                    let rest = 0.9 * self.carries() - 1.25 * others;
                    let limit = self.below_ceiling(now, rest).max(self.floor());
                    // Traffic that takes the whole link wants all of it, so wait longer before trying more.
                    let wait = if others > FULL * self.carries() { HOLD } else { SECOND };
                    self.state = State::Sharing { took: others, limit, raise: now + wait };
                }
            }
            State::Sharing { took, limit, raise } => {
                let Some((all, others)) = second else { return };
                let full = all > FULL * self.carries();
                if others < GONE * self.carries() {
                    self.alone();
                } else if full && others < HARM * took {
                    self.ceiling = Some((BACK * limit, now + self.hold));
                    self.hold = (self.hold * 2).min(HOLD_MOST);
                    self.look(now);
                } else if others > WANT * took + NOISE {
                    self.look(now);
                } else if now >= raise {
                    let ours = all - others;
                    // Data that is missing because the sender is slow is not room.
                    let more = if ours > 0.7 * limit { limit * MORE } else { limit };
                    let limit = self.below_ceiling(now, more).max(limit);
                    self.state = State::Sharing { took, limit, raise: now + SECOND };
                }
            }
        }
    }
    fn look(&mut self, now: Duration) {
        self.state = State::Looking { since: now, until: now + LOOK, took: 0.0 };
    }
    fn alone(&mut self) {
        (self.state, self.ceiling, self.hold) = (State::Alone, None, HOLD);
    }
    fn below_ceiling(&self, now: Duration, rate: f64) -> f64 {
        self.ceiling.filter(|(_, until)| now < *until).map_or(rate, |(most, _)| rate.min(most))
    }
    /// Returns whether other traffic is certain. Bytes that the interface has counted and this program has not yet,
    /// because the processors are busy, briefly look like other traffic, so the minimum over the last steps counts.
    fn somebody(&self) -> bool {
        if self.capacity.is_empty() {
            return false;
        }
        let link = self.carries();
        let (mut since, mut late) = (0.0, 0.0_f64);
        for step in self.steps.iter().rev().take(SURE - 1) {
            since += step.all - step.ours;
            late = late.max(since);
        }
        SPANS.into_iter().any(|span| {
            self.sums(span).is_some_and(|(took, ours, all)| {
                all - ours - late > NOTICED * link * took + self.slack.as_secs_f64() * link + NOISE
            })
        })
    }
    /// Returns the highest recent rate of the link, for all traffic.
    fn carries(&self) -> f64 {
        self.capacity.iter().map(|(_, most)| *most).fold(FLOOR_LEAST, f64::max)
    }
    fn floor(&self) -> f64 {
        (FLOOR * self.carries()).clamp(FLOOR_LEAST, FLOOR_MOST)
    }
    /// Returns seconds, own bytes and all bytes of the last `span`; `None` if less was observed.
    fn sums(&self, span: Duration) -> Option<(f64, f64, f64)> {
        let since = self.last.checked_sub(span)?;
        let mut sum = (0.0, 0.0);
        for step in self.steps.iter().rev() {
            sum = (sum.0 + step.ours, sum.1 + step.all);
            if step.began <= since {
                return Some((self.last.saturating_sub(step.began).as_secs_f64(), sum.0, sum.1));
            }
        }
        None
    }
    /// Returns the rate of all traffic and of other traffic (bytes a second).
    fn rates(&self, span: Duration) -> Option<(f64, f64)> {
        let (seconds, ours, all) = self.sums(span)?;
        Some((all / seconds, (all - ours).max(0.0) / seconds))
    }
}
