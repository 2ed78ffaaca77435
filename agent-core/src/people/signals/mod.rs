//! The conditions that the schedule depends on. Measured while there is work: processor load (without low-priority
//! work and the agent's own share), free disk space, and batteries that no service reports. Reported by system
//! services as they change ([`bus`]): power, networks, presence. Reported by desktop programs ([`screens`]):
//! full-screen programs.

#[cfg(target_os = "linux")]
mod bus;
mod power;
mod processor;
pub(crate) mod screens;

use super::People;
use banyan_proto::{
    UnixSeconds,
    local::{Seen, SeenSignals},
    schedule::{Bounds, Load, Network, Overrule, Power, Presence},
};
use banyan_schedule::{
    Moment, Signal, Signals,
    idle_detector::{IdleDetector, IdleThresholds},
};
use processor::Processor;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// How long a measurement is valid; the scheduler measures more often while there is work.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How long a processor load is valid.
const LOAD_GOOD_FOR: Duration = Duration::from_secs(15);
/// Maximum wait for the system services' answers.
const SERVICES_ANSWER: Duration = Duration::from_secs(2);

/// A request to ask the services again; the requester waits until it is dropped.
pub(crate) type Asked = oneshot::Sender<()>;

/// A value, when it was observed, and how long it is valid; without limit if changes are reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Look<T> {
    value: T,
    at: Moment,
    good_for: Option<Duration>,
}

impl<T: Clone> Look<T> {
    fn looked(value: T, at: Moment, good_for: Duration) -> Self {
        Self { value, at, good_for: Some(good_for) }
    }
    fn told(value: T, at: Moment) -> Self {
        Self { value, at, good_for: None }
    }
    fn is_fresh(&self, now: Moment) -> bool {
        self.good_for.is_none_or(|good_for| now.mono < self.at.mono + good_for)
    }
    fn signal(look: Option<&Self>) -> Signal<T> {
        look.map_or_else(Signal::unknown, |look| {
            let seen = Signal::seen(look.value.clone(), look.at.mono);
            if let Some(good_for) = look.good_for { seen.good_for(good_for) } else { seen }
        })
    }
    fn shown(look: Option<&Self>, now: Moment, overruled: bool, may_overrule: bool) -> Seen<T> {
        let fresh = look.filter(|look| look.is_fresh(now));
        Seen {
            value: fresh.map(|look| look.value.clone()),
            at: look.map(|look| look.at.wall),
            overruled: overruled && may_overrule,
            may_overrule,
        }
    }
}

/// Whether the machine runs on battery, and the charge (percent).
type Battery = (bool, Option<u8>);

/// What the system services report. `None`: no such service, or it does not know.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Told {
    battery: Option<Battery>,
    saver: Option<bool>,
    network: Option<Network>,
    presence: Option<Presence>,
}

/// The services' reports, each with the time of its last change.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Heard {
    battery: Option<Look<Battery>>,
    saver: Option<Look<bool>>,
    network: Option<Look<Network>>,
    presence: Option<Look<Presence>>,
}

impl Heard {
    /// Takes the services' present reports. Returns whether anything has changed.
    fn take(&mut self, told: Told, now: Moment) -> bool {
        fn since<T: Clone + PartialEq>(before: &mut Option<Look<T>>, value: Option<T>, now: Moment) -> bool {
            if before.as_ref().map(|look| &look.value) == value.as_ref() {
                return false;
            }
            *before = value.map(|value| Look::told(value, now));
            true
        }
        // Evaluate all of them, without short-circuiting.
        let changed = [
            since(&mut self.battery, told.battery, now),
            since(&mut self.saver, told.saver, now),
            since(&mut self.network, told.network, now),
            since(&mut self.presence, told.presence, now),
        ];
        changed.contains(&true)
    }
}

