//! What the server remembers, behind traits: SQLite today, PostgreSQL when a site outgrows it.
//!
//! One trait per subject, so that a reader finds what is kept about machines, deployments or progress in one place.
//! Every method is one transaction: when it returns, the change is on the disk.

mod deployments;
mod machines;
mod policies;
mod progress;
mod sqlite;

pub(crate) use sqlite::Sqlite;

use async_trait::async_trait;
use banyan_proto::{
    AddresseeList, DeploymentId, Digest, MachineId, Order, Reason, Receipt, Signed, UnixSeconds,
    admin::{Deploy, DeploymentState, Stage},
    api::{ByteSource, Report},
    schedule::Policy,
};
use std::net::SocketAddr;

/// Why something could not be remembered or found again. The server's fault, never the caller's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused: disk full, file gone, locked for too long.
    #[error("the database does not answer: {0}")]
    Database(#[from] sqlx::Error),
    /// The database's form could not be brought up to date.
    #[error("the database could not be brought up to this version's form: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Something in it is not what this program wrote.
    #[error("the database holds a damaged {0}; restore it from the backup")]
    Damaged(&'static str),
}

pub(crate) type Stored<T> = Result<T, StoreError>;

/// What the server knows about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Its identity.
    pub(crate) id: MachineId,
    /// Raised when it is restored from a backup.
    pub(crate) epoch: u64,
}

/// What raising the epoch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// The epoch before.
    pub from: u64,
    /// The epoch from now on.
    pub to: u64,
    /// Deployments that were open and are over now.
    pub ended: usize,
}

/// Numbers that only rise.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// Of orders.
    Order,
    /// Of revocation lists.
    Crl,
}

/// A machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MachineRow {
    pub(crate) id: MachineId,
    pub(crate) label: String,
    pub(crate) group: Option<String>,
    pub(crate) platform: String,
    pub(crate) software: String,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) enrolled: UnixSeconds,
    pub(crate) seen: UnixSeconds,
    pub(crate) revoked: Option<UnixSeconds>,
    /// Why it takes part in nothing until an administrator says so.
    pub(crate) aside: Option<Reason>,
    /// Enrolled in its place; it is revoked then.
    pub(crate) replaced_by: Option<MachineId>,
}

impl MachineRow {
    /// Why it takes part in nothing, if it does not.
    pub(crate) fn out(&self) -> Option<Reason> {
        match (self.revoked, self.replaced_by) {
            (Some(_), Some(_)) => Some(Reason::Retired),
            (Some(_), None) => Some(Reason::Revoked),
            (None, _) => self.aside,
        }
    }
}

/// A join secret, but for the secret itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenRow<'a> {
    pub(crate) hash: Digest,
    pub(crate) uses: u32,
    pub(crate) expires: UnixSeconds,
    pub(crate) group: Option<&'a str>,
    /// Retired when the secret is used.
    pub(crate) replaces: Option<MachineId>,
}

/// A certificate that was issued.
#[derive(Debug, Clone)]
pub(crate) struct CertificateRow {
    pub(crate) serial: Vec<u8>,
    pub(crate) machine: MachineId,
    pub(crate) issued: UnixSeconds,
    pub(crate) expires: UnixSeconds,
}

/// How an enrolment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Enrolled {
    /// The machine is in.
    Done {
        /// It joined this group.
        group: Option<String>,
        /// This one was retired for it.
        retired: Option<MachineId>,
    },
    /// Nobody made this secret.
    Unknown,
    /// As many machines as it was for have enrolled.
    UsedUp,
    /// Its time is over.
    Expired,
}

/// A deployment.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentRow {
    pub(crate) order: Order,
    pub(crate) signed: Signed<Order>,
    pub(crate) version: String,
    pub(crate) state: DeploymentState,
    /// Milliseconds since 1970.
    pub(crate) accepted_ms: u64,
    pub(crate) size: u64,
    pub(crate) chunks: u32,
    /// What was asked for, so that it can be asked for again.
    pub(crate) request: Deploy,
    pub(crate) server_sent: u64,
}

