//! The server's database, behind traits: SQLite today, PostgreSQL when a site outgrows it.
//!
//! There is one trait per subject: machines, policies, deployments, orders, progress. Every method is one transaction: when it
//! returns, the change is on disk.

mod access;
mod audit;
mod deployments;
mod events;
mod idempotency;
mod known_reach;
mod machines;
mod metrics;
mod orders;
mod policies;
mod pool;
mod progress;
mod rows;
mod selections;
mod site_budgets;
mod sqlite;

pub(crate) use access::{AccessTokenRow, NewAccessToken};
pub(crate) use audit::{AuditFilter, NewAuditRow, StoredAuditLog};
pub(crate) use idempotency::{FirstAnswer, IdempotencyKey};
pub(crate) use known_reach::{DialledFrom, KnownReach};
pub(crate) use metrics::FleetCounts;
pub(crate) use pool::before_machines;
pub use rows::RaisedEpoch;
pub(crate) use rows::{
    AddresseeRow, ArrivedReport, Assigned, AttemptEnd, CertificateRow, Counter, DatabaseAge, DeploymentRow,
    DueDelivery, EnrolmentOutcome, InstalledRow, MachineRow, NamedSiteRow, NewAssignment, NewDeployment, NewEnrolment,
    NewEvent, NewOrder, NewReceipt, OrderRow, PolicyChange, PolicyRow, ProgressNote, ReleaseEvidence,
    RevokedCertificate, ServerIdentity, SiteBudgetRow, StageCounts, StateChange, Suspicion, TargetProgress, TargetRow,
    TokenRow, WebhookRow, is_same_name,
};
pub(crate) use sqlite::Sqlite;

use crate::private_files;
use async_trait::async_trait;
use banyan_proto::{
    AddresseeList, DeploymentId, Digest, MachineId, OrderId, Reason, Receipt, Signed, Site, UnixSeconds,
    admin::{Attempt, Halt, OpenToken, Stage},
    api::{ByteSource, Event},
    audit::{AuditEntry, HashedRow, TreeHead},
    merkle::TreeHash,
    schedule::Policy,
    server_events::ServerEvent,
    site_budget::SiteBudget,
    webhooks::Delivery,
};
use std::path::PathBuf;

/// What SQLite answers when there is no room: `SQLITE_FULL`, `SQLITE_IOERR_WRITE`, `SQLITE_IOERR_SHMOPEN`,
/// `SQLITE_IOERR_SHMSIZE`. Writing to a disk fails for other reasons only when it is broken.
const SQLITE_DISK_FULL: &[&str] = &["13", "778", "4618", "4874"];

/// What SQLite answers when it cannot create or open a file.
const SQLITE_CANTOPEN: u32 = 14;

/// What SQLite answers for a damaged database, and for a file that is none.
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_NOTADB: u32 = 26;

/// Why the store failed. Always the server's fault, never the caller's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed: disk full, file missing, or locked for too long.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The database's schema could not be upgraded.
    #[error("cannot upgrade the database to this version's schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The file is not a whole database.
    #[error(
        "the database {} is damaged: {why}; restore it from the backup and delete {name}-wal and {name}-shm beside it, \
         then run `banyan-server raise-epoch`",
        path.display(),
        name = path.file_name().unwrap_or_default().display()
    )]
    DamagedFile {
        /// The database's path.
        path: PathBuf,
        /// What SQLite found.
        why: String,
    },
    /// Stored data is not what this program wrote.
    #[error("the database contains a damaged {0}; restore it from the backup")]
    Damaged(&'static str),
}

impl StoreError {
    fn of_database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database(error) | Self::Migration(sqlx::migrate::MigrateError::Execute(error)) => Some(error),
            Self::Migration(_) | Self::DamagedFile { .. } | Self::Damaged(_) => None,
        }
    }
    /// Returns whether the disk is full.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self.of_database() {
            Some(sqlx::Error::Database(error)) => error.code().is_some_and(|code| SQLITE_DISK_FULL.contains(&&*code)),
            Some(sqlx::Error::Io(error)) => private_files::is_disk_full(error),
            _ => false,
        }
    }
    /// Returns the kind of SQLite's error: the lowest byte. The others say where it was noticed.
    fn kind(&self) -> Option<u32> {
        let Some(sqlx::Error::Database(error)) = self.of_database() else { return None };
        error.code()?.parse::<u32>().ok().map(|code| code & 0xff)
    }
    /// Returns whether SQLite could not create or open a file.
    pub(crate) fn is_file_not_created(&self) -> bool {
        self.kind() == Some(SQLITE_CANTOPEN)
    }
    /// Returns what SQLite says about a file that is not a whole database.
    fn damage(&self) -> Option<&str> {
        let Some(sqlx::Error::Database(error)) = self.of_database() else { return None };
        [SQLITE_CORRUPT, SQLITE_NOTADB].contains(&self.kind()?).then(|| error.message())
    }
}

