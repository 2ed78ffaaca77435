//! Giving way to the other programs of this machine, without guessing: the network interface counts everything that passes, we
//! know what of it was ours, and the difference is theirs.
//!
//! While nobody else transfers there is no limit at all, so an idle link is used as if this did not exist. When somebody does:
//!
//! 1. **Let go.** Move next to nothing, and look how much they take when they can have all of it.
//! 2. **Take the rest**, if their appetite leaves any: what the link was seen to carry, less a little more than they take. More is
//!    tried slowly.
//! 3. When the link is full and they get less than they took, or when they want more, let go again. What was too much is remembered, and
//!    tried again after longer and longer, so that a flow that would take everything is disturbed for a small part of the time only.
//!
//! What this cannot see is other machines behind the same bottleneck; for that there is [`super::Pace`].

use std::{collections::VecDeque, time::Duration};

/// Steps are remembered for so long.
const KEPT: Duration = Duration::from_millis(3050);
/// Others are noticed in any of these spans; a short one needs a lot, a long one little.
const SPANS: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_millis(600), Duration::from_millis(1000), Duration::from_millis(3000)];
const SECOND: Duration = Duration::from_secs(1);
/// So many steps in a row must say the same.
const SURE: usize = 2;
/// Of the link: what others must move to be noticed.
const NOTICED: f64 = 0.04;
/// Of the link: below this others are gone.
const GONE: f64 = 0.02;
/// Bytes that are nobody's programs: names looked up, clocks set, our own calls to the server.
const NOISE: f64 = (32 << 10) as f64;
/// Of the link: moved while letting go, so that connections live.
const FLOOR: f64 = 1.0 / 64.0;
/// That, at the least and at the most (bytes a second).
const FLOOR_LEAST: f64 = (32 << 10) as f64;
const FLOOR_MOST: f64 = (128 << 10) as f64;
/// A look at what others take.
const LOOK: Duration = Duration::from_secs(3);
/// Whoever was silent for a second is gone, but not so soon after we let go: a flow that lost a lot may have to take breath.
const BREATH: Duration = Duration::from_secs(2);
/// What was too much is not tried again for so long; doubles, up to the other.
const HOLD: Duration = Duration::from_secs(10);
const HOLD_MOST: Duration = Duration::from_secs(80);
/// Of what was too much, what is sure not to be.
const BACK: f64 = 0.75;
/// Of what others took: below this, on a full link, we are in their way.
const HARM: f64 = 0.96;
/// … and above this they want more.
const WANT: f64 = 1.15;
/// Of the link: above this it is full.
const FULL: f64 = 0.85;
/// Tried each second.
const MORE: f64 = 1.15;
/// The most that the link carried is remembered in so many slots,
const SLOTS: usize = 8;
/// of so long each.
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
    /// Nobody else is here.
    Alone,
    /// Letting go, since and until then at least; what others took a second ago.
    Looking { since: Duration, until: Duration, took: f64 },
    /// They take so much, and we as much as this.
    Sharing { took: f64, limit: f64, raise: Duration },
}

/// One direction of the link. Time is monotonic, rates are bytes a second.
#[derive(Debug, Clone)]
pub struct Others {
    /// How long bytes may be on their way between our count and the interface's.
    slack: Duration,
    steps: VecDeque<Step>,
    last: Duration,
    capacity: VecDeque<(Duration, f64)>,
    state: State,
    /// What was too much, until when that counts.
    ceiling: Option<(f64, Duration)>,
    hold: Duration,
}

impl Others {
    /// `slack`: how long bytes may be between our own count and the interface's: the longest queue in front of it for what is
    /// sent, a moment for what is received.
    #[must_use]
    pub fn new(slack: Duration, now: Duration) -> Self {
        let (steps, capacity) = (VecDeque::new(), VecDeque::new());
        Self { slack, steps, last: now, capacity, state: State::Alone, ceiling: None, hold: HOLD }
    }
    /// How many bytes a second may be moved; none: nobody else is here.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        match self.state {
            State::Alone => None,
            State::Looking { .. } => Some(self.floor() as u64),
            State::Sharing { limit, .. } => Some(limit as u64),
        }
    }
    /// Since the last call so many bytes were ours, and so many passed the interface, headers included. Call it about ten times a
    /// second while something moves; after a longer silence everything is forgotten but what the link carries.
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
                    // What they took a second before the end is compared with what they take at the end.
                    self.state = State::Looking { since, until, took: others };
                } else if now >= until && others > 1.1 * took {
                    // They are still growing.
                    self.state = State::Looking { since, until: now + SECOND, took: others };
                } else if now >= until {
                    let rest = 0.9 * self.carries() - 1.25 * others;
                    let limit = self.below_ceiling(now, rest).max(self.floor());
                    // Whoever takes the whole link wants all of it: more is tried late.
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
                    // What does not come for want of a sender is no room.
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
    /// Whether others move something that cannot be a miscount. Bytes that the interface has counted and we have not yet, because
    /// the processors are busy, look like others' for a moment: so the least of the last steps counts.
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
    /// What the link was lately seen to carry for everybody.
    fn carries(&self) -> f64 {
        self.capacity.iter().map(|(_, most)| *most).fold(FLOOR_LEAST, f64::max)
    }
    fn floor(&self) -> f64 {
        (FLOOR * self.carries()).clamp(FLOOR_LEAST, FLOOR_MOST)
    }
    /// Seconds, our bytes, all bytes of the last `span`; none when less has been seen.
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
    /// All, and what of it is others', a second.
    fn rates(&self, span: Duration) -> Option<(f64, f64)> {
        let (seconds, ours, all) = self.sums(span)?;
        Some((all / seconds, (all - ours).max(0.0) / seconds))
    }
}
