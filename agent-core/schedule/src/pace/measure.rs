//! Measures what a receiver can observe in one step: the bytes received and the length of the queue.
//!
//! Several connections share one link. Each has its own minimum round-trip time, so each queue is measured against the
//! minimum of its own path. The queue of the shared link is the shortest of these queues.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// The minimum length of a step. In a shorter one a few packets would decide.
const STEP: Duration = Duration::from_millis(25);
/// The maximum length of a step on slow links.
const STEP_MOST: Duration = Duration::from_millis(75);
/// Slow links use longer steps, so that this many bytes arrive in one.
const STEP_BYTES: f64 = 12.0 * 1500.0;
/// The number of slots that hold the minimum round-trip time.
const SLOTS: usize = 10;
/// The length of a slot. A longer route is therefore accepted after ten minutes.
const SLOT: Duration = Duration::from_secs(60);
/// Without a round-trip time for this long, the path counts as congested.
const BLIND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct Measure {
    began: Duration,
    bytes: u64,
    /// The highest rate so far (bytes a second).
    pub(super) peak: f64,
    /// The shortest queue in this step.
    least: Option<Duration>,
    samples: u32,
    smooth: Duration,
    paths: BTreeMap<u64, VecDeque<(Duration, Duration)>>,
}

/// The measurement of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// The receive rate (bytes a second).
    pub(super) rate: f64,
    /// The length of the queue; `None` if no round-trip time was seen for too long.
    pub(super) queue: Option<Duration>,
    /// The minimum round-trip time, without a queue.
    pub(super) base: Duration,
}

impl Measure {
    pub(super) fn new(now: Duration) -> Self {
        Self { began: now, bytes: 0, peak: 0.0, least: None, samples: 0, smooth: STEP, paths: BTreeMap::new() }
    }
    pub(super) fn received(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
    pub(super) fn round_trip(&mut self, now: Duration, path: u64, took: Duration) {
        self.samples += 1;
        self.smooth = self.smooth * 7 / 8 + took / 8;
        let slots = self.paths.entry(path).or_default();
        match slots.back_mut() {
            Some((began, least)) if now.saturating_sub(*began) < SLOT => *least = (*least).min(took),
            _ => slots.push_back((now, took)),
        }
        while slots.len() > SLOTS {
            slots.pop_front();
        }
        let queue = took.saturating_sub(least(slots));
        self.least = Some(self.least.map_or(queue, |least| least.min(queue)));
    }
    pub(super) fn path_ends(&mut self, path: u64) {
        self.paths.remove(&path);
    }
    pub(super) fn step_ends(&self) -> Duration {
        self.began + self.length()
    }
    fn length(&self) -> Duration {
        let bytes = Duration::from_secs_f64(STEP_BYTES / self.peak.max(1.0)).min(STEP_MOST);
        self.smooth.max(bytes).clamp(STEP, BLIND)
    }
    /// Returns the minimum round-trip time, without a queue.
    pub(super) fn base(&self) -> Duration {
        self.paths.values().map(least).min().unwrap_or(STEP)
    }
    /// Returns the measurement when a step is over.
    pub(super) fn step(&mut self, now: Duration) -> Option<Measured> {
        let took = now.saturating_sub(self.began);
        if took < self.length() || (self.samples < 2 && took < BLIND) {
            return None;
        }
        let seen = Measured { rate: self.bytes as f64 / took.as_secs_f64(), queue: self.least, base: self.base() };
        self.peak = self.peak.max(seen.rate);
        (self.began, self.bytes, self.least, self.samples) = (now, 0, None, 0);
        Some(seen)
    }
}

fn least(slots: &VecDeque<(Duration, Duration)>) -> Duration {
    slots.iter().map(|(_, least)| *least).min().unwrap_or(STEP)
}