/// A deployment that is being accepted.
#[derive(Debug)]
pub(crate) struct NewDeployment<'a> {
    pub(crate) row: &'a DeploymentRow,
    pub(crate) lists: &'a [AddresseeList],
    /// In the order of the first list, then those that cannot take part.
    pub(crate) addressees: &'a [AddresseeRow],
}

/// How one machine is in one deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AddresseeRow {
    pub(crate) machine: MachineId,
    pub(crate) stage: Stage,
    pub(crate) held: u32,
    pub(crate) reason: Option<Reason>,
    pub(crate) detail: Option<String>,
    pub(crate) sources: Vec<ByteSource>,
    pub(crate) verified_after: Option<u64>,
    pub(crate) installed_after: Option<u64>,
}

impl AddresseeRow {
    pub(crate) fn expected(machine: MachineId) -> Self {
        Self {
            machine,
            stage: Stage::Expected,
            held: 0,
            reason: None,
            detail: None,
            sources: vec![],
            verified_after: None,
            installed_after: None,
        }
    }
    /// Whether nothing more will happen.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Installed | Stage::Failed)
    }
}

/// A report, and how long after the deployment's acceptance it came (milliseconds).
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) report: Report,
    pub(crate) after_ms: u64,
}

/// What the server itself noticed and a person should see.
#[derive(Debug, Clone)]
pub(crate) struct Suspicion {
    pub(crate) at: UnixSeconds,
    pub(crate) machine: Option<MachineId>,
    pub(crate) deployment: Option<DeploymentId>,
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

/// What an administrator laid down.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PolicyRow {
    /// For the machines of this group; none: for all that have none of their own.
    pub(crate) group: Option<String>,
    /// Of this change; rises over all groups.
    pub(crate) number: u64,
    pub(crate) at: UnixSeconds,
    /// None: it was taken back.
    pub(crate) policy: Option<Policy>,
}

/// What has changed in a deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Changed {
    /// Deployments in which a machine got further.
    pub(crate) progressed: Vec<DeploymentId>,
    /// Deployments of which every addressee has succeeded or failed now.
    pub(crate) finished: Vec<DeploymentId>,
}

