//! How fast a stripe arrives from its present source, for the server (rule P12).

use crate::io::Now;
use banyan_proto::MachineId;
use std::time::Duration;

/// The fewest chunks that make a rate …
const ENOUGH_CHUNKS: u32 = 4;
/// … unless they took this long.
const ENOUGH_TIME: Duration = Duration::from_secs(3);
/// A stripe is silent if nothing has arrived for this long, and for twice the usual time between two chunks.
const SILENCE: Duration = Duration::from_secs(1);
/// A source has more if it is ahead by what arrives in this time (seconds). In a pipeline it always is a little ahead.
const AHEAD: f64 = 0.5;
/// The fewest chunks by which it must be ahead.
const AHEAD_CHUNKS: f64 = 2.0;
/// The share of chunks after which the source must already have had more.
const ALWAYS: f64 = 0.8;

/// A rate, and whether the source always had more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    /// Chunks a second.
    pub(crate) rate: f64,
    pub(crate) waits: bool,
}

/// Chunks that have arrived within a time.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    seconds: f64,
    chunks: u32,
    /// Those after which the source already had more.
    waited: u32,
}

/// The chunks that have arrived since the last reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals {
    source: MachineId,
    /// When the last chunk before them arrived.
    since: Now,
    last: Now,
    span: Span,
    /// The span of the last reading. Readings overlap, so that they fluctuate less.
    before: Span,
    /// The usual time between two chunks, in seconds.
    interval: f64,
}

impl Arrivals {
    /// Begins with the first chunk from a source.
    pub(crate) fn new(now: Now, source: MachineId) -> Self {
        Self { source, since: now, last: now, span: Span::default(), before: Span::default(), interval: 0.0 }
    }
    pub(crate) fn source(&self) -> MachineId {
        self.source
    }
    /// Records a chunk. `ahead`: how many more the source has.
    pub(crate) fn record(&mut self, now: Now, ahead: u32) {
        self.last = now;
        self.span.chunks = self.span.chunks.saturating_add(1);
        self.span.waited = self.span.waited.saturating_add(u32::from(self.is_ahead(ahead)));
    }
    fn is_ahead(&self, ahead: u32) -> bool {
        f64::from(ahead) >= AHEAD_CHUNKS.max(if self.interval > 0.0 { AHEAD / self.interval } else { 0.0 })
    }
    /// Returns the rate lately, once enough has arrived since the last reading. `ahead`: how many more chunks the source
    /// has.
    pub(crate) fn take(&mut self, now: Now, ahead: u32) -> Option<Reading> {
        let silence = now.saturating_sub(self.last);
        if silence > SILENCE && silence.as_secs_f64() > 2.0 * self.interval {
            // The next chunk has not arrived within this time.
            (self.since, self.span, self.before) = (self.last, Span::default(), Span::default());
            return Some(Reading { rate: 1.0 / silence.as_secs_f64(), waits: ahead > 0 });
        }
        let is_enough = self.span.chunks >= ENOUGH_CHUNKS || now.saturating_sub(self.since) >= ENOUGH_TIME;
        if !is_enough || self.span.chunks == 0 {
            return None;
        }
        self.span.seconds = self.last.saturating_sub(self.since).as_secs_f64().max(1e-3);
        let (new, old) = (self.span, self.before);
        let chunks = f64::from(new.chunks + old.chunks);
        self.interval = (new.seconds + old.seconds) / chunks;
        let waits = f64::from(new.waited) >= ALWAYS * f64::from(new.chunks);
        (self.since, self.before, self.span) = (self.last, new, Span::default());
        Some(Reading { rate: 1.0 / self.interval, waits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_reading_is_the_rate_of_the_last_two_spans() {
        let mut arrivals = Arrivals::new(ms(0), MachineId([1; 16]));
        assert_eq!(arrivals.take(ms(100), 9), None);
        (1..=10).for_each(|n| arrivals.record(ms(n * 100), 9));
        let Reading { rate, waits } = arrivals.take(ms(1050), 9).unwrap();
        assert!((rate - 10.0).abs() < 0.01 && waits, "{rate}");
        (1..=5).for_each(|n| arrivals.record(ms(1000 + n * 200), 2));
        let Reading { rate, waits } = arrivals.take(ms(2100), 9).unwrap();
        assert!((rate - 7.5).abs() < 0.01 && !waits, "{rate}");
    }

    #[test]
    fn a_silent_source_gets_slower_and_slower() {
        let mut arrivals = Arrivals::new(ms(0), MachineId([1; 16]));
        (1..=10).for_each(|n| arrivals.record(ms(n * 100), 5));
        arrivals.take(ms(1000), 5).unwrap();
        assert_eq!(arrivals.take(ms(1900), 5), None);
        assert_eq!(arrivals.take(ms(3000), 5), Some(Reading { rate: 0.5, waits: true }));
        assert_eq!(arrivals.take(ms(5000), 0), Some(Reading { rate: 0.25, waits: false }));
    }
}
