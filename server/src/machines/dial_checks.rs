//! Dials machines when they appear, to learn which of them can be dialled before the first transfer.
//!
//! The server dials only the addresses that it would also name to others, rarely, and few machines at a time. The
//! result decides where the machine stands in later trees, and that it fetches its offers itself.

use crate::{
    identity::registry::Registry, machines::row_writer::MachineRowWriter, net::tls_configuration::TlsConfiguration,
};
use banyan_proto::{MachineId, PROTOCOL_VERSIONS, Reason, UnixSeconds, peer::Hello};
use banyan_wire::connection;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The most dials at once.
const MOST_AT_ONCE: usize = 64;
/// The shortest interval between two checks of a machine.
const INTERVAL: Duration = Duration::from_secs(10);
/// The pauses between the dials of a check, until one works. An agent that has just started may still lack its revocation
/// list, and accepts nobody.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(30)];

/// Finds out which machines can be dialled.
pub(crate) struct DialChecks {
    registry: Arc<Registry>,
    tls: Arc<TlsConfiguration>,
    row_writer: Arc<MachineRowWriter>,
    /// Program and version, sent in greetings.
    software: &'static str,
    places: Semaphore,
    begun: Mutex<HashMap<MachineId, Instant>>,
    tasks: TaskTracker,
    /// Fires when the server must stop.
    stop: CancellationToken,
}

impl DialChecks {
    pub(crate) fn new(
        registry: Arc<Registry>,
        tls: Arc<TlsConfiguration>,
        row_writer: Arc<MachineRowWriter>,
        software: &'static str,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (places, begun) = (Semaphore::new(MOST_AT_ONCE), Mutex::default());
        Self { registry, tls, row_writer, software, places, begun, tasks, stop }
    }
    /// Starts a check, unless the result is known.
    pub(crate) fn start(self: &Arc<Self>, machine: MachineId) {
        if self.registry.needs_dial(machine, UnixSeconds::now()) {
            self.start_again(machine);
        }
    }
    /// Starts a check, unless the last one began a moment ago.
    pub(crate) fn start_again(self: &Arc<Self>, machine: MachineId) {
        if !self.is_due(machine) {
            return;
        }
        let (this, stop) = (Arc::clone(self), self.stop.clone());
        self.tasks.spawn(async move { stop.run_until_cancelled(this.check(machine)).await });
    }
    fn is_due(&self, machine: MachineId) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = begun.get(&machine).is_none_or(|last| now.saturating_duration_since(*last) >= INTERVAL);
        if is_due {
            begun.insert(machine, now);
        }
        is_due
    }
    async fn check(&self, machine: MachineId) {
        for pause in PAUSES {
            match self.dial(machine).await {
                Some(true) => return self.record(machine, true),
                Some(false) => self.record(machine, false),
                None => {}
            }
            tokio::time::sleep(pause).await;
        }
        if self.dial(machine).await == Some(true) {
            self.record(machine, true);
        }
    }
    fn record(&self, machine: MachineId, worked: bool) {
        let server = self.registry.server_id();
        if let Some(row) = self.registry.record_dial(machine, server, worked, UnixSeconds::now()) {
            tracing::debug!(machine = row.name(), worked, "dialled a machine");
            self.row_writer.add(row);
        }
    }
    /// Returns whether the machine answers at one of its addresses; `None` if that shows nothing.
    async fn dial(&self, machine: MachineId) -> Option<bool> {
        let _place = self.places.acquire().await.ok()?;
        let hello = Hello {
            versions: PROTOCOL_VERSIONS.to_vec(),
            software: self.software.to_owned(),
            crl_number: self.tls.crl().number,
            stop_number: None,
        };
        let addresses = self.registry.addresses(machine);
        match connection::dial(machine, addresses, self.tls.pair().connector, hello).await {
            Ok(_) => Some(true),
            Err(error) if matches!(error.reason, Reason::Unreachable | Reason::WrongIdentity) => Some(false),
            Err(_) => None,
        }
    }
}
