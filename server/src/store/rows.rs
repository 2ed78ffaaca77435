//! What the store keeps: one type for each kind of row, and the results of changing them.

use super::known_reach::KnownReach;
use banyan_proto::{
    Address, AddressRange, AddresseeList, DeploymentId, Digest, KnownRates, MachineId, Order, OrderId, Reason, Receipt,
    ServerCopies, Signed, Site, UnixSeconds,
    admin::{Deploy, DeploymentState, Halt, Stage},
    api::{ByteSource, Report},
    assignments::PROTECTED_TAG,
    schedule::Policy,
    server_events::EventKind,
    site_budget::SiteBudget,
    webhooks::DeliveryResult,
};

/// The server's identity and epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerIdentity {
    /// The server's identifier.
    pub(crate) id: MachineId,
    /// The epoch; raised after a restore from a backup.
    pub(crate) epoch: u64,
}

/// How far the first start with a database came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseAge {
    /// No server has used it.
    Empty,
    /// A server's first start was interrupted.
    Begun,
    /// A server has used it.
    InUse,
}

/// The result of raising the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RaisedEpoch {
    /// The previous epoch.
    pub from: u64,
    /// The new epoch.
    pub to: u64,
    /// The number of open deployments that ended.
    pub ended: usize,
}

/// Numbers that only rise.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    /// The number of the last order.
    Order,
    /// The number of the last revocation list.
    Crl,
    /// The number of the last list of stopped orders.
    Stop,
}

/// A machine.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MachineRow {
    pub(crate) id: MachineId,
    /// The name that the machine reports.
    pub(crate) label: String,
    pub(crate) assigned: Assigned,
    pub(crate) platform: String,
    pub(crate) software: String,
    pub(crate) addresses: Vec<Address>,
    pub(crate) enrolled: UnixSeconds,
    pub(crate) seen: UnixSeconds,
    pub(crate) revoked: Option<UnixSeconds>,
    /// Why the machine is quarantined until an administrator readmits it.
    pub(crate) quarantined: Option<Reason>,
    /// The machine enrolled in its place; set only if this one is revoked.
    pub(crate) replaced_by: Option<MachineId>,
    /// What its link carries, as it reports.
    pub(crate) rates: KnownRates,
    /// From where it could be dialled.
    pub(crate) reach: KnownReach,
}

/// What administrators assigned to a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// A name that replaces the machine's label.
    pub(crate) name: Option<String>,
    /// The groups, in the order of their names.
    pub(crate) groups: Vec<String>,
    /// The tags, in the order of their names.
    pub(crate) tags: Vec<String>,
    /// The last change of the groups that put another policy in force for the machine.
    pub(crate) policy: PolicyChange,
}

/// A change after which other policies are in force for a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PolicyChange {
    /// Its number among the changes of policies; 0: none.
    pub(crate) number: u64,
    pub(crate) at: UnixSeconds,
}

impl Assigned {
    pub(crate) fn is_protected(&self) -> bool {
        self.tags.iter().any(|tag| tag.eq_ignore_ascii_case(PROTECTED_TAG))
    }
    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| is_same_name(own, group))
    }
}

/// Returns whether two names of groups, tags or sites are the same. Upper and lower case are.
pub(crate) fn is_same_name(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// What a machine is to be assigned from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewAssignment {
    pub(crate) machine: MachineId,
    pub(crate) assigned: Assigned,
    /// Whether another policy applies to it afterwards. The store then sets the change's number.
    pub(crate) changes_policy: bool,
}

/// Ranges of addresses that have a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedSiteRow {
    pub(crate) name: String,
    pub(crate) ranges: Vec<AddressRange>,
}

/// What a deployment recorded of a package on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstalledRow {
    pub(crate) machine: MachineId,
    pub(crate) package: String,
    pub(crate) version: String,
}

impl MachineRow {
    /// Returns the name that people see.
    pub(crate) fn name(&self) -> &str {
        self.assigned.name.as_ref().unwrap_or(&self.label)
    }
    /// Returns why the machine is excluded, or `None` if it is not.
    pub(crate) fn exclusion(&self) -> Option<Reason> {
        match (self.revoked, self.replaced_by) {
            (Some(_), Some(_)) => Some(Reason::Retired),
            (Some(_), None) => Some(Reason::Revoked),
            (None, _) => self.quarantined,
        }
    }
}

/// A join secret, stored as its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenRow<'a> {
    pub(crate) hash: Digest,
    pub(crate) uses: u32,
    pub(crate) created: UnixSeconds,
    pub(crate) expires: UnixSeconds,
    pub(crate) group: Option<&'a str>,
    /// The machine that is retired when the secret is used.
    pub(crate) replaces: Option<MachineId>,
}

