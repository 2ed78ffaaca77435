//! One standalone install, from the user's consent to its result: the record that replaces an order, and the call to
//! the installer.

use super::{Alone, ORDERS};
use crate::{by_hand::Looked, orders::lock, people::People, state::StateError};
use banyan_install_helper::{InstallResult, Outcome, StandaloneJob, client};
use banyan_proto::{
    Artifact, Digest, OrderId, Reason, UnixSeconds,
    api::Event,
    local::{Progress, Update, UpdateState, Wishes},
    manifest::Kind,
    schedule::{Verdict, Wish},
};
use banyan_trust::package::Head;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::OwnedMutexGuard;
use tracing::{info, warn};

/// Number of finished installs shown; the history lists all of them.
const SHOWN: usize = 8;
/// Retry interval. An installer started by an earlier agent may still be running; only its lock shows when it ends.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often an installer that does not answer is called.
const TRIES: u32 = 3;

/// A package that the user wants installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AloneOrder {
    pub(super) id: OrderId,
    pub(super) number: u64,
    pub(super) package: String,
    pub(super) version: String,
    sequence: u64,
    publisher: String,
    notes: String,
    kind: Kind,
    manifest: Digest,
    artifact: Digest,
    size: u64,
    at: UnixSeconds,
    pub(super) consent: Option<Digest>,
    /// Whether no package of this name had been installed before.
    pub(super) first: bool,
    /// The signed metadata; `None` once the install has finished.
    head: Option<Head>,
}

impl AloneOrder {
    pub(super) fn new(looked: &Looked, artifact: &Artifact, head: Head) -> Self {
        let package = &looked.package;
        Self {
            id: OrderId::random(),
            number: 0,
            package: package.package.clone(),
            version: package.version.clone(),
            sequence: package.sequence,
            publisher: package.publisher.clone(),
            notes: package.notes.clone(),
            kind: artifact.install.kind,
            manifest: package.manifest,
            artifact: artifact.digest,
            size: artifact.size,
            at: UnixSeconds::now(),
            consent: None,
            first: false,
            head: Some(head),
        }
    }

    /// Returns the order as an update for the snapshot. All its content is here; it waits only for the installer.
    pub(super) fn update(&self, people: &People, verdict: &Verdict) -> Update {
        let state = match people.notes(self.id).ended {
            None => UpdateState::Installing,
            Some(ended) => match ended.failed {
                None => UpdateState::Installed { at: ended.at },
                Some((reason, detail, restored)) => UpdateState::Failed { at: ended.at, reason, detail, restored },
            },
        };
        Update {
            order: self.id,
            number: self.number,
            package: self.package.clone(),
            version: self.version.clone(),
            sequence: self.sequence,
            publisher: self.publisher.clone(),
            notes: self.notes.clone(),
            kind: self.kind,
            size: self.size,
            issued: self.at,
            seen: self.at,
            state,
            waits: None,
            progress: Progress { held: self.size, of: self.size, ..Progress::default() },
            verdict: verdict.clone(),
            receive_deadline: None,
            install_deadline: None,
            wishes: Wishes { receive: Wish::Now, install: Wish::Now },
            later: Vec::new(),
            alone: true,
        }
    }
}

impl Alone {
    pub(super) fn next_number(&self) -> u64 {
        lock(&self.orders).last().map_or(1, |last| last.number + 1)
    }
    /// Stores an order, synced, and drops the oldest that are no longer shown.
    pub(super) fn keep_order(&self, order: AloneOrder) -> Result<(), StateError> {
        let mut orders = lock(&self.orders).clone();
        let surplus = (orders.len() + 1).saturating_sub(SHOWN);
        let gone: Vec<AloneOrder> = orders.drain(..surplus).collect();
        self.people.seen(order.id, &order.package, &order.version);
        orders.push(order);
        self.people.state().keep(ORDERS, &orders)?;
        *lock(&self.orders) = orders;
        for old in gone {
            self.people.gone(old.id, &old.package, &old.version, Reason::OrderExpired);
        }
        Ok(())
    }

