//! One standalone install, from the user's consent to its result: the record that replaces an order, and the call to
//! the install helper.

use super::{INSTALLS_KEY, Standalone};
use crate::{database::DatabaseError, sideload::inspect::Inspection, user::User};
use banyan_install_helper::{InstallResult, Outcome, StandaloneJob, client};
use banyan_proto::{
    Artifact, Digest, OrderId, Reason, UnixSeconds,
    api::Event,
    local::{Progress, Update, UpdateState, Wishes},
    manifest::Kind,
    schedule::{Verdict, Wish},
};
use banyan_trust::package::Head;
use banyan_wire::lock::lock;
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
const MAX_SHOWN: usize = 8;
/// Retry interval. An install helper started by an earlier agent may still be running; only its lock shows when it ends.
const RETRY: Duration = Duration::from_secs(1);
/// How often an install helper that does not answer is called.
const MAX_TRIES: u32 = 3;

/// A package that the user wants installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StandaloneInstall {
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

impl StandaloneInstall {
    pub(super) fn new(inspection: &Inspection, artifact: &Artifact, head: Head) -> Self {
        let package = &inspection.package;
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

    /// Returns the order as an update for the snapshot. All its content is here; it waits only for the install helper.
    pub(super) fn to_update(&self, user: &User, verdict: &Verdict) -> Update {
        let outcome = user.history.notes(self.id).outcome;
        let state = outcome.map_or(UpdateState::Installing, |outcome| outcome.to_update_state());
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

impl Standalone {
    pub(super) fn next_number(&self) -> u64 {
        lock(&self.installs).last().map_or(1, |last| last.number + 1)
    }
    /// Stores an install, synced, and drops the oldest that are no longer shown.
    pub(super) fn store_install(&self, install: StandaloneInstall) -> Result<(), DatabaseError> {
        let mut installs = lock(&self.installs).clone();
        let surplus = (installs.len() + 1).saturating_sub(MAX_SHOWN);
        let dropped: Vec<StandaloneInstall> = installs.drain(..surplus).collect();
        self.user.history.record_accepted(install.id, &install.package, &install.version);
        installs.push(install);
        self.database.store(INSTALLS_KEY, &installs)?;
        *lock(&self.installs) = installs;
        for old in dropped {
            self.user.history.record_dropped(old.id, &old.package, &old.version, Reason::OrderExpired);
        }
        Ok(())
    }

    fn unfinished(&self) -> Vec<StandaloneInstall> {
        let installs = lock(&self.installs);
        installs.iter().filter(|install| !self.user.history.has_ended(install.id)).cloned().collect()
    }
    /// Removes files left by an earlier run. Must run before the first caller is answered, because new files use the
    /// same folder.
    pub(crate) fn clear_leftovers(&self) {
        let known: BTreeSet<String> = self.unfinished().iter().map(|install| install.artifact.to_string()).collect();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|name| known.contains(name)) {
                drop(std::fs::remove_file(entry.path()));
            }
        }
    }
    /// Resumes the installs that an earlier run started.
    pub(crate) async fn resume(self: Arc<Self>) {
        for install in self.unfinished() {
            let work = Arc::clone(&self.work).lock_owned().await;
            info!(order = %install.id, package = install.package, "install resumed");
            self.user.history.record_accepted(install.id, &install.package, &install.version);
            Arc::clone(&self).carry_out(install, work).await;
        }
    }

    /// Runs the install helper and records the result.
    pub(super) async fn carry_out(self: Arc<Self>, install: StandaloneInstall, work: OwnedMutexGuard<()>) {
        let (id, started) = (install.id, Instant::now());
        let record = |event: &Event| self.user.history.record_event(id, &install.package, &install.version, event);
        record(&Event::Installing);
        let finished = self.run_install_helper(&install).await;
        let failed = |reason, detail: &str, output: &str, restored| {
            warn!(order = %id, %reason, detail, "install failed");
            Event::Failed { reason, detail: format!("{detail}\n{output}").trim_end().to_owned(), restored }
        };
        let event = match &finished.outcome {
            Outcome::Installed { already, remark } => {
                let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                info!(order = %id, package = install.package, already, milliseconds, "installed");
                self.user.installed.record(&install.package, &install.version, install.sequence);
                Event::Installed { already: *already, milliseconds, remark: remark.clone() }
            }
            Outcome::Failed { reason, detail, restored } => failed(*reason, detail, &finished.output, *restored),
            // There is no automatic retry: the user can open the file again.
            Outcome::Waits { reason, detail } => failed(*reason, detail, &finished.output, true),
        };
        if install.first && matches!(&event, Event::Failed { restored: true, .. }) {
            let mut trust = lock(&self.trust).clone();
            trust.disown(&install.package);
            if let Err(error) = self.store_trust(trust) {
                warn!(%error, "could not record that the first install of a package failed");
            }
        }
        // Record the result before removing anything that a retry would need.
        record(&event);
        drop(std::fs::remove_file(self.folder.join(install.artifact.to_string())));
        self.drop_metadata(id);
        drop(work);
    }

    async fn run_install_helper(&self, install: &StandaloneInstall) -> InstallResult {
        let failed = |reason, detail: String| InstallResult {
            outcome: Outcome::Failed { reason, detail, restored: true },
            output: String::new(),
        };
        let Some(head) = &install.head else {
            return failed(Reason::InternalError, "the package's signed metadata is missing".into());
        };
        let mut left = MAX_TRIES;
        loop {
            let job = StandaloneJob {
                id: install.id,
                head: head.clone(),
                manifest: install.manifest,
                consent: install.consent,
            };
            let artifact = match File::open(self.folder.join(install.artifact.to_string())) {
                Ok(artifact) => artifact,
                Err(error) => {
                    let reason = Reason::of_disk_error(&error);
                    return failed(reason, format!("cannot open the package's file: {error}"));
                }
            };
            match client::install_standalone(&self.launcher, job, artifact).await {
                Ok(InstallResult { outcome: Outcome::Waits { reason: Reason::PackageManagerBusy, .. }, .. }) => {
                    tokio::time::sleep(RETRY).await;
                }
                Ok(finished) => return finished,
                // The install helper may have ended halfway. Given the same job again, it finds out from its journal.
                Err(error) if left > 1 => {
                    warn!(order = %install.id, %error, "install helper failed; trying again");
                    left -= 1;
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => {
                    // What is installed now is unknown.
                    let outcome =
                        Outcome::Failed { reason: error.reason(), detail: error.to_string(), restored: false };
                    return InstallResult { outcome, output: String::new() };
                }
            }
        }
    }

    /// Drops the signed metadata of a finished install.
    fn drop_metadata(&self, id: OrderId) {
        let mut installs = lock(&self.installs);
        installs.iter_mut().filter(|install| install.id == id).for_each(|install| install.head = None);
        if let Err(error) = self.database.store(INSTALLS_KEY, &*installs) {
            warn!(%error, "could not record the result of an install");
        }
    }
}
