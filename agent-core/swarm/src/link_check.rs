//! What a machine's link carries, before its first transfer (rule P14): from a few bytes that server and machine send
//! each other once.
//!
//! Such a reading is coarse. It tells slow links from others and nothing more, so a fast link counts as unknown.

use crate::io::Now;
use banyan_proto::{MeasuredRate, limits::LINK_CHECK_BYTES};
use std::time::Duration;

/// The times of this many bytes are compared: a record of TLS.
const PART: usize = LINK_CHECK_BYTES / 8;
/// This many of the longest times do not count. A machine may see a part late, and lost packets arrive late.
const LATE_PARTS: usize = 2;
/// What takes longer in all did not only wait for a busy processor.
const LONGEST_PAUSE: Duration = Duration::from_millis(150);
/// A link that carries this much is not slow (bytes of content a second): 50 Mbit/s. Faster ones pass a part in less time
/// than a busy processor may need to see it.
const FAST: f64 = 6e6;

/// A check that lasts this long ends, however much has arrived.
pub const LONGEST: Duration = Duration::from_secs(8);
/// What arrived until then shows the rate, if it is at least this much (bytes).
const LEAST: usize = LINK_CHECK_BYTES / 32;

/// The arrivals of one check in one direction. Times are since it began.
#[derive(Debug, Default)]
pub struct LinkCheck {
    received: usize,
    /// When each part was complete.
    parts: Vec<Now>,
}

impl LinkCheck {
    /// Records bytes that have arrived.
    pub fn record(&mut self, at: Now, bytes: usize) {
        self.received = self.received.saturating_add(bytes);
        let complete = self.received.min(LINK_CHECK_BYTES) / PART;
        self.parts.resize(complete.max(self.parts.len()), at);
    }
    /// Returns the rate when the check has ended; `None` if it was interrupted. Long times count, because parts arrive at
    /// once that waited for a lost packet, or passed a shaper that was idle. The average counts, too, if it cannot come
    /// from a busy processor.
    #[must_use]
    pub fn rate(&self, ended: Now) -> Option<MeasuredRate> {
        let rate = if self.received >= LINK_CHECK_BYTES {
            let begins = std::iter::once(&Now::ZERO).chain(&self.parts);
            let times = begins.zip(&self.parts).map(|(from, to)| to.saturating_sub(*from).as_secs_f64());
            let mut times: Vec<f64> = times.collect();
            times.sort_by(|a, b| b.total_cmp(a));
            let all: f64 = times.iter().sum();
            let average = if all > LONGEST_PAUSE.as_secs_f64() { LINK_CHECK_BYTES as f64 / all } else { f64::INFINITY };
            average.min(PART as f64 / times.get(LATE_PARTS)?)
        } else if ended >= LONGEST && self.received >= LEAST {
            self.received as f64 / ended.as_secs_f64()
        } else {
            return None;
        };
        Some(if rate < FAST {
            MeasuredRate { at_least: rate as u64, at_most: Some(rate as u64), is_rough: true }
        } else {
            MeasuredRate { at_least: FAST as u64, at_most: None, is_rough: true }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a check shows if the bytes arrive at these times (milliseconds).
    fn rate(arrivals: &[(u64, usize)]) -> Option<MeasuredRate> {
        let mut check = LinkCheck::default();
        arrivals.iter().for_each(|(at, bytes)| check.record(Duration::from_millis(*at), *bytes));
        check.rate(Duration::from_millis(arrivals.last().map_or(0, |(at, _)| *at)))
    }
    fn steady(each: u64) -> Vec<(u64, usize)> {
        (0..8).map(|at| (at * each, LINK_CHECK_BYTES / 8)).collect()
    }

    #[test]
    fn a_slow_link_shows_its_rate() {
        assert_eq!(rate(&steady(64)).unwrap().at_most, Some(256_000), "2 Mbit/s");
        assert_eq!(rate(&steady(8)).unwrap().at_most, Some(2_048_000));
    }

    #[test]
    fn pauses_and_bursts_change_nothing() {
        let mut late = steady(8);
        (late[5].0, late[6].0) = (late[5].0 + 50, late[5].0 + 50);
        late[7].0 = late[6].0 + 20;
        assert_eq!(rate(&late).unwrap().at_most, Some(2_048_000));
        let burst =
            [(0, LINK_CHECK_BYTES / 4), (320, LINK_CHECK_BYTES / 4), (384, 16_384), (448, 16_384), (448, 32_768)];
        assert_eq!(rate(&burst).unwrap().at_most, Some(256_000), "three parts waited for a lost packet");
        let lost = [(0, LINK_CHECK_BYTES / 2), (512, LINK_CHECK_BYTES / 2)];
        assert_eq!(rate(&lost).unwrap().at_most, Some(256_000), "half of the parts did");
    }

    #[test]
    fn a_fast_link_is_not_slow_and_nothing_more() {
        let fast = MeasuredRate { at_least: 6_000_000, at_most: None, is_rough: true };
        assert_eq!(rate(&steady(0)), Some(fast));
        assert_eq!(rate(&[(3, LINK_CHECK_BYTES)]), Some(fast));
        assert_eq!(rate(&steady(2)), Some(fast));
        let [one, two] = [(0, LINK_CHECK_BYTES / 2), (90, LINK_CHECK_BYTES / 2)];
        assert_eq!(rate(&[one, two]), Some(fast), "the processor was busy");
    }

    #[test]
    fn an_interrupted_check_shows_nothing() {
        assert_eq!(rate(&[]), None);
        assert_eq!(rate(&steady(9)[..7]), None);
        let too_slow = rate(&[(4000, 4000), (8000, 4000)]);
        assert_eq!(too_slow.unwrap().at_most, Some(1000), "one that took too long was not interrupted");
    }
}