/// An issued certificate.
#[derive(Debug, Clone)]
pub(crate) struct CertificateRow {
    pub(crate) serial: Vec<u8>,
    pub(crate) machine: MachineId,
    pub(crate) issued: UnixSeconds,
    pub(crate) expires: UnixSeconds,
}

/// A machine that is being enrolled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewEnrolment<'a> {
    /// The hash of the join secret.
    pub(crate) secret: Digest,
    /// The hash of the machine's public key.
    pub(crate) key: Digest,
    pub(crate) row: &'a MachineRow,
    pub(crate) certificate: &'a CertificateRow,
    /// The certificate as PEM text.
    pub(crate) pem: &'a str,
}

/// The result of an enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EnrolmentOutcome {
    /// The machine is enrolled.
    Enrolled {
        /// The join code's group, and what it takes over from the machine that it replaces.
        assigned: Assigned,
        /// The machine that was retired for it.
        retired: Option<MachineId>,
    },
    /// The machine was enrolled by an earlier request, but has not checked in since: the answer was lost.
    Repeated {
        /// The identity that the machine was given.
        machine: MachineId,
        /// The certificate that it was given, as PEM text.
        pem: String,
    },
    /// The secret is unknown.
    UnknownSecret,
    /// The secret has no uses left.
    UsedUp,
    /// The secret has expired.
    Expired,
    /// An administrator has revoked the secret.
    Revoked,
}

/// A deployment: what an administrator asked for.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentRow {
    pub(crate) id: DeploymentId,
    /// The number of its first order. Of the deployments of a package, the one with the highest number counts.
    pub(crate) number: u64,
    pub(crate) package: String,
    pub(crate) sequence: u64,
    pub(crate) version: String,
    pub(crate) state: DeploymentState,
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) accepted_ms: u64,
    pub(crate) expires: UnixSeconds,
    /// The original request.
    pub(crate) request: Deploy,
    /// Whether machines that its selection selects later join it.
    pub(crate) is_live: bool,
    /// How many rings it has; at least 1.
    pub(crate) rings: u32,
    /// The index of the last open ring.
    pub(crate) open_ring: u32,
    /// Since when that ring is open.
    pub(crate) ring_since: UnixSeconds,
    /// Why it was halted.
    pub(crate) halt: Option<Halt>,
}

impl DeploymentRow {
    /// Returns whether machines can join it now.
    pub(crate) fn takes_newcomers(&self, now: UnixSeconds) -> bool {
        let is_going = matches!(self.state, DeploymentState::Running | DeploymentState::Finished);
        self.is_live && is_going && self.halt.is_none() && now < self.expires
    }
}

/// A machine of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetRow {
    pub(crate) machine: MachineId,
    /// The index of its ring. It never changes.
    pub(crate) ring: u32,
    /// The order of its present attempt.
    pub(crate) order: Option<OrderId>,
    /// Why there is none.
    pub(crate) reason: Option<Reason>,
    pub(crate) detail: Option<String>,
}

/// A machine of a deployment with its present attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TargetProgress {
    pub(crate) target: TargetRow,
    /// Whether an administrator resumed the deployment in spite of its failure.
    pub(crate) is_accepted: bool,
    /// `None` without an order.
    pub(crate) progress: Option<AddresseeRow>,
}

/// What an administrator's action meets: the machines at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StageCounts {
    pub(crate) installed: u32,
    /// Installing, or permitted to.
    pub(crate) finishing: u32,
    /// The other unfinished ones.
    pub(crate) waiting: u32,
}

/// The result of changing a deployment's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateChange {
    /// It is in the new state.
    Changed(StageCounts),
    /// It was in another state than those from which it can change.
    Refused(DeploymentState),
    /// There is no such deployment.
    Missing,
}

/// An order.
#[derive(Debug, Clone)]
pub(crate) struct OrderRow {
    pub(crate) order: Order,
    pub(crate) signed: Signed<Order>,
    pub(crate) deployment: DeploymentId,
    pub(crate) version: String,
    /// Whether one of its machines has neither succeeded nor failed.
    pub(crate) is_open: bool,
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) accepted_ms: u64,
    pub(crate) size: u64,
    pub(crate) chunks: u32,
    pub(crate) server_sent: u64,
    /// How many copies the server may send.
    pub(crate) server_copies: ServerCopies,
}

/// An order that is being stored.
#[derive(Debug)]
pub(crate) struct NewOrder<'a> {
    pub(crate) row: &'a OrderRow,
    pub(crate) lists: &'a [AddresseeList],
    /// The target machines in the order of the first list.
    pub(crate) addressees: &'a [AddresseeRow],
}

/// A deployment that is being accepted.
#[derive(Debug)]
pub(crate) struct NewDeployment<'a> {
    pub(crate) row: &'a DeploymentRow,
    pub(crate) orders: &'a [NewOrder<'a>],
    pub(crate) targets: &'a [TargetRow],
}

