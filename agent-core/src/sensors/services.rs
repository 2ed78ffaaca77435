//! What system services report: battery, power saver, network and presence.

use super::{power::Battery, reading::Reading};
use banyan_proto::schedule::{Network, Presence};
use banyan_schedule::Moment;

/// What the system services report now. `None`: no such service, or it does not know.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct ServiceValues {
    pub(super) battery: Option<Battery>,
    pub(super) saver: Option<bool>,
    pub(super) network: Option<Network>,
    pub(super) presence: Option<Presence>,
}

/// The services' reports, each with the time of its last change.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ServiceReadings {
    pub(super) battery: Option<Reading<Battery>>,
    pub(super) saver: Option<Reading<bool>>,
    pub(super) network: Option<Reading<Network>>,
    pub(super) presence: Option<Reading<Presence>>,
}

impl ServiceReadings {
    /// Takes the services' present values. Returns whether anything has changed.
    pub(super) fn update(&mut self, values: ServiceValues, now: Moment) -> bool {
        fn replace<T: Clone + PartialEq>(before: &mut Option<Reading<T>>, value: Option<T>, now: Moment) -> bool {
            if before.as_ref().map(|reading| &reading.value) == value.as_ref() {
                return false;
            }
            *before = value.map(|value| Reading::reported(value, now));
            true
        }
        // Evaluate all of them, without short-circuiting.
        let changed = [
            replace(&mut self.battery, values.battery, now),
            replace(&mut self.saver, values.saver, now),
            replace(&mut self.network, values.network, now),
            replace(&mut self.presence, values.presence, now),
        ];
        changed.contains(&true)
    }
}
