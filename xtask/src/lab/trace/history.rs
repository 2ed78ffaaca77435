//! What every host held of every stripe at every moment, and from whom.

use super::chunk_log::{ChunkEvent, What};

/// The history of all hosts and stripes.
pub(super) struct History {
    /// By host, then by stripe.
    hosts: Vec<Vec<Curve>>,
    /// The chunks of each stripe.
    chunks: Vec<u32>,
}

/// The chunks of one stripe on one host over time.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    /// Each arrival, in order of time.
    pub(super) points: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) seconds: f64,
    pub(super) held: u32,
    pub(super) source: Option<usize>,
}

impl Curve {
    /// Returns how many chunks were held at this time.
    pub(super) fn held(&self, seconds: f64) -> u32 {
        match self.points.partition_point(|point| point.seconds <= seconds) {
            0 => 0,
            after => self.points[after - 1].held,
        }
    }
    /// Returns the points at which the source changed, the first arrival included.
    pub(super) fn changes(&self) -> Vec<Point> {
        let mut found: Vec<Point> = Vec::new();
        for point in self.points.iter().filter(|point| point.source.is_some()) {
            if found.last().is_none_or(|last| last.source != point.source) {
                found.push(*point);
            }
        }
        found
    }
    /// Returns when all of these chunks were held.
    pub(super) fn complete(&self, chunks: u32) -> Option<f64> {
        self.points.iter().find(|point| point.held >= chunks).map(|point| point.seconds)
    }
    pub(super) fn end(&self) -> Option<f64> {
        self.points.last().map(|point| point.seconds)
    }
}

impl History {
    pub(super) fn new(events: &[ChunkEvent], hosts: usize) -> Self {
        let stripes = events.iter().map(|event| event.stripe + 1).max().unwrap_or(0);
        let mut history = Self { hosts: vec![vec![Curve::default(); stripes]; hosts], chunks: vec![0; stripes] };
        for event in events {
            let seen = match event.what {
                What::Arrived(held) => held,
                What::Left(at) => at + 1,
                What::Asked(_) => 0,
            };
            let chunks = &mut history.chunks[event.stripe];
            *chunks = seen.max(*chunks);
            if let What::Arrived(held) = event.what {
                let point = Point { seconds: event.seconds, held, source: event.peer };
                history.hosts[event.host][event.stripe].points.push(point);
            }
        }
        history
    }
    pub(super) fn stripes(&self) -> usize {
        self.chunks.len()
    }
    pub(super) fn chunks(&self, stripe: usize) -> u32 {
        self.chunks[stripe]
    }
    pub(super) fn curve(&self, host: usize, stripe: usize) -> &Curve {
        &self.hosts[host][stripe]
    }
    /// Returns when the last chunk arrived anywhere.
    pub(super) fn end(&self) -> f64 {
        self.hosts.iter().flatten().filter_map(Curve::end).fold(0.0, f64::max)
    }
}
