//! The conditions that the schedule depends on. Measured while there is work ([`sampler`]): processor load (without
//! low-priority work and the agent's own share), free disk space, and batteries that no service reports. Reported by
//! system services as they change ([`services`], [`dbus`]): power, networks, presence. Reported by desktop programs
//! ([`screen`]): full-screen programs.

#[cfg(target_os = "linux")]
mod dbus;
mod power;
mod processor;
mod reading;
pub(crate) mod readings;
pub(crate) mod sampler;
pub(crate) mod screen;
mod services;

use crate::change_notifier::ChangeNotifier;
use banyan_proto::UnixSeconds;
use banyan_schedule::Moment;
use banyan_wire::lock::lock;
use readings::Readings;
use sampler::Sampler;
use screen::ScreenReports;
use services::{ServiceReadings, ServiceValues};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};

/// Maximum wait for the system services' answers.
const SERVICES_ANSWER: Duration = Duration::from_secs(2);
/// Maximum wait for the first reading of the system services.
pub(crate) const FIRST_READING: Duration = Duration::from_secs(10);

/// A request to ask the services again; the requester waits until it is dropped.
type RefreshRequest = oneshot::Sender<()>;

/// What this machine knows about its own conditions.
pub(crate) struct Sensors {
    started: Instant,
    /// The content folder, whose disk needs free space.
    pub(crate) content: PathBuf,
    /// What was measured here last.
    measured: Mutex<Readings>,
    services: Mutex<ServiceReadings>,
    /// Whether all services that run have been read once.
    services_read: watch::Sender<bool>,
    /// Asks the system services to report again.
    refresh: OnceLock<mpsc::Sender<RefreshRequest>>,
    /// Desktop programs' reports about the screen.
    pub(crate) screen: Arc<ScreenReports>,
    notifier: Arc<ChangeNotifier>,
}

impl Sensors {
    /// Creates the sensors; nothing is known yet. `content` is the content folder.
    #[must_use]
    pub(crate) fn new(content: PathBuf, notifier: Arc<ChangeNotifier>) -> Self {
        Self {
            started: Instant::now(),
            content,
            measured: Mutex::default(),
            services: Mutex::default(),
            services_read: watch::Sender::new(!cfg!(target_os = "linux")),
            refresh: OnceLock::new(),
            screen: Arc::new(ScreenReports::new(Arc::clone(&notifier))),
            notifier,
        }
    }
    /// Returns the present time on both clocks.
    #[must_use]
    pub(crate) fn now(&self) -> Moment {
        Moment { wall: UnixSeconds::now(), mono: self.started.elapsed() }
    }
    /// Returns all present values.
    pub(crate) fn readings(&self, now: Moment) -> Readings {
        let mut readings = lock(&self.measured).clone();
        readings.services = lock(&self.services).clone();
        readings.full_screen = self.screen.reading();
        // Measuring free space is cheap, so it is done even without work: otherwise a pause could hide behind an old
        // value.
        readings.measure_disk(now, &self.content);
        readings
    }
    /// Measures processor load with `sampler` and, if `with_rest`, battery and disk.
    pub(crate) fn measure(&self, sampler: &mut Sampler, installing: bool, with_rest: bool) {
        let mut measured = lock(&self.measured).clone();
        sampler.measure_load(&mut measured, self.now(), installing);
        if with_rest {
            sampler::measure_rest(&mut measured, self.now(), &self.content);
            // The services report changes themselves; there is no need to wait here.
            drop(self.refresh_services());
        }
        *lock(&self.measured) = measured;
        self.notifier.notify_snapshot();
    }
    /// Measures free disk space before the first offer is answered, in case the scheduler has not done so yet.
    pub(crate) fn measure_disk_once(&self) {
        let now = self.now();
        let mut measured = lock(&self.measured).clone();
        if measured.signals().disk.get(now.mono).is_none() {
            sampler::measure_rest(&mut measured, now, &self.content);
            *lock(&self.measured) = measured;
        }
    }
    /// Starts listening to system services.
    pub(crate) fn listen_to_services(self: &Arc<Self>) {
        #[cfg(target_os = "linux")]
        {
            let (refresh, requests) = mpsc::channel(4);
            if self.refresh.set(refresh).is_ok() {
                tokio::spawn(dbus::run(Arc::clone(self), requests));
            }
        }
    }
    /// Asks the services again, including for values they do not announce. The returned future completes with their
    /// answer, or after a short time limit.
    pub(crate) fn refresh_services(&self) -> impl Future<Output = ()> + Send + use<> {
        let (done, answered) = oneshot::channel::<()>();
        // If the request cannot be sent it is dropped, and there is no wait.
        drop(self.refresh.get().map(|refresh| refresh.try_send(done)));
        async move { drop(tokio::time::timeout(SERVICES_ANSWER, answered).await) }
    }
    /// Waits until the conditions that services report are known: without them, a metered network would look like any
    /// other. If a service does not answer, ends after `most`; its values then count as unknown.
    pub(crate) async fn first_reading(&self, most: Duration) {
        let mut read = self.services_read.subscribe();
        if tokio::time::timeout(most, read.wait_for(|read| *read)).await.is_err() {
            tracing::warn!(
                "a system service does not answer (power, network or sessions); continuing without its values"
            );
            self.set_services_read();
        }
    }
    /// Returns whether all services that run have been read once.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "no services are listened to here yet"))]
    fn has_read_services(&self) -> bool {
        *self.services_read.borrow()
    }
    /// Ends the wait for the first reading.
    fn set_services_read(&self) {
        self.services_read.send_replace(true);
    }
    /// Takes the services' present values.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "no services are listened to here yet"))]
    fn set_service_values(&self, values: ServiceValues) {
        if lock(&self.services).update(values, self.now()) {
            self.notifier.notify_scheduler();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn services_that_do_not_answer_are_waited_for_once_and_not_for_ever() {
        let sensors = Sensors::new(PathBuf::new(), Arc::new(ChangeNotifier::default()));
        sensors.first_reading(Duration::from_millis(20)).await;
        sensors.first_reading(Duration::MAX).await;
        assert!(sensors.has_read_services());
    }
}
