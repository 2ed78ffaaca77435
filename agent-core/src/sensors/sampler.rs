//! Measures what no service reports: processor load, battery, free disk space.

use super::{power, processor::Processor, reading::Reading, readings::Readings};
use banyan_proto::UnixSeconds;
use banyan_schedule::{
    Moment,
    idle_detector::{IdleDetector, IdleThresholds},
};
use std::{path::Path, time::Duration};

/// How long a measurement is valid; the scheduler measures more often while there is work.
pub(super) const VALID_FOR: Duration = Duration::from_secs(60);
/// How long a processor load is valid.
const LOAD_VALID_FOR: Duration = Duration::from_secs(15);

/// Measures the processor load over time.
pub(crate) struct Sampler {
    processor: Processor,
    idleness: IdleDetector,
}

impl Sampler {
    pub(crate) fn new(thresholds: IdleThresholds) -> Self {
        Self { processor: Processor::default(), idleness: IdleDetector::new(thresholds) }
    }
    /// Measures the processor load since the last call; the first call only starts the measurement.
    pub(super) fn measure_load(&mut self, into: &mut Readings, now: Moment, installing: bool) {
        let Some(percent) = self.processor.measure_load(installing) else { return };
        into.load = Some(Reading::measured(self.idleness.sample(now.mono, percent), now, LOAD_VALID_FOR));
        into.quiet_since = self
            .idleness
            .quiet_since()
            .map(|since| UnixSeconds(now.wall.0.saturating_sub(now.mono.saturating_sub(since).as_secs())));
    }
    /// Stops measuring: a gap between measurements is not quiet time.
    pub(crate) fn stop(&mut self) {
        self.processor.forget();
    }
}

/// Measures battery and disk.
pub(super) fn measure_rest(into: &mut Readings, now: Moment, content: &Path) {
    let battery = power::read_battery(Path::new("/sys/class/power_supply"));
    into.battery = battery.map(|value| Reading::measured(value, now, VALID_FOR));
    into.measure_disk(now, content);
}
