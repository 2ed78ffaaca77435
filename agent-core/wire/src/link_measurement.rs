//! Measures what this machine's link carries, over all connections (rule P14).

use crate::lock::lock;
use banyan_proto::{LinkRates, MachineId};
use banyan_swarm::link_meter::{Direction, LinkMeter, PassedChunk};
use std::{sync::Mutex, time::Instant};

/// The meter that all connections of a node share.
#[derive(Debug)]
pub(crate) struct LinkMeasurement {
    started: Instant,
    meter: Mutex<LinkMeter>,
}

impl Default for LinkMeasurement {
    fn default() -> Self {
        Self { started: Instant::now(), meter: Mutex::default() }
    }
}

impl LinkMeasurement {
    /// Records a chunk that has just passed. `is_next_waiting`: the sender already had the next one, and nothing but the
    /// two links kept it from passing.
    pub(crate) fn record(&self, direction: Direction, peer: MachineId, bytes: u64, is_next_waiting: bool) {
        let at = self.started.elapsed();
        lock(&self.meter).record(direction, PassedChunk { at, peer, bytes, is_next_waiting });
    }
    /// Returns what was measured since the last call, with the owner's limits (bytes a second).
    pub(crate) fn take_rates(&self, down_limit: Option<u64>, up_limit: Option<u64>) -> LinkRates {
        lock(&self.meter).take_rates(down_limit, up_limit)
    }
}
