//! What one machine may ask of the server at once and per second, so that its load delays no other machine.

use banyan_proto::MachineId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests of one machine that are worked on at once. The long poll does not count while it waits.
const AT_ONCE: usize = 3;

/// How many of something may come at once, and how many per second after that.
#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// A machine that works normally sends a handful for each order, and one every five minutes otherwise.
const REQUESTS: Rate = Rate { burst: 200.0, per_second: 10.0 };
/// Reports. A machine that was away for long delivers up to 10,000, a few hundred in each request.
const REPORTS: Rate = Rate { burst: 12_000.0, per_second: 20.0 };

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst, at: now }
    }
    fn take(&mut self, count: f64, now: Instant) -> bool {
        let more = now.duration_since(self.at).as_secs_f64() * self.rate.per_second;
        (self.left, self.at) = ((self.left + more).min(self.rate.burst), now);
        let enough = self.left >= count;
        if enough {
            self.left -= count;
        }
        enough
    }
}

struct Quota {
    requests: Bucket,
    reports: Bucket,
    working: Arc<Semaphore>,
}

/// The quotas of all machines that have asked for anything.
#[derive(Default)]
pub(crate) struct MachineQuotas(Mutex<HashMap<MachineId, Quota>>);

impl MachineQuotas {
    fn with<T>(&self, machine: MachineId, change: impl FnOnce(&mut Quota, Instant) -> T) -> T {
        let now = Instant::now();
        let mut quotas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = quotas.entry(machine).or_insert_with(|| Quota {
            requests: Bucket::new(REQUESTS, now),
            reports: Bucket::new(REPORTS, now),
            working: Arc::new(Semaphore::new(AT_ONCE)),
        });
        change(quota, now)
    }
    /// Counts a request. Returns `false` if the machine has sent too many.
    pub(crate) fn take_request(&self, machine: MachineId) -> bool {
        self.with(machine, |quota, now| quota.requests.take(1.0, now))
    }
    /// Counts delivered reports. Returns `false` if the machine has sent too many.
    pub(crate) fn take_reports(&self, machine: MachineId, count: usize) -> bool {
        let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
        self.with(machine, |quota, now| quota.reports.take(count, now))
    }
    /// Waits until one of the machine's places for work is free. The place is taken until the permit is dropped.
    pub(crate) async fn begin_work(&self, machine: MachineId) -> Option<OwnedSemaphorePermit> {
        let working = self.with(machine, |quota, _| Arc::clone(&quota.working));
        working.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_machine_that_asks_too_often_is_refused_until_time_has_passed_and_others_are_not() {
        let quotas = MachineQuotas::default();
        let (one, other) = (MachineId([1; 16]), MachineId([2; 16]));
        let taken = (0..1000).filter(|_| quotas.take_request(one)).count();
        assert!((200..250).contains(&taken), "{taken}");
        assert!(quotas.take_request(other));
        let mut bucket = Bucket::new(REQUESTS, Instant::now());
        let later = Instant::now() + Duration::from_secs(1);
        while bucket.take(1.0, later) {}
        assert!(bucket.take(1.0, later + Duration::from_millis(150)));
        assert!(quotas.take_reports(one, 10_000) && !quotas.take_reports(one, 10_000));
    }
}