pub(crate) type StoreResult<T> = Result<T, StoreError>;

/// Changes a machine's row after an event that arrived this many milliseconds after the deployment was accepted. Returns
/// whether anything changed. Runs inside the store's transaction.
pub(crate) type ApplyEvent = fn(&mut AddresseeRow, &Event, u64) -> bool;
/// Does the same after a receipt, with the sources of the bytes.
pub(crate) type ApplyReceipt = fn(&mut AddresseeRow, &[ByteSource], u64) -> bool;

/// Machines, their certificates, and join secrets.
#[async_trait]
pub(crate) trait MachineStore {
    /// Returns whether a server has used this database.
    async fn age(&self) -> StoreResult<DatabaseAge>;
    /// Returns the server's identity and epoch; creates them at the first call.
    async fn identity(&self) -> StoreResult<ServerIdentity>;
    /// Raises the epoch after a restore from a backup. Also raises the revocation list number above everything that
    /// machines can have seen, and ends open deployments.
    async fn raise_epoch(&self, now: UnixSeconds) -> StoreResult<RaisedEpoch>;
    /// Increments a counter and returns its new value.
    async fn next(&self, counter: Counter) -> StoreResult<u64>;
    /// Returns the time that was remembered last.
    async fn remembered_time(&self) -> StoreResult<Option<UnixSeconds>>;
    /// Stores the latest time that this server has seen.
    async fn remember_time(&self, time: UnixSeconds) -> StoreResult<()>;
    async fn machines(&self) -> StoreResult<Vec<MachineRow>>;
    async fn add_token(&self, token: TokenRow<'_>) -> StoreResult<()>;
    /// Returns the join secrets that a machine could enrol with now, those that expire first in front.
    async fn open_tokens(&self, now: UnixSeconds) -> StoreResult<Vec<OpenToken>>;
    /// Revokes a join secret. Returns `false` if there is none with this hash. Revoking again is no error.
    async fn revoke_token(&self, hash: Digest, now: UnixSeconds) -> StoreResult<bool>;
    /// Uses the secret once, adds machine and certificate, and retires the machine it replaces, in one transaction. The
    /// groups are the secret's, else those of the replaced machine; name and tags are always those of the replaced one.
    /// Changes nothing if the same secret has enrolled the
    /// same key, and that machine's row was not updated since.
    async fn enrol(&self, new: NewEnrolment<'_>) -> StoreResult<EnrolmentOutcome>;
    /// Stores what machines report about themselves: label, software, addresses, rates, and when they were seen; and
    /// from where they could be dialled. Deletes the answers to their enrolments. One transaction.
    async fn update_machines(&self, rows: &[MachineRow]) -> StoreResult<()>;
    /// Stores a further certificate. Returns `false` if the machine is revoked or unknown.
    async fn add_certificate(&self, certificate: &CertificateRow) -> StoreResult<bool>;
    /// Revokes a machine, which ends its part in all deployments. Returns the deployments that end because of this, or
    /// `None` if there is no such machine. Revoking again is no error.
    async fn revoke(&self, machine: MachineId, now: UnixSeconds) -> StoreResult<Option<Vec<DeploymentId>>>;
    /// Writes to the database without changing anything.
    async fn check_writable(&self) -> StoreResult<()>;
    /// Quarantines a machine for a reason, or readmits it with `None`.
    async fn set_quarantine(&self, machine: MachineId, reason: Option<Reason>) -> StoreResult<()>;
    /// Returns all certificates of revoked machines.
    async fn revoked_certificates(&self) -> StoreResult<Vec<RevokedCertificate>>;
    async fn add_suspicion(&self, suspicion: &Suspicion) -> StoreResult<()>;
    /// Returns the latest suspicious events, newest first.
    async fn suspicions(&self, most: u32) -> StoreResult<Vec<Suspicion>>;
    /// Deletes reports, suspicious events and expired join secrets that are older than this.
    async fn forget(&self, before: UnixSeconds) -> StoreResult<()>;
}

/// The administrators' policies.
#[async_trait]
pub(crate) trait PolicyStore {
    /// Returns all policies, including removed ones.
    async fn policies(&self) -> StoreResult<Vec<PolicyRow>>;
    /// Sets or removes a policy. Every change is kept permanently.
    async fn set_policy(
        &self,
        group: Option<&str>,
        policy: Option<&Policy>,
        rank: i32,
        now: UnixSeconds,
    ) -> StoreResult<PolicyRow>;
}

/// What administrators assign to machines, named sites, and what else selections ask for.
#[async_trait]
pub(crate) trait SelectionStore {
    /// Assigns all of this, in one transaction. Returns what the machines are assigned now.
    async fn assign(&self, new: Vec<NewAssignment>, now: UnixSeconds) -> StoreResult<Vec<NewAssignment>>;
    /// Returns the named sites, by name.
    async fn named_sites(&self) -> StoreResult<Vec<NamedSiteRow>>;
    /// Names a site; without ranges, removes its name.
    async fn set_named_site(&self, site: &NamedSiteRow) -> StoreResult<()>;
    /// Returns which version of a package deployments have last installed and checked on each machine. A machine on which
    /// a later installation began without such an end is left out: what is there now is not known.
    async fn installed(&self, package: &str) -> StoreResult<Vec<InstalledRow>>;
}

/// The budgets of sites.
#[async_trait]
pub(crate) trait SiteBudgetStore {
    async fn site_budgets(&self) -> StoreResult<Vec<SiteBudgetRow>>;
    /// Sets or removes a budget. Every change is kept permanently.
    async fn set_site_budget(&self, site: Site, budget: Option<&SiteBudget>, now: UnixSeconds) -> StoreResult<()>;
}

/// The access tokens of persons.
#[async_trait]
pub(crate) trait AccessStore {
    /// Returns all access tokens, also revoked and expired ones, the oldest first.
    async fn access_tokens(&self) -> StoreResult<Vec<AccessTokenRow>>;
    async fn add_access_token(&self, new: NewAccessToken<'_>) -> StoreResult<AccessTokenRow>;
    /// Revokes an access token. Revoking again is no error.
    async fn revoke_access_token(&self, id: u64, now: UnixSeconds) -> StoreResult<()>;
    /// Records when an access token was last used.
    async fn record_access_use(&self, id: u64, now: UnixSeconds) -> StoreResult<()>;
}

/// The audit log.
#[async_trait]
pub(crate) trait AuditStore {
    /// Returns the hashes of all rows, checked against their texts, and the newest signed head.
    async fn audit_log(&self) -> StoreResult<StoredAuditLog>;
    /// Appends a row and replaces the head. One transaction.
    async fn append_audit_row(&self, row: NewAuditRow<'_>, head: &Signed<TreeHead>) -> StoreResult<()>;
    /// Returns the stored hashes of the first `size` rows.
    async fn audit_leaves(&self, size: u64) -> StoreResult<Vec<TreeHash>>;
    /// Returns up to `limit` rows that a filter selects, the newest first.
    async fn audit_rows(&self, filter: &AuditFilter, limit: u64) -> StoreResult<Vec<AuditEntry>>;
    /// Returns up to `limit` rows exactly as hashed, the oldest first.
    async fn hashed_audit_rows(&self, from: u64, limit: u64) -> StoreResult<Vec<HashedRow>>;
}

/// Answers to requests with an idempotency key.
#[async_trait]
pub(crate) trait IdempotencyStore {
    /// Returns the first answer to a request with this key, if it is not older than a day.
    async fn first_answer(&self, key: &IdempotencyKey, now: UnixSeconds) -> StoreResult<Option<FirstAnswer>>;
    /// Stores an answer, and deletes those that are older than a day.
    async fn keep_answer(&self, key: &IdempotencyKey, answer: &FirstAnswer, now: UnixSeconds) -> StoreResult<()>;
}

/// Counts for the metrics.
#[async_trait]
pub(crate) trait MetricsStore {
    async fn fleet_counts(&self) -> StoreResult<FleetCounts>;
}

/// Deployments and their target machines.
#[async_trait]
pub(crate) trait DeploymentStore {
    /// Stores a new deployment with its orders. Its machines end as superseded in other open orders of the same package.
    /// Returns the orders in which nobody is left.
    async fn add_deployment(&self, new: NewDeployment<'_>) -> StoreResult<Vec<OrderId>>;
    /// Adds orders to a deployment that is running, halted or finished, and adds or changes targets. Returns what
    /// [`Self::add_deployment`] does; `None`, without a change, if the deployment is in another state.
    async fn add_orders(
        &self,
        id: DeploymentId,
        new: &[NewOrder<'_>],
        targets: &[TargetRow],
    ) -> StoreResult<Option<Vec<OrderId>>>;
    /// Returns this many deployments at most, or all, newest first.
    async fn deployments(&self, limit: Option<u32>) -> StoreResult<Vec<DeploymentRow>>;
    /// Returns the deployments in progress, oldest first.
    async fn running_deployments(&self) -> StoreResult<Vec<DeploymentRow>>;
    /// Returns the running or finished deployments with live membership, newest first.
    async fn live_deployments(&self) -> StoreResult<Vec<DeploymentRow>>;
    async fn deployment(&self, id: DeploymentId) -> StoreResult<Option<DeploymentRow>>;
    /// Returns the deployment of an order.
    async fn deployment_of(&self, order: OrderId) -> StoreResult<Option<DeploymentRow>>;
    /// Returns the deployment's machines with their present attempts, in the order of the orders and their lists.
    async fn targets(&self, id: DeploymentId) -> StoreResult<Vec<TargetProgress>>;
    /// Returns the index of a machine's ring.
    async fn target_ring(&self, id: DeploymentId, machine: MachineId) -> StoreResult<Option<u32>>;
    /// Returns the machines that the deployment with this number has, and those that a newer one of the package has an
    /// order for.
    async fn machines_since(&self, package: &str, number: u64) -> StoreResult<Vec<MachineId>>;
    /// Returns the attempts that were followed by another one, oldest first.
    async fn attempts(&self, id: DeploymentId) -> StoreResult<Vec<(MachineId, Attempt)>>;
    /// Halts an open deployment; failures also halt one in which the last machine has just failed.
    async fn halt(&self, id: DeploymentId, halt: &Halt, now: UnixSeconds) -> StoreResult<StateChange>;
    /// Resumes a halted deployment, and accepts the failures so far.
    async fn resume(&self, id: DeploymentId, now: UnixSeconds) -> StoreResult<StateChange>;
    /// Cancels a deployment. Machines that are not installing end.
    async fn cancel(&self, id: DeploymentId, now: UnixSeconds) -> StoreResult<StateChange>;
    /// Returns the orders of halted deployments that have not expired, the newest first, at most
    /// [`banyan_proto::limits::STOPPED_ORDERS`].
    async fn stopped_orders(&self, now: UnixSeconds) -> StoreResult<Vec<OrderId>>;
    /// Returns the number of the last list of stopped orders; 0 if there was none.
    async fn stop_number(&self) -> StoreResult<u64>;
    /// Opens the ring after `from`. Returns `false` if another one is open, or the deployment is not running.
    async fn open_ring(&self, id: DeploymentId, from: u32, now: UnixSeconds) -> StoreResult<bool>;
    /// Returns how many machines are at each stage, and how many of the failed ones another deployment took over.
    async fn counts(&self, id: DeploymentId) -> StoreResult<(Vec<(Stage, u32)>, u32)>;
}

/// Orders and their lists.
#[async_trait]
pub(crate) trait OrderStore {
    /// Returns all orders, oldest first.
    async fn orders(&self) -> StoreResult<Vec<OrderRow>>;
    /// Returns the orders of a deployment, oldest first.
    async fn orders_of(&self, deployment: DeploymentId) -> StoreResult<Vec<OrderRow>>;
    async fn order(&self, id: OrderId) -> StoreResult<Option<OrderRow>>;
    /// Returns the order's lists, by stripe.
    async fn lists(&self, id: OrderId) -> StoreResult<Vec<AddresseeList>>;
    /// Ends the order; machines that have not finished fail with this reason. Returns its deployment if the order was
    /// open until now.
    async fn end_order(&self, id: OrderId, reason: Reason, detail: &str) -> StoreResult<Option<DeploymentId>>;
    async fn add_server_sent(&self, id: OrderId, bytes: u64) -> StoreResult<()>;
}

/// Events, and the webhooks that get them.
#[async_trait]
pub(crate) trait EventStore {
    /// Stores an event that no other change brings along.
    async fn record_event(&self, event: NewEvent) -> StoreResult<()>;
    /// Returns a receiver that changes when an event was stored, or a delivery became due.
    fn event_news(&self) -> tokio::sync::watch::Receiver<u64>;
    /// Returns the events with higher numbers, oldest first, at most `limit`. Tests of webhooks are left out.
    async fn events_after(&self, id: u64, limit: u32) -> StoreResult<Vec<ServerEvent>>;
    /// Returns the numbers of the oldest event that is kept and of the newest ever stored.
    async fn kept_events(&self) -> StoreResult<(u64, u64)>;
    async fn event(&self, id: u64) -> StoreResult<Option<ServerEvent>>;
    /// Deletes events that are older than this, and all but the newest `most`, in small steps. Keeps events that a webhook
    /// still waits for. Returns how many were deleted.
    async fn forget_events(&self, before: UnixSeconds, most: u64) -> StoreResult<u64>;
    /// Returns the webhooks, each with the number of its deliveries that wait.
    async fn webhooks(&self) -> StoreResult<Vec<(WebhookRow, u64)>>;
    async fn add_webhook(&self, row: &WebhookRow) -> StoreResult<()>;
    /// Returns `false` if there is none.
    async fn remove_webhook(&self, id: [u8; 16]) -> StoreResult<bool>;
    /// Sets a new secret; the old one signs until then, too. Returns `false` if there is none.
    async fn change_secret(&self, id: [u8; 16], secret: &[u8], old_until: UnixSeconds) -> StoreResult<bool>;
    /// Pauses a webhook, and gives up what waits if its receiver is gone for good.
    async fn pause_webhook(&self, id: [u8; 16], why: &str, gives_up: bool) -> StoreResult<()>;
    /// Posts again, beginning with what waits. Returns `false` if there is none.
    async fn resume_webhook(&self, id: [u8; 16]) -> StoreResult<bool>;
    /// Returns deliveries of a webhook that are to be attempted, those due first in front.
    async fn due_deliveries(&self, id: [u8; 16], limit: u32) -> StoreResult<Vec<DueDelivery>>;
    async fn end_attempt(&self, id: [u8; 16], event: u64, end: AttemptEnd) -> StoreResult<()>;
    /// Returns the newest deliveries, newest first.
    async fn deliveries(&self, id: [u8; 16]) -> StoreResult<Vec<Delivery>>;
    /// Delivers an event again, as if it were new. Returns `false` if there is no such delivery.
    async fn resend(&self, id: [u8; 16], event: u64) -> StoreResult<bool>;
}

/// The machines' progress.
#[async_trait]
pub(crate) trait ProgressStore {
    async fn addressee(&self, id: OrderId, machine: MachineId) -> StoreResult<Option<AddresseeRow>>;
    /// Returns open orders in which the machine has neither succeeded nor failed.
    async fn expected(&self, machine: MachineId) -> StoreResult<Vec<OrderId>>;
    /// Returns all machines that have neither succeeded nor failed, in running deployments.
    async fn unfinished(&self) -> StoreResult<Vec<(OrderId, AddresseeRow)>>;
    /// Returns up to `limit` machines that hold the order's artifact, the most recent first.
    async fn holders(&self, id: OrderId, limit: u32) -> StoreResult<Vec<MachineId>>;
    /// Stores reports and applies them. Ignores reports that were already received. Returns the deployments in which
    /// every target machine has now succeeded or failed.
    async fn store_reports(
        &self,
        machine: MachineId,
        reports: &[ArrivedReport],
        now: UnixSeconds,
        apply: ApplyEvent,
    ) -> StoreResult<Vec<DeploymentId>>;
    /// Stores the receipt unless the machine already has one, and applies it. Returns the one that is valid.
    async fn store_receipt(&self, new: NewReceipt<'_>, apply: ApplyReceipt) -> StoreResult<Signed<Receipt>>;
    async fn receipt(&self, id: OrderId, machine: MachineId) -> StoreResult<Option<Signed<Receipt>>>;
    /// Returns what the deployment's machines have shown of its release.
    async fn evidence(&self, row: &OrderRow) -> StoreResult<ReleaseEvidence>;
    /// Records that the machine may install now.
    async fn record_permit(&self, id: OrderId, machine: MachineId, now: UnixSeconds) -> StoreResult<()>;
    /// Records why machines are not progressing, unless they have succeeded or failed. One transaction.
    async fn note(&self, notes: &[ProgressNote]) -> StoreResult<()>;
}

/// All of the store's traits.
pub(crate) trait Store:
    MachineStore
    + PolicyStore
    + SelectionStore
    + SiteBudgetStore
    + AccessStore
    + AuditStore
    + IdempotencyStore
    + MetricsStore
    + DeploymentStore
    + OrderStore
    + ProgressStore
    + EventStore
    + Send
    + Sync
    + 'static
{
}
impl<T> Store for T where
    T: MachineStore
        + PolicyStore
        + SelectionStore
        + SiteBudgetStore
        + AccessStore
        + AuditStore
        + IdempotencyStore
        + MetricsStore
        + DeploymentStore
        + OrderStore
        + ProgressStore
        + EventStore
        + Send
        + Sync
        + 'static
{
}