impl People {
    /// Starts listening to system services.
    pub(crate) fn listen_to_services(self: &Arc<Self>) {
        #[cfg(target_os = "linux")]
        {
            let (asker, asked) = tokio::sync::mpsc::channel(4);
            if self.asker.set(asker).is_ok() {
                tokio::spawn(bus::run(Arc::clone(self), asked));
            }
        }
    }
    /// Asks the services again, including for values they do not announce. The returned future completes with their
    /// answer, or after a short time limit.
    pub(crate) fn ask_services(&self) -> impl Future<Output = ()> + Send + use<> {
        let (done, answered) = oneshot::channel::<()>();
        // If the request cannot be sent it is dropped, and there is no wait.
        drop(self.asker.get().map(|asker| asker.try_send(done)));
        async move { drop(tokio::time::timeout(SERVICES_ANSWER, answered).await) }
    }
    /// Takes the services' present reports.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "no services are listened to here yet"))]
    pub(crate) fn told(&self, told: Told) {
        if crate::orders::lock(&self.heard).take(told, self.now()) {
            self.replan();
        }
    }
}

/// The newest values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sampled {
    load: Option<Look<Load>>,
    quiet_since: Option<UnixSeconds>,
    battery: Option<Look<Battery>>,
    free_disk: Option<Look<u64>>,
    /// Values reported by system services.
    pub(super) heard: Heard,
    /// Value reported by desktop programs.
    pub(super) full_screen: Option<Look<bool>>,
}

impl Sampled {
    /// Measures free space on the disk that contains this folder.
    pub(crate) fn look_at_disk(&mut self, now: Moment, folder: &Path) {
        self.free_disk = crate::offer::free_bytes(folder).map(|value| Look::looked(value, now, GOOD_FOR));
    }
    /// Returns the power state, from the services if they report it, otherwise from the kernel.
    fn power(&self) -> Option<Look<Power>> {
        let (battery, saver) = (self.heard.battery.or(self.battery), self.heard.saver);
        let newest = battery.iter().map(|look| look.at).chain(saver.iter().map(|look| look.at));
        let at = newest.max_by_key(|at| at.mono)?;
        let (on_battery, charge) = battery.map_or((false, None), |look| look.value);
        let value = Power { battery: on_battery, charge, saver: saver.is_some_and(|look| look.value) };
        Some(Look { value, at, good_for: battery.and_then(|look| look.good_for) })
    }
    /// Returns the values for decisions.
    pub(crate) fn signals(&self) -> Signals {
        Signals {
            load: Look::signal(self.load.as_ref()),
            presence: Look::signal(self.heard.presence.as_ref()),
            power: Look::signal(self.power().as_ref()),
            network: Look::signal(self.heard.network.as_ref()),
            full_screen: Look::signal(self.full_screen.as_ref()),
            free_disk: Look::signal(self.free_disk.as_ref()),
        }
    }
    /// Returns the values for display.
    pub(crate) fn seen(&self, now: Moment, over: &Overrule, bounds: &Bounds) -> SeenSignals {
        let network = self.heard.network.as_ref();
        let used_all_the_same = network.is_some_and(|look| over.metered.contains(&look.value.id));
        let load = Look::shown(self.load.as_ref(), now, over.processor, bounds.idle);
        SeenSignals {
            quiet_since: self.quiet_since.filter(|_| load.value.is_some()),
            load,
            presence: Look::shown(self.heard.presence.as_ref(), now, over.presence, bounds.idle),
            power: Look::shown(self.power().as_ref(), now, over.battery, bounds.battery),
            network: Look::shown(network, now, used_all_the_same, bounds.metered),
            full_screen: Look::shown(self.full_screen.as_ref(), now, over.full_screen, bounds.full_screen),
            free_disk: Look::shown(self.free_disk.as_ref(), now, false, false),
        }
    }
}

/// Takes the measurements.
pub(crate) struct Sampler {
    processor: Processor,
    idleness: IdleDetector,
}

