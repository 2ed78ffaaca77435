//! Measures the rate of a growing count over the last few seconds, so that displayed speeds do not jump.

use banyan_proto::OrderId;
use banyan_wire::lock::lock;
use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
    time::{Duration, Instant},
};

/// The time the rate is averaged over.
const WINDOW: Duration = Duration::from_secs(3);

/// The speed meters of all orders.
#[derive(Debug, Default)]
pub(super) struct SpeedMeters(Mutex<HashMap<OrderId, OrderMeters>>);

#[derive(Debug, Default)]
struct OrderMeters {
    download: SpeedMeter,
    upload: SpeedMeter,
}

/// Speeds of one order (bytes a second).
#[derive(Debug, Clone, Copy)]
pub(super) struct Speeds {
    pub(super) download: u64,
    pub(super) upload: u64,
}

impl SpeedMeters {
    /// Forgets all orders but these.
    pub(super) fn retain(&self, is_active: impl Fn(OrderId) -> bool) {
        lock(&self.0).retain(|order, _| is_active(*order));
    }
    /// Adds an order's present totals (bytes) and returns its speeds.
    pub(super) fn measure(&self, order: OrderId, received: u64, sent: u64) -> Speeds {
        let now = Instant::now();
        let mut all = lock(&self.0);
        let meters = all.entry(order).or_default();
        Speeds { download: meters.download.measure(now, received), upload: meters.upload.measure(now, sent) }
    }
}

/// A count, and when it was read.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    count: u64,
}

/// The recent values of one count.
#[derive(Debug, Default)]
struct SpeedMeter(VecDeque<Sample>);

impl SpeedMeter {
    /// Adds the current count and returns its rate (per second).
    fn measure(&mut self, now: Instant, count: u64) -> u64 {
        self.0.push_back(Sample { at: now, count });
        // Keep one value older than the window; otherwise a measurement every few seconds would see no change.
        while self.0.len() > 2 && now.saturating_duration_since(self.0[1].at) >= WINDOW {
            self.0.pop_front();
        }
        let first = self.0[0];
        let millis = u64::try_from(now.saturating_duration_since(first.at).as_millis()).unwrap_or(u64::MAX);
        if millis < 100 { 0 } else { count.saturating_sub(first.count).saturating_mul(1000) / millis }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_follows_the_count_and_comes_to_rest() {
        let (mut meter, start) = (SpeedMeter::default(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(meter.measure(at(0), 5_000), 0, "the initial count is not part of the rate");
        assert_eq!(meter.measure(at(1000), 6_000), 1_000);
        for second in 2..10 {
            assert_eq!(meter.measure(at(second * 1000), 5_000 + second * 1_000), 1_000);
        }
        for second in 10..14 {
            meter.measure(at(second * 1000), 14_000);
        }
        assert_eq!(meter.measure(at(14_000), 14_000), 0);
    }
}
