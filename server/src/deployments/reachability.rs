//! Which machines are expected to respond now.

use crate::{identity::registry::Registry, net::connections::Connections};
use banyan_proto::{MachineId, UnixSeconds};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A machine that was seen this long ago is between two connections (seconds).
const LATELY_SECONDS: u64 = 15;
/// In the first minute after a start, "lately" is longer, because machines have not reconnected yet (seconds).
const LATELY_AFTER_START_SECONDS: u64 = 600;
const AFTER_START: Duration = Duration::from_secs(60);

/// Says which machines are expected to respond.
pub(crate) struct Reachability {
    /// When the server started.
    pub(crate) started: Instant,
    pub(crate) registry: Arc<Registry>,
    pub(crate) connections: Connections,
}

impl Reachability {
    /// Returns whether the machine takes part and is connected, or was seen lately and is between two connections.
    pub(crate) fn is_reachable(&self, machine: MachineId) -> bool {
        if self.registry.exclusion(machine).is_some() {
            return false;
        }
        let lately = if self.started.elapsed() < AFTER_START { LATELY_AFTER_START_SECONDS } else { LATELY_SECONDS };
        let was_seen = |seen: UnixSeconds| UnixSeconds::now().0 < seen.0 + lately;
        self.connections.is_online(machine) || self.registry.last_seen(machine).is_some_and(was_seen)
    }
}
