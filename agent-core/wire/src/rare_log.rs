//! Keeps what others can cause out of the log, except once a minute.

use crate::lock::lock;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Decides how often one kind of message is logged.
#[derive(Debug)]
pub struct RareLog {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    logged: Option<Instant>,
    skipped: u64,
}

impl RareLog {
    /// Allows one message a minute.
    #[must_use]
    pub const fn each_minute() -> Self {
        Self { every: Duration::from_secs(60), state: Mutex::new(State { logged: None, skipped: 0 }) }
    }
    /// Returns whether to log now: the number of messages skipped since the last one, or `None` to skip this one, too.
    pub fn due(&self) -> Option<u64> {
        let mut state = lock(&self.state);
        if state.logged.is_some_and(|logged| logged.elapsed() < self.every) {
            state.skipped += 1;
            return None;
        }
        state.logged = Some(Instant::now());
        Some(std::mem::take(&mut state.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_logged_and_the_rest_counted() {
        let mut log = RareLog::each_minute();
        assert_eq!([log.due(), log.due(), log.due()], [Some(0), None, None]);
        log.every = Duration::ZERO;
        assert_eq!(log.due(), Some(2));
    }
}