impl Sampler {
    pub(crate) fn new(thresholds: IdleThresholds) -> Self {
        Self { processor: Processor::default(), idleness: IdleDetector::new(thresholds) }
    }
    /// Measures the processor load since the last call; the first call only starts the measurement.
    pub(crate) fn load(&mut self, into: &mut Sampled, now: Moment, installing: bool) {
        let Some(percent) = self.processor.look(installing) else { return };
        into.load = Some(Look::looked(self.idleness.sample(now.mono, percent), now, LOAD_GOOD_FOR));
        into.quiet_since = self
            .idleness
            .quiet_since()
            .map(|since| UnixSeconds(now.wall.0.saturating_sub(now.mono.saturating_sub(since).as_secs())));
    }
    /// Measures battery and disk.
    pub(crate) fn rest(into: &mut Sampled, now: Moment, content: &Path) {
        let battery = power::battery(Path::new("/sys/class/power_supply"));
        into.battery = battery.map(|value| Look::looked(value, now, GOOD_FOR));
        into.look_at_disk(now, content);
    }
    /// Stops measuring: a gap between measurements is not quiet time.
    pub(crate) fn stop(&mut self) {
        self.processor.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::schedule::NetworkId;

    fn at(seconds: u64) -> Moment {
        Moment { wall: UnixSeconds(1000 + seconds), mono: Duration::from_secs(seconds) }
    }

    #[test]
    fn what_is_too_old_is_unknown_and_still_has_an_age() {
        let sampled = Sampled { free_disk: Some(Look::looked(7, at(0), GOOD_FOR)), ..Sampled::default() };
        let seen = |now| sampled.seen(now, &Overrule::default(), &Bounds::default()).free_disk;
        assert_eq!((seen(at(59)).value, seen(at(61)).value, seen(at(61)).at), (Some(7), None, Some(UnixSeconds(1000))));
        assert_eq!(sampled.signals().free_disk.get(at(61).mono), None);
    }

    #[test]
    fn what_is_told_holds_until_something_else_is_told_and_its_age_is_that_of_the_change() {
        let mut sampled = Sampled::default();
        let network = |metered| Network { id: NetworkId("f1".into()), name: "Phone".into(), metered };
        let told = |metered| Told { network: Some(network(metered)), ..Told::default() };
        assert!(sampled.heard.take(told(true), at(0)));
        assert!(!sampled.heard.take(told(true), at(50)), "no change");
        let mut over = Overrule::default();
        over.metered.insert(NetworkId("another".into()));
        let seen = sampled.seen(at(9000), &over, &Bounds::default()).network;
        assert_eq!((seen.value, seen.at, seen.overruled), (Some(network(true)), Some(UnixSeconds(1000)), false));
        over.metered.insert(NetworkId("f1".into()));
        assert!(sampled.seen(at(9000), &over, &Bounds::default()).network.overruled);
        let bounds = Bounds { metered: false, ..Bounds::default() };
        assert!(
            !sampled.seen(at(9000), &over, &bounds).network.overruled,
            "the policy does not allow the user to overrule it"
        );
        assert!(sampled.heard.take(told(false), at(60)));
        assert_eq!(sampled.seen(at(61), &over, &bounds).network.at, Some(UnixSeconds(1060)));
        assert!(sampled.heard.take(Told::default(), at(70)));
        assert_eq!(sampled.signals().network.get(at(71).mono), None, "the reporting service is gone");
    }

    #[test]
    fn the_service_is_believed_before_the_kernel_and_the_power_saver_comes_from_another_one() {
        let mut sampled =
            Sampled { battery: Some(Look::looked((true, Some(9)), at(0), GOOD_FOR)), ..Default::default() };
        let power = |sampled: &Sampled, now: Moment| sampled.signals().power.get(now.mono).copied();
        let expected = |battery, charge, saver| Some(Power { battery, charge, saver });
        assert_eq!(power(&sampled, at(1)), expected(true, Some(9), false));
        assert_eq!(power(&sampled, at(61)), None, "the measurement is too old");
        sampled.heard.take(Told { saver: Some(true), ..Told::default() }, at(5));
        assert_eq!(power(&sampled, at(6)), expected(true, Some(9), true));
        sampled.heard.take(Told { saver: Some(true), battery: Some((false, None)), ..Told::default() }, at(6));
        assert_eq!(power(&sampled, at(900)), expected(false, None, true));
        sampled.battery = None;
        sampled.heard.take(Told { saver: Some(true), ..Told::default() }, at(7));
        assert_eq!(power(&sampled, at(900)), expected(false, None, true), "no source reports a battery");
    }
}
