//! The usual rate of a stripe, and whether it is too slow now (rule P8).
//!
//! The usual rate is the best average over at least five seconds and at least eight chunks. Both are required, so that
//! neither one large chunk on a slow link nor a short burst sets a rate that no source can sustain. All rates are in
//! chunks per second.

use crate::io::Now;
use std::{collections::VecDeque, time::Duration};

/// Arrivals within this time are counted together, so that a fast link needs only a short history.
const INTERVAL: Duration = Duration::from_millis(250);
/// The fewest chunks that make an average.
const MIN_CHUNKS: u32 = 8;
/// A source is slow below the usual rate divided by this.
const SLOW_DIVISOR: f64 = 4.0;

#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// The start of each interval and the number of chunks that arrived in it, oldest first.
    arrivals: VecDeque<(Now, u32)>,
    usual: Option<f64>,
}

impl Rate {
    /// Records `chunks` new chunks; averages cover at least `span`.
    pub(crate) fn record(&mut self, now: Now, chunks: u32, span: Duration) {
        match self.arrivals.back_mut() {
            Some((start, count)) if now.saturating_sub(*start) < INTERVAL => *count = count.saturating_add(chunks),
            _ => self.arrivals.push_back((now, chunks)),
        }
        let mut count = 0u32;
        for (start, chunks) in self.arrivals.iter().rev() {
            let passed = now.saturating_sub(*start);
            if passed >= span && count >= MIN_CHUNKS {
                let rate = f64::from(count) / passed.as_secs_f64();
                self.usual = Some(self.usual.map_or(rate, |usual| usual.max(rate)));
                break;
            }
            count = count.saturating_add(*chunks);
        }
        let keep = self.observation_window(span).map_or(span, |window| window.max(span));
        // The front is dropped when the next entry can serve equally well as the start of an average and of a window.
        let mut later: u64 = self.arrivals.iter().skip(1).map(|(_, chunks)| u64::from(*chunks)).sum();
        while let Some((start, chunks)) = self.arrivals.get(1).copied() {
            if now.saturating_sub(start) <= keep || later < u64::from(MIN_CHUNKS) + u64::from(chunks) {
                break;
            }
            later -= u64::from(chunks);
            self.arrivals.pop_front();
        }
    }
    /// Returns how long a source must be observed before it can be called slow: `span`, or on slow links the time in
    /// which a quarter of the usual rate delivers one chunk. `None` while the usual rate is unknown.
    pub(crate) fn observation_window(&self, span: Duration) -> Option<Duration> {
        self.usual.map(|usual| span.max(Duration::from_secs_f64((SLOW_DIVISOR / usual).min(1e6))))
    }
    /// Returns whether fewer chunks arrived in the last `window` than at a quarter of the usual rate.
    pub(crate) fn is_slow(&self, now: Now, window: Duration) -> bool {
        let since = now.saturating_sub(window);
        let arrived: u64 =
            self.arrivals.iter().rev().take_while(|(at, _)| *at >= since).map(|(_, chunks)| u64::from(*chunks)).sum();
        match self.usual {
            Some(usual) => (arrived as f64) < usual / SLOW_DIVISOR * window.as_secs_f64(),
            None => arrived == 0,
        }
    }
    /// Returns how many chunks have arrived within this time.
    pub(crate) fn arrived_since(&self, now: Now, within: Duration) -> u32 {
        let since = now.saturating_sub(within);
        self.arrivals.iter().rev().take_while(|(at, _)| *at >= since).map(|(_, chunks)| chunks).sum()
    }
    /// Halves the expected rate after a source was dropped for slowness, so that sources are not changed endlessly in
    /// search of a rate that the network no longer delivers.
    pub(crate) fn halve_expectation(&mut self) {
        self.usual = self.usual.map(|usual| usual / 2.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(5);

    #[test]
    fn a_steady_source_is_not_slow_and_a_fading_one_is() {
        let mut rate = Rate::default();
        for tick in 0..100u64 {
            rate.record(Duration::from_millis(tick * 100), 2, SPAN);
        }
        let now = Duration::from_secs(10);
        assert_eq!(rate.observation_window(SPAN), Some(SPAN));
        assert!(!rate.is_slow(now, SPAN));
        assert!(!rate.is_slow(now + SPAN * 2 / 3, SPAN), "a third of the usual amount arrived in the window");
        assert!(rate.is_slow(now + SPAN * 4 / 5, SPAN), "a fifth arrived");
        assert!(rate.arrivals.len() < 64);
    }

    #[test]
    fn a_slow_link_with_large_chunks_gets_the_time_it_needs() {
        let mut rate = Rate::default();
        for n in 0..20u64 {
            rate.record(Duration::from_secs(n * 50), 1, SPAN);
        }
        let window = rate.observation_window(SPAN).unwrap();
        assert!(window >= Duration::from_secs(199), "{window:?}");
        assert!(!rate.is_slow(Duration::from_secs(19 * 50 + 60), window));
        assert!(rate.is_slow(Duration::from_secs(19 * 50 + 201), window));
        assert!(rate.arrivals.len() < 64);
    }
}