/// One machine's progress in one order.
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
    /// When the machine was last permitted to install; `None` if it has put the installation off since.
    pub(crate) permitted: Option<UnixSeconds>,
    /// Whether the machine had the release before, so that its success proves nothing.
    pub(crate) had_it: bool,
    /// When the report of its end arrived.
    pub(crate) ended: Option<UnixSeconds>,
}

/// Why a machine is not progressing in a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgressNote {
    pub(crate) order: OrderId,
    pub(crate) machine: MachineId,
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

/// What a deployment's machines have shown of its release.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReleaseEvidence {
    /// The number of machines on which the release is installed, in any deployment.
    pub(crate) proven: usize,
    /// The reasons why machines of this deployment have failed.
    pub(crate) failures: Vec<Reason>,
    /// The unfinished machines of this deployment that have an install permit.
    pub(crate) permitted: Vec<AddresseeRow>,
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
            permitted: None,
            had_it: false,
            ended: None,
        }
    }
    /// Returns whether a newer deployment of the package took the machine over.
    pub(crate) fn is_replaced(&self) -> bool {
        self.stage == Stage::Failed && self.reason == Some(Reason::OrderSuperseded)
    }
    /// Returns whether the machine has finished or failed.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Installed | Stage::Failed)
    }
}

/// A report, and how long after the order's acceptance it arrived (milliseconds).
#[derive(Debug, Clone)]
pub(crate) struct ArrivedReport {
    pub(crate) report: Report,
    pub(crate) after_ms: u64,
}

/// A suspicious event that administrators should see.
#[derive(Debug, Clone)]
pub(crate) struct Suspicion {
    pub(crate) at: UnixSeconds,
    pub(crate) machine: Option<MachineId>,
    /// The order that it concerns.
    pub(crate) order: Option<OrderId>,
    /// That order's deployment; the store finds it out.
    pub(crate) deployment: Option<DeploymentId>,
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

/// An event to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) kind: EventKind,
    pub(crate) deployment: Option<DeploymentId>,
    pub(crate) machine: Option<MachineId>,
    pub(crate) reason: Option<Reason>,
    /// An explanation; longer ones are cut.
    pub(crate) detail: String,
    /// The only webhook that gets it; for tests of webhooks.
    pub(crate) webhook: Option<[u8; 16]>,
}

/// A receiver of events.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WebhookRow {
    pub(crate) id: [u8; 16],
    pub(crate) url: String,
    /// The kinds of events that it gets; empty: all.
    pub(crate) kinds: Vec<EventKind>,
    /// Whether it may be in a private network.
    pub(crate) private: bool,
    pub(crate) secret: Vec<u8>,
    /// The secret before the last change, and until when it signs, too.
    pub(crate) old_secret: Option<(Vec<u8>, UnixSeconds)>,
    pub(crate) created: UnixSeconds,
    /// Why nothing is posted.
    pub(crate) paused: Option<String>,
    pub(crate) last: Option<DeliveryResult>,
}

/// A delivery that is to be attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueDelivery {
    pub(crate) event: u64,
    pub(crate) attempts: u32,
    /// When (milliseconds since 1970).
    pub(crate) next_ms: u64,
}

/// How an attempt to deliver ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttemptEnd {
    pub(crate) result: DeliveryResult,
    /// When to try again (milliseconds since 1970).
    pub(crate) next_ms: Option<u64>,
}

/// An administrator's policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PolicyRow {
    /// The group it applies to; `None` for all machines whose group has no policy of its own.
    pub(crate) group: Option<String>,
    /// The number of this change; rises across all groups.
    pub(crate) number: u64,
    pub(crate) at: UnixSeconds,
    /// The policy; `None` if it was removed.
    pub(crate) policy: Option<Policy>,
    /// The rank among the policies of a machine's groups.
    pub(crate) rank: i32,
}

/// The budget of a site.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SiteBudgetRow {
    pub(crate) site: Site,
    pub(crate) budget: SiteBudget,
}

/// A certificate on the revocation list.
#[derive(Debug, Clone)]
pub(crate) struct RevokedCertificate {
    pub(crate) serial: Vec<u8>,
    pub(crate) since: UnixSeconds,
}

/// A receipt to store.
#[derive(Debug)]
pub(crate) struct NewReceipt<'a> {
    pub(crate) receipt: &'a Receipt,
    pub(crate) signed: &'a Signed<Receipt>,
    /// The sources of the bytes, as the machine reports them.
    pub(crate) sources: &'a [ByteSource],
    /// How long after the deployment's acceptance the request arrived (milliseconds).
    pub(crate) after_ms: u64,
}
