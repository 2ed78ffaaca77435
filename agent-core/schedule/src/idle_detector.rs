//! Detects processor idleness. Idleness begins slowly, so that a short lull starts no transfer, and ends quickly, so
//! that a returning user never has to wait.

use banyan_proto::schedule::Load;
use std::time::Duration;

/// The thresholds of idleness. Percentages are of all cores, without this program's own share, which the sampler
/// subtracts.
#[derive(Debug, Clone, PartialEq)]
pub struct IdleThresholds {
    /// The average must be below this (percent). Default 20.
    pub idle_below: u8,
    /// … for this long. Default 3 min.
    pub idle_after: Duration,
    /// A short average of this much ends idleness at once (percent). Default 40.
    pub busy_above: u8,
    /// The time constant of the average. Default 30 s.
    pub average: Duration,
    /// The time constant of the short average. One busy second ends idleness. Default 1.5 s.
    pub short: Duration,
    /// If samples are further apart than this, the time between them counts as unknown. Default 30 s.
    pub max_gap: Duration,
}

impl Default for IdleThresholds {
    fn default() -> Self {
        let s = Duration::from_secs;
        let short = Duration::from_millis(1500);
        Self { idle_below: 20, idle_after: s(180), busy_above: 40, average: s(30), short, max_gap: s(30) }
    }
}

/// Computes [`Load`] from processor samples.
#[derive(Debug, Clone)]
pub struct IdleDetector {
    thresholds: IdleThresholds,
    history: Option<History>,
}

#[derive(Debug, Clone)]
struct History {
    last: Duration,
    average: f64,
    short: f64,
    quiet_since: Option<Duration>,
    idle: bool,
}

impl IdleDetector {
    /// Starts without any samples.
    #[must_use]
    pub fn new(thresholds: IdleThresholds) -> Self {
        Self { thresholds, history: None }
    }
    /// Adds a sample: the processor load since the previous one (percent). Values above 100 and values that are not
    /// numbers count as 100. `now` is monotonic. Returns the current load.
    pub fn sample(&mut self, now: Duration, percent: f64) -> Load {
        let t = &self.thresholds;
        let percent = if percent.is_finite() { percent.clamp(0.0, 100.0) } else { 100.0 };
        let fresh = History { last: now, average: percent, short: percent, quiet_since: None, idle: false };
        let mut history =
            self.history.take().filter(|history| now.saturating_sub(history.last) <= t.max_gap).unwrap_or(fresh);
        let passed = now.saturating_sub(history.last).as_secs_f64();
        history.average += (percent - history.average) * weight(passed, t.average);
        history.short += (percent - history.short) * weight(passed, t.short);
        history.last = history.last.max(now);
        if history.short >= f64::from(t.busy_above) {
            (history.idle, history.quiet_since) = (false, None);
        } else if history.average < f64::from(t.idle_below) {
            let since = *history.quiet_since.get_or_insert(now);
            history.idle |= now.saturating_sub(since) >= t.idle_after;
        } else {
            // Between the thresholds, idleness can continue but not begin.
            history.quiet_since = history.quiet_since.filter(|_| history.idle);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
        let load = Load { percent: history.average.round() as u8, idle: history.idle };
        self.history = Some(history);
        load
    }
    /// Returns since when the processor has been quiet (monotonic), for "quiet for 4 min".
    #[must_use]
    pub fn quiet_since(&self) -> Option<Duration> {
        self.history.as_ref()?.quiet_since
    }
}

/// Returns the weight of a new value in an average after this many seconds.
fn weight(passed: f64, constant: Duration) -> f64 {
    1.0 - (-passed / constant.as_secs_f64().max(1e-3)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples every five seconds. Returns the times (seconds) at which idleness began or ended.
    fn changes(loads: impl IntoIterator<Item = f64>) -> Vec<(u64, bool)> {
        let mut detector = IdleDetector::new(IdleThresholds::default());
        let mut changes = vec![];
        for (n, load) in (0..).zip(loads) {
            let idle = detector.sample(Duration::from_secs(5 * n), load).idle;
            if idle != changes.last().is_some_and(|(_, idle)| *idle) {
                changes.push((5 * n, idle));
            }
        }
        changes
    }

    #[test]
    fn idleness_is_entered_slowly_and_left_at_the_first_busy_sample() {
        assert_eq!(changes(vec![5.0; 60]), [(180, true)]);
        let busy_at_300 = (0..80).map(|n| if n >= 60 { 90.0 } else { 5.0 });
        assert_eq!(changes(busy_at_300), [(180, true), (300, false)]);
    }

    #[test]
    fn with_a_sample_each_second_a_returning_user_is_detected_within_two_seconds() {
        // The user returns between two samples, so only part of the first sample after that is theirs.
        for part in [0.01, 0.3, 0.7, 1.0] {
            let mut detector = IdleDetector::new(IdleThresholds::default());
            let quiet = (0..200).map(|n| detector.sample(Duration::from_secs(n), 3.0).idle).last();
            assert_eq!(quiet, Some(true));
            let first = detector.sample(Duration::from_secs(200), 3.0 + part * 77.0).idle;
            let second = detector.sample(Duration::from_secs(201), 80.0).idle;
            // If all of it is theirs, the first sample comes a second after they returned.
            assert!(!second && (part < 1.0 || !first), "{part}: {first}, {second}");
        }
    }

    #[test]
    fn a_lull_between_busy_times_is_not_idle() {
        let lulls = (0..400).map(|n| if n % 30 < 5 { 80.0 } else { 3.0 });
        assert_eq!(changes(lulls), []);
    }

    #[test]
    fn between_the_thresholds_the_state_does_not_change() {
        assert_eq!(changes(vec![30.0; 200]), []);
        let quiet_then_between = (0..200).map(|n| if n < 50 { 5.0 } else { 30.0 });
        assert_eq!(changes(quiet_then_between), [(180, true)]);
    }

    #[test]
    fn a_gap_in_the_samples_is_not_quiet_time() {
        let mut detector = IdleDetector::new(IdleThresholds::default());
        for n in 0..34 {
            assert!(!detector.sample(Duration::from_secs(5 * n), 1.0).idle);
        }
        assert!(!detector.sample(Duration::from_secs(3600), 1.0).idle, "suspended for an hour");
        assert!(!detector.sample(Duration::from_secs(3600 + 25), 1.0).idle);
        assert!(detector.quiet_since() >= Some(Duration::from_secs(3600)));
        assert!(
            !detector.sample(Duration::from_secs(3650), f64::NAN).idle,
            "a value that is not a number is not quiet"
        );
    }
}
