//! How fast a pull may be sent (rule C11). Pure: the time is an argument.
//!
//! TCP begins by sending ever faster until a queue on the way is full and packets are lost. The machines below then wait
//! for the lost packets, and the tree does not make up for that time. So a pull is sent only a little faster than its
//! receiver can use it: at the rate at which the stripe arrives here. Before that rate is measured, and for content that is
//! whole, the stripe's share of what is known of the link counts.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "speeds, and bytes of one artifact"
)]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How much faster than its expected rate a pull may be sent.
const SURPLUS: f64 = 1.3;
/// Each second, a rate that comes from what is known of a link rises by this part. What is known may be too little.
const RISE: f64 = 0.2;
/// A faster pull needs no pace, because its queues are soon empty (bytes a second).
const FAST: f64 = 6e6;
/// How often rates are measured.
const SAMPLE: Duration = Duration::from_millis(500);
/// How many samples are compared. The highest counts, because a pause of the arrivals says nothing about the link.
const SAMPLES: usize = 4;
/// A receiver that is further behind catches up as fast as the link allows (seconds of arrivals).
const BEHIND: f64 = 2.0;
/// A pull that reaches this part of its pace is limited by it.
const REACHED: f64 = 0.9;

/// The pace of one pull.
#[derive(Debug)]
pub(super) struct Pace {
    expected: Expected,
    began: Instant,
    /// The rates of arrival of the last samples (bytes a second).
    arrivals: VecDeque<f64>,
    sample: Sample,
    most: Option<f64>,
    is_limit: bool,
}

/// What is known when a pull begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// What the receiver can use of this stripe (bytes a second).
    pub(super) rate: Option<u64>,
    /// Whether the stripe is whole, so that it does not arrive while it is sent.
    pub(super) is_whole: bool,
}

/// Where the stripe was when a sample began (bytes).
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    held: u64,
    sent: u64,
}

impl Pace {
    /// Begins a pull. `held`: the bytes of the stripe that are here; `sent`: those that the receiver has.
    pub(super) fn new(at: Instant, held: u64, sent: u64, expected: Expected) -> Self {
        let arrivals = expected.rate.map(|rate| rate as f64).into_iter().collect();
        let sample = Sample { at, held, sent };
        let mut pace = Self { expected, began: at, arrivals, sample, most: None, is_limit: false };
        pace.most = pace.most(at, 0);
        pace
    }
    /// Returns the most that may be sent (bytes a second); `None` for as fast as possible. `held` and `sent` as above,
    /// `sent` with everything that is on the way.
    pub(super) fn update(&mut self, at: Instant, held: u64, sent: u64) -> Option<u64> {
        let passed = at.saturating_duration_since(self.sample.at);
        if passed >= SAMPLE {
            let rate = |bytes: u64| bytes as f64 / passed.as_secs_f64();
            self.arrivals.push_back(rate(held.saturating_sub(self.sample.held)));
            if self.arrivals.len() > SAMPLES {
                self.arrivals.pop_front();
            }
            let sent_rate = rate(sent.saturating_sub(self.sample.sent));
            self.is_limit = self.most.is_some_and(|most| sent_rate >= REACHED * most);
            self.sample = Sample { at, held, sent };
            self.most = self.most(at, held.saturating_sub(sent));
        }
        self.most.map(|most| most as u64)
    }
    /// Returns whether the pace, and not the link, limited the last sample.
    pub(super) fn is_limit(&self) -> bool {
        self.is_limit
    }

    fn most(&self, now: Instant, behind: u64) -> Option<f64> {
        let rate = if self.expected.is_whole {
            let seconds = now.saturating_duration_since(self.began).as_secs_f64();
            self.expected.rate? as f64 * (1.0 + RISE * seconds)
        } else {
            self.arrivals.iter().copied().fold(0.0, f64::max)
        };
        let is_behind = !self.expected.is_whole && behind as f64 > rate * BEHIND;
        (rate > 0.0 && rate < FAST && !is_behind).then_some(rate * SURPLUS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the pace after each half second. `held` and `sent` return the bytes after so many seconds.
    fn paces(expected: Expected, held: impl Fn(f64) -> f64, sent: impl Fn(f64) -> f64) -> Vec<Option<u64>> {
        let began = Instant::now();
        let mut pace = Pace::new(began, held(0.0) as u64, sent(0.0) as u64, expected);
        let at = |half: u32| {
            let seconds = f64::from(half) / 2.0;
            pace.update(began + SAMPLE * half, held(seconds) as u64, sent(seconds) as u64)
        };
        (0..=10).map(at).collect()
    }

    fn whole(rate: Option<u64>) -> Expected {
        Expected { rate, is_whole: true }
    }
    fn arriving(rate: Option<u64>) -> Expected {
        Expected { rate, is_whole: false }
    }

    #[test]
    fn whole_content_leaves_at_the_receivers_share_and_then_faster() {
        let paces = paces(whole(Some(1_000_000)), |_| 1e9, |seconds| 1e6 * seconds);
        assert_eq!((paces[0], paces[10]), (Some(1_300_000), Some(2_600_000)));
    }

    #[test]
    fn nothing_is_paced_of_which_nothing_is_known() {
        assert_eq!(paces(whole(None), |_| 1e9, |_| 0.0), [None; 11]);
        assert_eq!(paces(whole(Some(60_000_000)), |_| 1e9, |_| 0.0), [None; 11], "a fast link");
    }

    #[test]
    fn content_leaves_a_little_faster_than_it_arrives() {
        let arrives = |seconds: f64| 1e6 * seconds;
        assert_eq!(paces(arriving(None), arrives, arrives)[1..], [Some(1_300_000); 10]);
        let from_the_start = paces(arriving(Some(900_000)), arrives, arrives);
        assert_eq!(from_the_start[..2], [Some(1_170_000), Some(1_300_000)]);
    }

    #[test]
    fn a_pause_of_the_arrivals_changes_nothing() {
        let arrives = |seconds: f64| if seconds < 2.0 { 1e6 * seconds } else { 1e6 * (seconds - 1.0).max(2.0) };
        assert_eq!(paces(arriving(None), arrives, arrives)[1..], [Some(1_300_000); 10]);
    }

    #[test]
    fn a_receiver_that_is_far_behind_is_not_paced() {
        let arrives = |seconds: f64| 1e7 + 1e6 * seconds;
        let catches_up = |seconds: f64| 4e6 * seconds;
        let paces = paces(arriving(None), arrives, catches_up);
        assert_eq!((paces[4], paces[6]), (None, Some(1_300_000)));
    }

    #[test]
    fn the_pace_is_the_limit_only_if_it_is_reached() {
        let began = Instant::now();
        let mut pace = Pace::new(began, 1 << 30, 0, whole(Some(1_000_000)));
        pace.update(began + SAMPLE, 1 << 30, 640_000);
        assert!(pace.is_limit());
        pace.update(began + 2 * SAMPLE, 1 << 30, 1_000_000);
        assert!(!pace.is_limit());
    }
}
