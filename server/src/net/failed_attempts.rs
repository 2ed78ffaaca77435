//! Failed attempts to prove who one is: a wrong administrator's token, or a wrong join code. They are answered ever more
//! slowly, counted by network, and logged once a minute. A correct token is answered at once from everywhere.

use crate::net::connections::network_of;
use banyan_wire::rare_log::RareLog;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::warn;

/// Attempts that are answered at once.
const FREE_ATTEMPTS: u32 = 3;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(8);
/// Failed attempts are forgotten this long after the last one.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);
/// Most networks that are remembered.
const MAX_NETWORKS: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// The failed attempts of the last minutes.
#[derive(Default)]
pub(crate) struct FailedAttempts(Mutex<HashMap<IpAddr, Failures>>);

impl FailedAttempts {
    /// Records a failed attempt. Returns how long the answer must wait.
    pub(crate) fn record(&self, from: IpAddr, what: &'static str) -> Duration {
        static LOG: RareLog = RareLog::each_minute();
        let count = self.count(network_of(from), Instant::now());
        if let Some(more) = LOG.due() {
            warn!(%from, count, more, "refused: {what}");
        }
        let steps = count.saturating_sub(FREE_ATTEMPTS);
        if steps == 0 { Duration::ZERO } else { (FIRST_DELAY * 2_u32.pow((steps - 1).min(8))).min(LONGEST_DELAY) }
    }
    fn count(&self, network: IpAddr, now: Instant) -> u32 {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_NETWORKS && !failures.contains_key(&network) {
            failures.retain(|_, of| now.duration_since(of.last) < FORGET_AFTER);
            // Still full: many networks at once. The least active is forgotten.
            if failures.len() >= MAX_NETWORKS
                && let Some(least) = failures.iter().min_by_key(|(_, of)| (of.count, of.last)).map(|(&at, _)| at)
            {
                failures.remove(&least);
            }
        }
        let of = failures.entry(network).or_insert(Failures { count: 0, last: now });
        if now.duration_since(of.last) >= FORGET_AFTER {
            of.count = 0;
        }
        *of = Failures { count: of.count.saturating_add(1), last: now };
        of.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_attempt_of_a_network_waits_longer_and_other_networks_do_not() {
        let attempts = FailedAttempts::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let delays: Vec<u128> = (0..12).map(|_| attempts.record(one, "a test").as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
        assert_eq!(attempts.record(other, "a test"), Duration::ZERO);
    }

    #[test]
    fn many_networks_take_bounded_memory_and_the_busiest_stays_known() {
        let attempts = FailedAttempts::default();
        let now = Instant::now();
        let busy = IpAddr::from([10, 0, 0, 1]);
        assert_eq!((0..9).map(|_| attempts.count(busy, now)).max(), Some(9));
        for number in 0..2 * MAX_NETWORKS as u32 {
            attempts.count(IpAddr::from((0xc0a8_0000 + number).to_be_bytes()), now);
        }
        assert!(attempts.0.lock().unwrap().len() <= MAX_NETWORKS);
        assert_eq!(attempts.count(busy, now), 10);
        assert_eq!(attempts.count(busy, now + FORGET_AFTER), 1);
    }
}
