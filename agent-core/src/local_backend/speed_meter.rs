//! Measures the rate of a growing count over the last few seconds, so that displayed speeds do not jump.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The time the rate is averaged over.
const WINDOW: Duration = Duration::from_secs(3);

/// The recent values of one count.
#[derive(Debug, Default)]
pub(crate) struct SpeedMeter(VecDeque<(Instant, u64)>);

impl SpeedMeter {
    /// Adds the current count and returns its rate (per second).
    pub(crate) fn look(&mut self, now: Instant, count: u64) -> u64 {
        self.0.push_back((now, count));
        // Keep one value older than the window; otherwise a look every few seconds would see no change.
        while self.0.len() > 2 && now.saturating_duration_since(self.0[1].0) >= WINDOW {
            self.0.pop_front();
        }
        let (then, before) = self.0[0];
        let millis = u64::try_from(now.saturating_duration_since(then).as_millis()).unwrap_or(u64::MAX);
        if millis < 100 { 0 } else { count.saturating_sub(before).saturating_mul(1000) / millis }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_and_comes_to_rest() {
        let (mut meter, start) = (SpeedMeter::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(meter.look(at(0), 5_000), 0, "the initial count is not part of the rate");
        assert_eq!(meter.look(at(1000), 6_000), 1_000);
        for second in 2..10 {
            assert_eq!(meter.look(at(second * 1000), 5_000 + second * 1_000), 1_000);
        }
        for second in 10..14 {
            meter.look(at(second * 1000), 14_000);
        }
        assert_eq!(meter.look(at(14_000), 14_000), 0);
    }
}
