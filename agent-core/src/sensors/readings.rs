//! All present values of the sensors, for decisions and for display.

use super::{power::Battery, reading::Reading, sampler::VALID_FOR, services::ServiceReadings};
use crate::platform;
use banyan_proto::{
    UnixSeconds,
    local::SeenSignals,
    schedule::{Bounds, Load, Overrule, Power},
};
use banyan_schedule::{DiskSpace, Moment, Signals};
use std::path::Path;

/// The newest values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings {
    pub(super) load: Option<Reading<Load>>,
    pub(super) quiet_since: Option<UnixSeconds>,
    pub(super) battery: Option<Reading<Battery>>,
    pub(super) disk: Option<Reading<DiskSpace>>,
    /// Values reported by system services.
    pub(super) services: ServiceReadings,
    /// Value reported by desktop programs.
    pub(super) full_screen: Option<Reading<bool>>,
}

impl Readings {
    /// Measures free space on the disk that contains this folder.
    pub(super) fn measure_disk(&mut self, now: Moment, folder: &Path) {
        self.disk = platform::disk_space(folder).map(|value| Reading::measured(value, now, VALID_FOR));
    }
    /// Returns the power state, from the services if they report it, otherwise from the kernel.
    fn power(&self) -> Option<Reading<Power>> {
        let (battery, saver) = (self.services.battery.or(self.battery), self.services.saver);
        let newest = battery.iter().map(|reading| reading.at).chain(saver.iter().map(|reading| reading.at));
        let at = newest.max_by_key(|at| at.mono)?;
        let Battery { in_use, charge } = battery.map(|reading| reading.value).unwrap_or_default();
        let value = Power { battery: in_use, charge, saver: saver.is_some_and(|reading| reading.value) };
        Some(Reading { value, at, valid_for: battery.and_then(|reading| reading.valid_for) })
    }
    /// Returns the values for decisions.
    pub(crate) fn signals(&self) -> Signals {
        Signals {
            load: Reading::to_signal(self.load.as_ref()),
            presence: Reading::to_signal(self.services.presence.as_ref()),
            power: Reading::to_signal(self.power().as_ref()),
            network: Reading::to_signal(self.services.network.as_ref()),
            full_screen: Reading::to_signal(self.full_screen.as_ref()),
            disk: Reading::to_signal(self.disk.as_ref()),
        }
    }
    /// Returns the values for display.
    pub(crate) fn to_seen(&self, now: Moment, over: &Overrule, bounds: &Bounds) -> SeenSignals {
        let network = self.services.network.as_ref();
        let network_allowed = network.is_some_and(|reading| over.metered.contains(&reading.value.id));
        let free_disk =
            self.disk.map(|disk| Reading { value: disk.value.free, at: disk.at, valid_for: disk.valid_for });
        let load = Reading::to_seen(self.load.as_ref(), now, over.processor, bounds.idle);
        SeenSignals {
            quiet_since: self.quiet_since.filter(|_| load.value.is_some()),
            load,
            presence: Reading::to_seen(self.services.presence.as_ref(), now, over.presence, bounds.idle),
            power: Reading::to_seen(self.power().as_ref(), now, over.battery, bounds.battery),
            network: Reading::to_seen(network, now, network_allowed, bounds.metered),
            full_screen: Reading::to_seen(self.full_screen.as_ref(), now, over.full_screen, bounds.full_screen),
            free_disk: Reading::to_seen(free_disk.as_ref(), now, false, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::services::ServiceValues, *};
    use banyan_proto::schedule::{Network, NetworkId};
    use std::time::Duration;

    fn at(seconds: u64) -> Moment {
        Moment { wall: UnixSeconds(1000 + seconds), mono: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_value_that_is_too_old_is_unknown_and_still_has_an_age() {
        let readings = Readings {
            disk: Some(Reading::measured(DiskSpace { free: 7, size: 9 }, at(0), VALID_FOR)),
            ..Readings::default()
        };
        let seen = |now| readings.to_seen(now, &Overrule::default(), &Bounds::default()).free_disk;
        assert_eq!((seen(at(59)).value, seen(at(61)).value, seen(at(61)).at), (Some(7), None, Some(UnixSeconds(1000))));
        assert_eq!(readings.signals().disk.get(at(61).mono), None);
    }

    #[test]
    fn a_reported_value_is_valid_until_it_changes_and_its_age_is_that_of_the_change() {
        let mut readings = Readings::default();
        let network = |metered| Network { id: NetworkId("f1".into()), name: "Phone".into(), metered };
        let values = |metered| ServiceValues { network: Some(network(metered)), ..ServiceValues::default() };
        assert!(readings.services.update(values(true), at(0)));
        assert!(!readings.services.update(values(true), at(50)), "no change");
        let mut over = Overrule::default();
        over.metered.insert(NetworkId("another".into()));
        let seen = readings.to_seen(at(9000), &over, &Bounds::default()).network;
        assert_eq!((seen.value, seen.at, seen.overruled), (Some(network(true)), Some(UnixSeconds(1000)), false));
        over.metered.insert(NetworkId("f1".into()));
        assert!(readings.to_seen(at(9000), &over, &Bounds::default()).network.overruled);
        let bounds = Bounds { metered: false, ..Bounds::default() };
        assert!(
            !readings.to_seen(at(9000), &over, &bounds).network.overruled,
            "the policy does not allow the user to overrule it"
        );
        assert!(readings.services.update(values(false), at(60)));
        assert_eq!(readings.to_seen(at(61), &over, &bounds).network.at, Some(UnixSeconds(1060)));
        assert!(readings.services.update(ServiceValues::default(), at(70)));
        assert_eq!(readings.signals().network.get(at(71).mono), None, "the reporting service is gone");
    }

    #[test]
    fn the_service_takes_precedence_over_the_kernel_and_the_power_saver_comes_from_another_service() {
        let mut readings = Readings {
            battery: Some(Reading::measured(Battery { in_use: true, charge: Some(9) }, at(0), VALID_FOR)),
            ..Default::default()
        };
        let power = |readings: &Readings, now: Moment| readings.signals().power.get(now.mono).copied();
        let expected = |battery, charge, saver| Some(Power { battery, charge, saver });
        assert_eq!(power(&readings, at(1)), expected(true, Some(9), false));
        assert_eq!(power(&readings, at(61)), None, "the measurement is too old");
        readings.services.update(ServiceValues { saver: Some(true), ..ServiceValues::default() }, at(5));
        assert_eq!(power(&readings, at(6)), expected(true, Some(9), true));
        readings.services.update(
            ServiceValues {
                saver: Some(true),
                battery: Some(Battery { in_use: false, charge: None }),
                ..ServiceValues::default()
            },
            at(6),
        );
        assert_eq!(power(&readings, at(900)), expected(false, None, true));
        readings.battery = None;
        readings.services.update(ServiceValues { saver: Some(true), ..ServiceValues::default() }, at(7));
        assert_eq!(power(&readings, at(900)), expected(false, None, true), "no source reports a battery");
    }
}
