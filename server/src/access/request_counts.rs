//! Counts the administrators' requests by the class of their answer's status, for the metrics.

use axum::http::StatusCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// The classes of status, as the metrics name them.
const CLASSES: [&str; 4] = ["2xx", "4xx", "5xx", "other"];

/// How many requests were answered, since the server started.
#[derive(Debug, Default)]
pub(crate) struct RequestCounts([AtomicU64; 4]);

impl RequestCounts {
    pub(crate) fn count(&self, status: StatusCode) {
        let class = match status.as_u16() / 100 {
            2 => 0,
            4 => 1,
            5 => 2,
            _ => 3,
        };
        self.0[class].fetch_add(1, Ordering::Relaxed);
    }
    /// Returns the classes with their counts.
    pub(crate) fn read(&self) -> [(&'static str, u64); 4] {
        std::array::from_fn(|class| (CLASSES[class], self.0[class].load(Ordering::Relaxed)))
    }
}
