//! Which machines are expected to respond now.

use crate::{identity::registry::Registry, net::connections::Connections};
use banyan_proto::{MachineId, UnixSeconds};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A machine that was seen this long ago is between two connections (seconds).
const LATELY_SECONDS: u64 = 15;
/// In the first minute after a start, "lately" is longer for machines that have not reconnected yet (seconds).
const LATELY_AFTER_START_SECONDS: u64 = 600;
const AFTER_START: Duration = Duration::from_secs(60);

/// Says which machines are expected to respond.
pub(crate) struct Reachability {
    /// When the server started: to measure how long ago that is, and by the wall clock.
    pub(crate) started: Instant,
    pub(crate) started_at: UnixSeconds,
    pub(crate) registry: Arc<Registry>,
    pub(crate) connections: Connections,
}

impl Reachability {
    /// Returns whether the machine takes part and is connected, or was seen lately and is between two connections.
    pub(crate) fn is_reachable(&self, machine: MachineId) -> bool {
        if self.registry.exclusion(machine).is_some() {
            return false;
        }
        let is_starting = self.started.elapsed() < AFTER_START;
        let was_seen = |seen: UnixSeconds| {
            let may_reconnect = is_starting && seen < self.started_at;
            let lately = if may_reconnect { LATELY_AFTER_START_SECONDS } else { LATELY_SECONDS };
            UnixSeconds::now().0 < seen.0 + lately
        };
        self.connections.is_online(machine) || self.registry.last_seen(machine).is_some_and(was_seen)
    }
}