/// Machines, their certificates, and the right to enrol.
#[async_trait]
pub(crate) trait Machines {
    /// The server's own facts; made at the first call.
    async fn facts(&self) -> Stored<Facts>;
    /// The server was restored from a backup: raises the epoch and the number of revocation lists above everything that
    /// machines can have seen, and ends what was open.
    async fn raise_epoch(&self, now: UnixSeconds) -> Stored<Raised>;
    /// The next number.
    async fn next(&self, counter: Counter) -> Stored<u64>;
    async fn machines(&self) -> Stored<Vec<MachineRow>>;
    async fn add_token(&self, token: TokenRow<'_>) -> Stored<()>;
    /// Takes one use of the secret, adds machine and certificate and retires the machine it replaces, all or nothing. The
    /// group is the secret's, else that of the replaced machine.
    async fn enrol(&self, secret: Digest, row: &MachineRow, certificate: &CertificateRow) -> Stored<Enrolled>;
    /// What the machine says about itself: label, software, addresses, when it was seen.
    async fn update_machine(&self, row: &MachineRow) -> Stored<()>;
    /// Remembers a further certificate; `false` when the machine has been revoked meanwhile.
    async fn add_certificate(&self, certificate: &CertificateRow) -> Stored<bool>;
    /// `false` when there is no such machine; revoking twice changes nothing.
    async fn revoke(&self, machine: MachineId, now: UnixSeconds) -> Stored<bool>;
    /// Sets a machine aside for a reason, or takes it back.
    async fn set_aside(&self, machine: MachineId, reason: Option<Reason>) -> Stored<()>;
    /// Serials of all certificates of revoked machines, with the time of the revocation.
    async fn revoked_serials(&self) -> Stored<Vec<(Vec<u8>, UnixSeconds)>>;
    async fn add_suspicion(&self, suspicion: &Suspicion) -> Stored<()>;
    /// Forgets what is older than this and only of interest for a while: reports, suspicions, secrets that have expired.
    async fn forget(&self, before: UnixSeconds) -> Stored<()>;
}

/// What administrators lay down for the people at their machines.
#[async_trait]
pub(crate) trait Policies {
    /// All of them, those that were taken back included.
    async fn policies(&self) -> Stored<Vec<PolicyRow>>;
    /// Sets one, or takes it back; the change is kept for ever.
    async fn set_policy(&self, group: Option<&str>, policy: Option<&Policy>, now: UnixSeconds) -> Stored<PolicyRow>;
}

/// Deployments and their lists.
#[async_trait]
pub(crate) trait Deployments {
    /// Keeps a new deployment. Machines of older, open deployments of the same package that this one addresses too end
    /// there as superseded; gives the deployments that are over by that.
    async fn add_deployment(&self, new: NewDeployment<'_>) -> Stored<Vec<DeploymentId>>;
    /// All of them, newest first.
    async fn deployments(&self) -> Stored<Vec<DeploymentRow>>;
    async fn deployment(&self, id: DeploymentId) -> Stored<Option<DeploymentRow>>;
    /// Its lists, by stripe.
    async fn lists(&self, id: DeploymentId) -> Stored<Vec<AddresseeList>>;
    /// Changes the state from one of `from`; `false` when it is in another one.
    async fn set_state(&self, id: DeploymentId, from: &[DeploymentState], to: DeploymentState) -> Stored<bool>;
    /// It is over: whoever has not finished ends with that reason. Says whether it was under way until now.
    async fn end(&self, id: DeploymentId, reason: Reason, detail: &str) -> Stored<bool>;
    async fn add_server_sent(&self, id: DeploymentId, bytes: u64) -> Stored<()>;
}

/// How far each machine is.
#[async_trait]
pub(crate) trait Progress {
    async fn addressees(&self, id: DeploymentId) -> Stored<Vec<AddresseeRow>>;
    async fn addressee(&self, id: DeploymentId, machine: MachineId) -> Stored<Option<AddresseeRow>>;
    /// How many are at each stage.
    async fn counts(&self, id: DeploymentId) -> Stored<Vec<(Stage, u32)>>;
    /// Running or halted deployments in which the machine is neither done nor failed.
    async fn expected(&self, machine: MachineId) -> Stored<Vec<DeploymentId>>;
    /// Everyone who is neither done nor failed, in all running deployments.
    async fn unfinished(&self) -> Stored<Vec<(DeploymentId, AddresseeRow)>>;
    /// Up to `limit` machines that hold a deployment's artifact, those that finished last first.
    async fn holders(&self, id: DeploymentId, limit: u32) -> Stored<Vec<MachineId>>;
    /// Takes reports in; those that came before are passed over.
    async fn take_reports(&self, machine: MachineId, reports: &[Arrived], now: UnixSeconds) -> Stored<Changed>;
    /// The receipt that counts for this machine: the one given here, or the one it already had.
    async fn keep_receipt(
        &self,
        receipt: &Receipt,
        signed: &Signed<Receipt>,
        sources: &[ByteSource],
        after_ms: u64,
    ) -> Stored<Signed<Receipt>>;
    async fn receipt(&self, id: DeploymentId, machine: MachineId) -> Stored<Option<Signed<Receipt>>>;
    /// Notes why a machine is not further, unless it is done or failed.
    async fn note(&self, id: DeploymentId, machine: MachineId, reason: Reason, detail: &str) -> Stored<()>;
}

/// Everything.
pub(crate) trait Store: Machines + Policies + Deployments + Progress + Send + Sync + 'static {}
impl<T: Machines + Policies + Deployments + Progress + Send + Sync + 'static> Store for T {}
