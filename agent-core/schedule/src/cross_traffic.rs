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

/// How long samples are kept.
const HISTORY: Duration = Duration::from_millis(3050);
/// Other traffic is detected in any of these spans. A short span requires a lot of it, a long one little.
const SPANS: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1000), Duration::from_millis(3000)];
const SECOND: Duration = Duration::from_secs(1);
/// The number of consecutive samples that must agree.
const AGREEING_SAMPLES: usize = 2;
/// The share of the link that other traffic must use to be detected.
const DETECTED_ABOVE: f64 = 0.04;
/// The share of the link below which other traffic counts as gone.
const GONE_BELOW: f64 = 0.02;
/// Background traffic that is ignored (bytes): DNS, clock synchronisation, this program's own calls to the server.
const NOISE: f64 = (32 << 10) as f64;
/// The share of the link to use while letting go, which keeps connections alive.
const MINIMUM_SHARE: f64 = 1.0 / 64.0;
/// The limits of that rate (bytes a second).
const LOWEST_MINIMUM: f64 = (32 << 10) as f64;
const HIGHEST_MINIMUM: f64 = (128 << 10) as f64;
/// How long to observe what other programs take.
const OBSERVE: Duration = Duration::from_secs(3);
/// Other traffic that is silent for a second counts as gone, but not before this time has passed since letting go: a
/// flow with heavy losses may pause.
const MIN_OBSERVE: Duration = Duration::from_secs(2);
/// How long a rate that was too high is not retried; doubles up to the maximum below.
const RETRY_AFTER: Duration = Duration::from_secs(10);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(80);
/// The share of a rate that was too high that is certainly safe.
const SAFE_SHARE: f64 = 0.75;
/// The share of their earlier rate below which others are being disturbed, if the link is full,
const HARMED_BELOW: f64 = 0.96;
/// … and above which they want more.
const WANTS_MORE_ABOVE: f64 = 1.15;
/// The share of the link above which it counts as full.
const FULL_ABOVE: f64 = 0.85;
/// The growth per second.
const GROWTH: f64 = 1.15;
/// The number of slots that hold the highest rate of the link,
const CAPACITY_SLOTS: usize = 8;
/// … each of this length.
const CAPACITY_SLOT: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, Copy)]
struct Sample {
    began: Duration,
    at: Duration,
    ours: f64,
    all: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TrafficState {
    /// There is no other traffic.
    NoOthers,
    /// Letting go: since when, and until when at least; what others took a second ago.
    Observing { since: Duration, until: Duration, took: f64 },
    /// Others take this much, and the limit is this.
    Sharing { took: f64, limit: f64, raise: Duration },
}

/// The controller of one direction of the link. Times are monotonic, rates are in bytes a second.
#[derive(Debug, Clone)]
pub struct CrossTraffic {
    /// How long bytes may be in transit between this program's count and the interface's.
    slack: Duration,
    samples: VecDeque<Sample>,
    last: Duration,
    capacity: VecDeque<(Duration, f64)>,
    state: TrafficState,
    /// The rate that was too high, and until when it is remembered.
    ceiling: Option<(f64, Duration)>,
    retry_after: Duration,
}

impl CrossTraffic {
    /// Creates a controller. `slack` is how long bytes may be in transit between this program's count and the
    /// interface's: for sent bytes the longest queue in front of the interface, for received bytes a moment.
    #[must_use]
    pub fn new(slack: Duration, now: Duration) -> Self {
        let (samples, capacity) = (VecDeque::new(), VecDeque::new());
        Self {
            slack,
            samples,
            last: now,
            capacity,
            state: TrafficState::NoOthers,
            ceiling: None,
            retry_after: RETRY_AFTER,
        }
    }
    /// Returns the rate limit (bytes a second); `None` without other traffic.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        match self.state {
            TrafficState::NoOthers => None,
            TrafficState::Observing { .. } => Some(self.minimum_rate() as u64),
            TrafficState::Sharing { limit, .. } => Some(limit as u64),
        }
    }
    /// Records the bytes since the last call: this program's own, and all that passed the interface, headers included.
    /// Call it about ten times a second during a transfer. After a longer silence everything except the link's capacity
    /// is forgotten.
    pub fn record(&mut self, now: Duration, ours: u64, all: u64) {
        let began = std::mem::replace(&mut self.last, now);
        if now.saturating_sub(began) > SECOND {
            self.samples.clear();
            self.reset();
            return;
        }
        self.samples.push_back(Sample { began, at: now, ours: ours as f64, all: all as f64 });
        while self.samples.front().is_some_and(|sample| now.saturating_sub(sample.at) > HISTORY) {
            self.samples.pop_front();
        }
        if let Some((all, _)) = self.rates(SECOND) {
            match self.capacity.back_mut() {
                Some((since, most)) if now.saturating_sub(*since) < CAPACITY_SLOT => *most = most.max(all),
                _ => self.capacity.push_back((now, all)),
            }
            while self.capacity.len() > CAPACITY_SLOTS {
                self.capacity.pop_front();
            }
        }
        self.decide(now);
    }
    fn decide(&mut self, now: Duration) {
        let second = self.rates(SECOND);
        match self.state {
            TrafficState::NoOthers if self.has_other_traffic() => self.start_observing(now),
            TrafficState::NoOthers => {}
            TrafficState::Observing { since, until, took } => {
                let Some((_, others)) = second else { return };
                if others < GONE_BELOW * self.link_capacity() && now.saturating_sub(since) >= MIN_OBSERVE {
                    self.reset();
                } else if until.saturating_sub(now) >= SECOND {
                    // Their rate a second before the end is compared with their rate at the end.
                    self.state = TrafficState::Observing { since, until, took: others };
                } else if now >= until && others > 1.1 * took {
                    // Others are still growing.
                    self.state = TrafficState::Observing { since, until: now + SECOND, took: others };
                } else if now >= until {
                    let rest = 0.9 * self.link_capacity() - 1.25 * others;
                    let limit = self.below_ceiling(now, rest).max(self.minimum_rate());
                    // Traffic that takes the whole link wants all of it, so wait longer before trying more.
                    let wait = if others > FULL_ABOVE * self.link_capacity() { RETRY_AFTER } else { SECOND };
                    self.state = TrafficState::Sharing { took: others, limit, raise: now + wait };
                }
            }
            TrafficState::Sharing { took, limit, raise } => {
                let Some((all, others)) = second else { return };
                let full = all > FULL_ABOVE * self.link_capacity();
                if others < GONE_BELOW * self.link_capacity() {
                    self.reset();
                } else if full && others < HARMED_BELOW * took {
                    self.ceiling = Some((SAFE_SHARE * limit, now + self.retry_after));
                    self.retry_after = (self.retry_after * 2).min(MAX_RETRY_AFTER);
                    self.start_observing(now);
                } else if others > WANTS_MORE_ABOVE * took + NOISE {
                    self.start_observing(now);
                } else if now >= raise {
                    let ours = all - others;
                    // Data that is missing because the sender is slow is not room.
                    let more = if ours > 0.7 * limit { limit * GROWTH } else { limit };
                    let limit = self.below_ceiling(now, more).max(limit);
                    self.state = TrafficState::Sharing { took, limit, raise: now + SECOND };
                }
            }
        }
    }
    fn start_observing(&mut self, now: Duration) {
        self.state = TrafficState::Observing { since: now, until: now + OBSERVE, took: 0.0 };
    }
    fn reset(&mut self) {
        (self.state, self.ceiling, self.retry_after) = (TrafficState::NoOthers, None, RETRY_AFTER);
    }
    fn below_ceiling(&self, now: Duration, rate: f64) -> f64 {
        self.ceiling.filter(|(_, until)| now < *until).map_or(rate, |(most, _)| rate.min(most))
    }
    /// Returns whether other traffic is certain. Bytes that the interface has counted and this program has not yet,
    /// because the processors are busy, briefly look like other traffic, so the minimum over the last samples counts.
    fn has_other_traffic(&self) -> bool {
        if self.capacity.is_empty() {
            return false;
        }
        let link = self.link_capacity();
        let (mut since, mut late) = (0.0, 0.0_f64);
        for sample in self.samples.iter().rev().take(AGREEING_SAMPLES - 1) {
            since += sample.all - sample.ours;
            late = late.max(since);
        }
        SPANS.into_iter().any(|span| {
            self.totals(span).is_some_and(|(took, ours, all)| {
                all - ours - late > DETECTED_ABOVE * link * took + self.slack.as_secs_f64() * link + NOISE
            })
        })
    }
    /// Returns the highest recent rate of the link, for all traffic.
    fn link_capacity(&self) -> f64 {
        self.capacity.iter().map(|(_, most)| *most).fold(LOWEST_MINIMUM, f64::max)
    }
    fn minimum_rate(&self) -> f64 {
        (MINIMUM_SHARE * self.link_capacity()).clamp(LOWEST_MINIMUM, HIGHEST_MINIMUM)
    }
    /// Returns seconds, own bytes and all bytes of the last `span`; `None` if less was observed.
    fn totals(&self, span: Duration) -> Option<(f64, f64, f64)> {
        let since = self.last.checked_sub(span)?;
        let mut sum = (0.0, 0.0);
        for sample in self.samples.iter().rev() {
            sum = (sum.0 + sample.ours, sum.1 + sample.all);
            if sample.began <= since {
                return Some((self.last.saturating_sub(sample.began).as_secs_f64(), sum.0, sum.1));
            }
        }
        None
    }
    /// Returns the rate of all traffic and of other traffic (bytes a second).
    fn rates(&self, span: Duration) -> Option<(f64, f64)> {
        let (seconds, ours, all) = self.totals(span)?;
        Some((all / seconds, (all - ours).max(0.0) / seconds))
    }
}