    fn begun(&self) -> Vec<AloneOrder> {
        let orders = lock(&self.orders);
        orders.iter().filter(|order| self.people.notes(order.id).ended.is_none()).cloned().collect()
    }
    /// Removes files left by an earlier run. Must run before the first caller is answered, because new files use the
    /// same folder.
    pub(crate) fn clear(&self) {
        let known: BTreeSet<String> = self.begun().iter().map(|order| order.artifact.to_string()).collect();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|name| known.contains(name)) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
    /// Resumes the installs that an earlier run started.
    pub(crate) async fn resume(self: Arc<Self>) {
        for order in self.begun() {
            let work = Arc::clone(&self.work).lock_owned().await;
            info!(order = %order.id, package = order.package, "install resumed");
            self.people.seen(order.id, &order.package, &order.version);
            Arc::clone(&self).carry_out(order, work).await;
        }
    }

    /// Runs the installer and records the result.
    pub(super) async fn carry_out(self: Arc<Self>, order: AloneOrder, work: OwnedMutexGuard<()>) {
        let (id, begun) = (order.id, Instant::now());
        let tell = |event: &Event| self.people.happened(id, &order.package, &order.version, event);
        tell(&Event::Installing);
        let finished = self.ask_installer(&order).await;
        let failed = |reason, detail: &str, output: &str, restored| {
            warn!(order = %id, %reason, detail, "install failed");
            Event::Failed { reason, detail: format!("{detail}\n{output}").trim_end().to_owned(), restored }
        };
        let event = match &finished.outcome {
            Outcome::Installed { already } => {
                let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                info!(order = %id, package = order.package, already, milliseconds, "installed");
                self.people.has_installed(&order.package, &order.version, order.sequence);
                Event::Installed { already: *already, milliseconds }
            }
            Outcome::Failed { reason, detail, restored } => failed(*reason, detail, &finished.output, *restored),
            // There is no automatic retry: the user can open the file again.
            Outcome::Waits { reason, detail } => failed(*reason, detail, &finished.output, true),
        };
        if order.first && matches!(&event, Event::Failed { restored: true, .. }) {
            let mut trust = lock(&self.trust).clone();
            trust.disown(&order.package);
            if let Err(error) = self.keep_trust(trust) {
                warn!(%error, "could not record that the first install of a package failed");
            }
        }
        // Record the result before removing anything that a retry would need.
        tell(&event);
        drop(std::fs::remove_file(self.folder.join(order.artifact.to_string())));
        self.let_go(id);
        drop(work);
    }

    async fn ask_installer(&self, order: &AloneOrder) -> InstallResult {
        let failed = |reason, detail: String| InstallResult {
            outcome: Outcome::Failed { reason, detail, restored: true },
            output: String::new(),
        };
        let Some(head) = &order.head else {
            return failed(Reason::InternalError, "the package's signed metadata is missing".into());
        };
        let mut left = TRIES;
        loop {
            let job =
                StandaloneJob { id: order.id, head: head.clone(), manifest: order.manifest, consent: order.consent };
            let artifact = match File::open(self.folder.join(order.artifact.to_string())) {
                Ok(artifact) => artifact,
                Err(error) => return failed(Reason::DiskFailed, format!("cannot open the package's file: {error}")),
            };
            match client::install_standalone(&self.launcher, job, artifact).await {
                Ok(InstallResult { outcome: Outcome::Waits { reason: Reason::PackageManagerBusy, .. }, .. }) => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Ok(finished) => return finished,
                // The installer may have ended halfway. Given the same job again, it finds out from its journal.
                Err(error) if left > 1 => {
                    warn!(order = %order.id, %error, "installer failed; trying again");
                    left -= 1;
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                Err(error) => {
                    // What is installed now is unknown.
                    let outcome =
                        Outcome::Failed { reason: Reason::InternalError, detail: error.to_string(), restored: false };
                    return InstallResult { outcome, output: String::new() };
                }
            }
        }
    }

    /// Drops the signed metadata of a finished install.
    fn let_go(&self, id: OrderId) {
        let mut orders = lock(&self.orders);
        orders.iter_mut().filter(|order| order.id == id).for_each(|order| order.head = None);
        if let Err(error) = self.people.state().keep(ORDERS, &*orders) {
            warn!(%error, "could not record the result of an install");
        }
    }
}
