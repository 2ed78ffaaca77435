//! How far the most advanced machines of an order are, and how fast they advance.

use crate::io::Now;
use std::time::Duration;

/// The shortest time over which the rate is measured.
const MIN_TIME: Duration = Duration::from_secs(1);

/// The position of the most advanced machine that this one knows of: chunks of any stripe.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// When a position was first known, and which.
    first: Option<(Now, u32)>,
    position: u32,
    /// Chunks a second. It stays when the front has reached the end.
    rate: Option<f64>,
}

impl Front {
    /// Records the position, and returns the rate, once it is known.
    pub(crate) fn update(&mut self, now: Now, position: u32) -> Option<f64> {
        if position > self.position {
            self.position = position;
            let (since, from) = *self.first.get_or_insert((now, position));
            let time = now.saturating_sub(since);
            if time >= MIN_TIME {
                self.rate = Some(f64::from(position - from) / time.as_secs_f64());
            }
        }
        self.rate
    }
}
