//! Measures conditions while there is work, no more often than a decision needs.

use crate::sensors::{Sensors, sampler::Sampler};
use banyan_schedule::idle_detector::IdleThresholds;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Interval of processor measurements while a decision depends on them: a returning user is noticed within 2 s.
const LOAD_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of processor measurements while there is other work; they are only displayed.
const LOAD_DISPLAY_INTERVAL: Duration = Duration::from_secs(5);
/// Interval of disk and power measurements while there is work.
const REST_INTERVAL: Duration = Duration::from_secs(20);

/// What there is to do, as far as measuring depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorkState {
    /// Whether an order is in progress.
    pub(crate) has_work: bool,
    /// Whether a decision depends on the processor load.
    pub(crate) needs_idleness: bool,
    /// Whether the install helper is running.
    pub(crate) is_installing: bool,
}

/// The measurements while there is work, and when the next ones are due.
pub(crate) struct Measuring {
    sensors: Arc<Sensors>,
    sampler: Sampler,
    load_due: Instant,
    rest_due: Instant,
}

impl Measuring {
    /// Starts with everything due. `idle_after` is the quiet time after which the machine counts as idle.
    pub(crate) fn new(sensors: Arc<Sensors>, idle_after: Duration) -> Self {
        // A shorter required quiet time uses a proportionally shorter average.
        let average = IdleThresholds::default().average.min(idle_after / 6);
        let sampler = Sampler::new(IdleThresholds { idle_after, average, ..IdleThresholds::default() });
        Self { sensors, sampler, load_due: Instant::now(), rest_due: Instant::now() }
    }
    /// Measures what is due.
    pub(crate) fn measure_when_due(&mut self, work: WorkState) {
        let now = Instant::now();
        if !work.has_work {
            self.sampler.stop();
            self.load_due = now;
            self.rest_due = now;
        } else if now >= self.load_due {
            // Samples taken too close together carry no information.
            let interval = if work.needs_idleness { LOAD_INTERVAL } else { LOAD_DISPLAY_INTERVAL };
            self.load_due = now + interval;
            let is_rest_due = now >= self.rest_due;
            if is_rest_due {
                self.rest_due = now + REST_INTERVAL;
            }
            self.sensors.measure(&mut self.sampler, work.is_installing, is_rest_due);
        }
    }
    /// Returns how long until the next measurement, while there is work.
    pub(crate) fn time_until_due(&self) -> Duration {
        self.load_due.saturating_duration_since(Instant::now())
    }
}
