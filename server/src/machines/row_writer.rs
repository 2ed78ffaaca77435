//! Writes what machines report about themselves to the database, many machines in one transaction.
//!
//! Every transaction waits for the disk. When thousands of machines check in at once, one transaction for each would
//! delay their answers by minutes. A crash loses the last moment's rows; the machines report the same again when they
//! reconnect.

use crate::store::{MachineRow, Store};
use banyan_proto::MachineId;
use banyan_wire::rare_log::RareLog;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// How many rows are written in one transaction. While one runs, an administrator cannot change anything.
const ROWS_AT_ONCE: usize = 500;

/// The rows that are still to be written.
pub(crate) struct MachineRowWriter {
    store: Arc<dyn Store>,
    rows: Mutex<HashMap<MachineId, MachineRow>>,
    added: Notify,
    /// Fires when the server must stop.
    stop: CancellationToken,
}

impl MachineRowWriter {
    pub(crate) fn new(store: Arc<dyn Store>, stop: CancellationToken) -> Self {
        Self { store, rows: Mutex::default(), added: Notify::new(), stop }
    }
    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, MachineRow>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Writes this row soon. Never waits.
    pub(crate) fn add(&self, row: MachineRow) {
        self.lock().insert(row.id, row);
        self.added.notify_one();
    }
    /// Writes rows until the server stops, and then the last ones. While one transaction runs, the next rows gather.
    pub(crate) async fn run(self: Arc<Self>) {
        static FAILED: RareLog = RareLog::each_minute();
        loop {
            let is_running = self.stop.run_until_cancelled(self.added.notified()).await.is_some();
            let rows: Vec<MachineRow> = std::mem::take(&mut *self.lock()).into_values().collect();
            for rows in rows.chunks(ROWS_AT_ONCE) {
                if let Err(error) = self.store.update_machines(rows).await
                    && let Some(more) = FAILED.due()
                {
                    error!(
                        more,
                        machines = rows.len(),
                        "failed to store what machines report about themselves: {error}"
                    );
                }
            }
            if !is_running {
                return;
            }
        }
    }
}
