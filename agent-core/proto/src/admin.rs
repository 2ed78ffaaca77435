//! Request and reply bodies of the admin API (`/api/v1`), which the command line and the console use.
//!
//! A bearer token authenticates the caller.

use crate::{
    Address, DeploymentId, Digest, Format, KnownRates, MachineId, OrderId, Reach, Reason, Secret, ServerCopies,
    UnixSeconds,
    api::ByteSource,
    format::{is_false, requests},
    order::{Allowance, Spread, Window},
    rollout::Rollout,
    schedule::Policy,
    signed::KeyRing,
    size::FileRoom,
};
use serde::{Deserialize, Serialize};

/// An administrator's profile: how to reach and authenticate a server. It is stored as TOML (`admin.toml`). It contains
/// a secret, so its file has mode 600.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The server's addresses, tried in turn.
    pub servers: Vec<Address>,
    /// BLAKE3 of the CA certificate (DER). This is the only CA trusted for this server.
    pub ca: Digest,
    /// The administrator's token.
    pub token: Secret,
    /// BLAKE3 of the first TUF root, which join codes contain. `banyan keys init` sets it; it is never taken from the
    /// server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
}

/// The reply to `GET /api/v1/info`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Info {
    /// The server's identity.
    pub server: MachineId,
    /// Program and version of the server.
    pub software: String,
    /// The server's epoch.
    pub epoch: u64,
    /// The public keys of the server's online TUF roles (snapshot, timestamp), as TUF key objects to include in the
    /// root.
    pub online_keys: Vec<serde_json::Value>,
    /// The keys that sign orders.
    pub keys: KeyRing,
    /// Whether a TUF root has been registered. No machine can enrol before that.
    pub has_root: bool,
    /// How many connections the server can take. Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The time by the server's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<UnixSeconds>,
    /// The time that deadlines go by while the server's clock has jumped and nothing has confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed_clock: Option<UnixSeconds>,
    /// Free space on the disk of the server's data folder (bytes). Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// How many files that disk can hold; `None` without a limit. Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_room: Option<FileRoom>,
    /// Why the server cannot store anything at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_fault: Option<Reason>,
}

/// How many connections a server can take, limited by the open files that its system allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Capacity {
    /// The limit of open files.
    pub open_files: usize,
    /// Connections of machines that the server takes at most.
    pub machine_places: usize,
    /// Machines that are connected.
    pub machines: usize,
    /// Connections of machines that were refused for lack of places, since the server started.
    pub refused: u64,
}

/// The reply with status 202 to a request that takes long, and to `GET /api/v1/work/{work}` until the answer to that
/// request is there. The work goes on although nobody waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Working {
    /// The work's identifier.
    pub work: Digest,
    /// What the server is doing, such as "checking the files of tool 1.4"; empty if it has not said.
    pub doing: String,
    /// How many bytes of this step are done.
    pub done: u64,
    /// How many bytes this step has; 0 if that is unknown.
    pub of: u64,
}

/// The header of `PUT /api/v1/artifacts/{blake3}` with the number of the byte at which the body begins. Without it, the
/// body is the whole artifact.
pub const UPLOAD_OFFSET: &str = "upload-offset";

/// The reply to `GET /api/v1/artifacts/{blake3}/upload`: how far the upload of an artifact is. A client sends the rest
/// from `received` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Upload {
    /// Whether anything is to be sent.
    pub state: UploadState,
    /// How many bytes the server has.
    pub received: u64,
}

/// Whether anything of an artifact is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UploadState {
    /// The server has a part of it, or nothing, and no client is sending the rest.
    Interrupted,
    /// A client is sending it, or the server is writing it to the disk.
    Receiving,
    /// The server has it.
    Stored,
}

/// `POST /api/v1/root`: registers the first TUF root, or a newer version that the previous root's keys also signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RegisterRoot {
    /// The text of root.json.
    pub root: String,
    /// The release list, if the root's new targets keys must sign it. Root and list take effect together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
}

/// The reply to `GET /api/v1/targets`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CurrentTargets {
    /// The text of the newest root.json.
    pub root: String,
    /// The text of targets.json; `None` before the first release.
    pub targets: Option<String>,
    /// All roots from the first to the newest, so that a client that trusts one of them can follow the chain.
    #[serde(default)]
    pub roots: Vec<String>,
}

/// `POST /api/v1/targets`: replaces the publishers' list with a newly signed one that may withdraw releases. It adds no
/// releases.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReplaceTargets {
    /// The text of the new targets.json.
    pub targets: String,
}

/// The reply to [`ReplaceTargets`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Replaced {
    /// The target names that this request withdrew.
    pub withdrawn: Vec<String>,
    /// The deployments that were stopped because of that.
    pub stopped: Vec<DeploymentId>,
}

/// The reply to `GET /api/v1/releases/{package}/{sequence}`: the manifest of a published release, to check against the
/// publishers' list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReleaseManifest {
    /// The manifest's JSON text, exactly as hashed in the targets.
    pub manifest: String,
}

/// `POST /api/v1/tokens`: creates a join secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewToken {
    /// How many machines can enrol with it.
    pub uses: u32,
    /// How long it is valid, in seconds.
    pub expires_seconds: u64,
    /// The group that the machines join.
    #[serde(default)]
    pub group: Option<String>,
    /// The machine that the new one replaces. The server retires it when the secret is used. Only for secrets with a
    /// single use.
    #[serde(default)]
    pub replaces: Option<MachineId>,
}

/// The reply to [`NewToken`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenCreated {
    /// The secret: 32 hexadecimal digits.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub secret: Secret,
}

/// An open join secret in the reply to `GET /api/v1/tokens`: one that machines can still enrol with. The secret itself is
/// known to nobody but those who have its join code. `POST /api/v1/tokens/{id}/revoke` revokes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OpenToken {
    /// The BLAKE3 hash of the secret. It identifies the secret and does not lead to it.
    pub id: Digest,
    /// When it was created; `None` for secrets of older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<UnixSeconds>,
    /// When it expires.
    pub expires: UnixSeconds,
    /// How many more machines can enrol with it.
    pub uses_left: u32,
    /// The group that the machines join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The machine that the new one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<MachineId>,
}

/// `POST /api/v1/releases`: publishes a release. Each artifact must have been uploaded with
/// `PUT /api/v1/artifacts/{blake3}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Publish {
    /// The text of the new targets.json, signed by the publishers.
    pub targets: String,
    /// The manifest's JSON text, exactly as hashed in the targets.
    pub manifest: String,
}

/// A release in the reply to `GET /api/v1/releases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Release {
    /// The package's name.
    pub package: String,
    /// The version shown to users.
    pub version: String,
    /// The release's sequence.
    pub sequence: u64,
    /// The platform and size in bytes of each artifact.
    pub artifacts: Vec<(String, u64)>,
}

/// A machine in the reply to `GET /api/v1/machines`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Machine {
    /// The machine's identity.
    pub id: MachineId,
    /// The machine's display name: an administrator's, else the label that it reports.
    pub label: String,
    /// The label that the machine reports, if an administrator gave it another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_label: Option<String>,
    /// The first of the machine's groups, if any. For clients that know one group only.
    pub group: Option<String>,
    /// The machine's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The machine's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The machine's platform.
    pub platform: String,
    /// The addresses that the machine reported.
    pub addresses: Vec<Address>,
    /// When the machine last contacted the server.
    pub seen: UnixSeconds,
    /// Whether the machine has a connection to the server now.
    pub online: bool,
    /// Whether its certificate has been revoked.
    pub revoked: bool,
    /// Why the machine is excluded from deployments, if it is.
    #[serde(default)]
    pub out: Option<Reason>,
    /// The identity that replaced this machine, if any.
    #[serde(default)]
    pub replaced_by: Option<MachineId>,
    /// Program and version of the agent.
    pub software: String,
    /// How far the machine's clock is ahead of the server's (seconds; negative: behind), as of its last check-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead: Option<i64>,
    /// Whether the machine knows the addresses that the server announces now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knows_server_addresses: Option<bool>,
    /// Identifies what the machine is assigned: its name, groups and tags. A request to rename it with `If-Match` and this
    /// is refused with 412 if that was changed meanwhile. Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the machine's link carries.
    #[serde(default, skip_serializing_if = "KnownRates::is_empty")]
    pub rates: KnownRates,
    /// Who can dial the machine; `None` until that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}

/// The events in the reply to `GET /api/v1/suspicions`, at most.
pub const SUSPICIONS: u32 = 1000;

/// A suspicious event in the reply to `GET /api/v1/suspicions`, newest first: a machine or its path may be hostile,
/// damaged or misconfigured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SuspiciousEvent {
    /// When the server noticed it.
    pub at: UnixSeconds,
    /// The machine under suspicion; `None`: unknown.
    pub machine: Option<MachineId>,
    /// The deployment that it concerns.
    pub deployment: Option<DeploymentId>,
    /// The reason.
    pub reason: Reason,
    /// An explanation.
    pub detail: String,
}

/// Reads a field that can be `null` and must be there.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// `POST /api/v1/policies`: sets or removes the policy of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SetPolicy {
    /// The group; `None`: all machines whose group has no policy of its own. It must be given, so that a misspelled field
    /// does not change the policy of everybody.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schema(required))]
    pub group: Option<String>,
    /// The new policy; `None` removes the current one. It must be given. The server sets its number and time.
    #[serde(deserialize_with = "given")]
    #[cfg_attr(feature = "schema", schema(required))]
    pub policy: Option<Policy>,
    /// The policy's rank among those of a machine's groups; `None`: as it is, 0 at first. Only groups have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<i32>,
}

/// A group in the reply to `GET /api/v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GroupPolicy {
    /// The group; `None`: machines without a group, and groups that have no policy of their own.
    pub group: Option<String>,
    /// Whether the policy was set for this group itself.
    pub own: bool,
    /// The policy that applies. Its number is 0 if no policy was ever set.
    pub policy: Policy,
    /// The number of this group's machines, without those that are excluded.
    pub machines: usize,
    /// The rank of the group's own policy. Of the policies of a machine's groups, the one with the highest rank applies;
    /// of equal ranks, the group whose name comes first.
    #[serde(default)]
    pub rank: i32,
    /// Identifies what is set for this group. A request to set the policy with `If-Match` and this is refused with 412 if
    /// it was changed meanwhile. Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// To how many machines this entry's own policy applies; for the entry of all machines, to how many that one does.
    /// Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies_to: Option<usize>,
}

/// The reply with status 412 to a request with `If-Match`: what it was to change has been changed since the sender read
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChangedMeanwhile {
    /// The reason code: `changed-meanwhile`.
    pub reason: Reason,
    /// A message for people.
    pub detail: String,
    /// What is set now, with its version.
    pub present: serde_json::Value,
}

/// The machines that a deployment targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Every enrolled machine.
    All,
    /// The machines of one group.
    Group(String),
    /// Machines, each by name or id.
    Machines(Vec<String>),
    /// The machines for which a filter says yes.
    Filter(String),
}

/// `POST /api/v1/deployments`: starts a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Deploy {
    /// The package's name.
    pub package: String,
    /// The version; `None` selects the release with the highest sequence.
    pub version: Option<String>,
    /// The machines to deploy to.
    pub to: Selection,
    /// The number of stripes: 1 or 2.
    pub stripes: u8,
    /// When a machine may start to forward chunks.
    pub spread: Spread,
    /// When machines may transfer.
    pub window: Window,
    /// The time from which the deployment goes ahead regardless of windows.
    pub deadline: Option<UnixSeconds>,
    /// What machines may do in this deployment that they refuse otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowance>,
    /// Whether protected machines take part although nothing names them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub include_protected: bool,
    /// How many copies the server may send. Requests without it mean one.
    #[serde(default, skip_serializing_if = "ServerCopies::is_one")]
    pub server_copies: ServerCopies,
    /// How it reaches the machines: rings, their gates, and whether later machines join. A server must understand it.
    #[serde(default, skip_serializing_if = "Rollout::is_default")]
    pub rollout: Rollout,
}

/// The item that a server must understand to act on a [`Deploy`] with a rollout.
const ROLLOUT: &str = "rollout";

impl Format for Deploy {
    const KIND: &'static str = "request to deploy a release";
    const UNDERSTOOD: &'static [&'static str] = &[ROLLOUT];
    fn must_understand(&self) -> Vec<String> {
        if self.rollout.is_default() { vec![] } else { vec![ROLLOUT.to_owned()] }
    }
}

/// The reply to [`Deploy`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Deployed {
    /// The new deployment's identifier.
    pub id: DeploymentId,
    /// How many machines were selected. Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<SelectedMachines>,
    /// How many machines each ring has; empty without rings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rings: Vec<u32>,
}

/// How many machines a deployment's selection selected, and how many it left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SelectedMachines {
    /// The machines of the deployment.
    pub machines: u32,
    /// The machines for which the filter has no answer, because something about them is not known.
    pub unknown: u32,
    /// The machines that were left out because they are protected.
    pub protected: u32,
}

/// The state of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentState {
    /// In progress.
    Running,
    /// Halted: the server issues no install permits.
    Halted,
    /// Replaced by a newer order of the package.
    Superseded,
    /// Every target machine has succeeded or failed.
    Finished,
    /// An administrator cancelled it: no further machine begins to install.
    Cancelled,
}

impl DeploymentState {
    /// Returns whether machines may still have something to do.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Running | Self::Halted => true,
            Self::Superseded | Self::Finished | Self::Cancelled => false,
        }
    }
}

/// The reply to `POST /api/v1/deployments/{id}/halt`, `/resume` and `/cancel`: where its machines were at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MachinesLeft {
    /// Machines that have the release.
    pub installed: u32,
    /// Machines that are installing it, or may do so with a permit that they have already.
    pub finishing: u32,
    /// The other unfinished machines: those that a halt or cancellation stops, or that a resumption lets continue.
    pub waiting: u32,
}

/// The reply to `POST /api/v1/deployments/{id}/promote`, which opens the next ring although its gate has not passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Promoted {
    /// The number of the ring that is open now; the first is 1.
    pub ring: u32,
}

/// The reply to `POST /api/v1/deployments/{id}/retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Retried {
    /// The deployment.
    pub id: DeploymentId,
    /// Its new orders, one for each platform.
    pub orders: Vec<OrderId>,
    /// How many machines try again.
    pub machines: u32,
    /// The names of machines that had failed and have the release now by other means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<String>,
    /// Whether the deployment is halted, so that they wait until it is resumed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_halted: bool,
}

/// The stage that a machine has reached. Stages follow this order, except that `Failed` can follow any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// No offer has reached the machine yet.
    Expected,
    /// It has an offer and is receiving.
    Receiving,
    /// It has the whole verified artifact.
    Verified,
    /// It has the server's receipt.
    Authenticated,
    /// It is installing.
    Installing,
    /// The new version works.
    Installed,
    /// It ended without success.
    Failed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A target machine in [`DeploymentStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AddresseeStatus {
    /// The machine's identity.
    pub id: MachineId,
    /// The machine's display name.
    pub label: String,
    /// The stage that it has reached.
    pub stage: Stage,
    /// The number of verified chunks and the total number of chunks.
    pub chunks: (u32, u32),
    /// Why the machine is delayed or failed, if known.
    pub reason: Option<Reason>,
    /// An explanation for people.
    pub detail: Option<String>,
    /// The planned sender of each stripe.
    pub planned: Vec<MachineId>,
    /// The machines that its content came from.
    pub sources: Vec<ByteSource>,
    /// Milliseconds from the acceptance of the deployment until the machine had the verified artifact, by the server's
    /// clock.
    pub verified_after: Option<u64>,
    /// Milliseconds from the acceptance of the order until the new version worked on the machine.
    pub installed_after: Option<u64>,
    /// The number of its ring; the first is 1.
    #[serde(default)]
    pub ring: u32,
    /// Whether it has a connection to the server now.
    #[serde(default)]
    pub online: bool,
    /// The order that it works on; `None` if the release has no file for it.
    #[serde(default)]
    pub order: Option<OrderId>,
    /// Its earlier attempts in this deployment, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// An attempt of a machine that was followed by another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// The order.
    pub order: OrderId,
    /// The stage that the machine reached.
    pub stage: Stage,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// An explanation for people.
    pub detail: Option<String>,
}

/// How many machines of a deployment or of a ring are where. Each machine is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Totals {
    /// Machines that have the release.
    pub done: u32,
    /// Machines on which it failed.
    pub failed: u32,
    /// Unfinished machines that are connected to the server.
    pub open: u32,
    /// Unfinished machines that are not connected to the server.
    pub unreachable: u32,
    /// Machines that no longer take part: without a file for them, revoked, or taken over by another deployment.
    pub excluded: u32,
}

/// An order of a deployment in [`DeploymentStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OrderStatus {
    /// The order's identifier.
    pub id: OrderId,
    /// The platform of its file, as in the manifest; may be `any`.
    pub platform: String,
    /// The file's size in bytes.
    pub size: u64,
    /// Content bytes that the server itself has sent for this order.
    pub server_sent: u64,
    /// How many machines are on its lists.
    pub machines: u32,
}

/// A ring of a deployment in [`DeploymentStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RingStatus {
    /// Its number; the first is 1.
    pub ring: u32,
    /// Where its machines are.
    pub totals: Totals,
    /// What its gate says.
    pub verdict: RingVerdict,
}

/// What the gate of a ring says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum RingVerdict {
    /// The rings before it have not passed theirs.
    Waits,
    /// The ring is open, and its gate lacks something.
    Undecided(MissingProof),
    /// The ring is open and the last one, so that nothing waits for it.
    Open,
    /// The gate has let the next ring open.
    Passed,
    /// Failures of this ring have halted the deployment.
    Failed,
    /// The deployment ended before its gate passed.
    Ended,
}

/// What a gate lacks to open the next ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MissingProof {
    /// How many more machines must report.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reports: u32,
    /// The share of the reports that are successes (percent, rounded down), if that is too small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_percent: Option<u8>,
    /// When the soak time ends, if everything else is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_ends: Option<UnixSeconds>,
    /// When the ring opened.
    #[serde(default)]
    pub since: UnixSeconds,
    /// Whether no machine of the ring is left that could report, so that the gate cannot pass without an administrator.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nobody_left: bool,
}

/// Why and when a deployment was halted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Halt {
    /// When.
    pub at: UnixSeconds,
    /// The number of the ring whose failures halted it; `None`: an administrator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<u32>,
    /// How many machines of the ring had failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// How many machines the ring had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub of: u32,
    /// The most frequent reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The first machines that failed, at most three.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineId>,
    /// The same for people.
    pub detail: String,
}

/// The reply to `GET /api/v1/deployments/{id}`. `GET /api/v1/deployments` returns a list of these without target
/// machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeploymentStatus {
    /// The deployment's identifier.
    pub id: DeploymentId,
    /// The package's name.
    pub package: String,
    /// The version shown to users.
    pub version: String,
    /// The deployment's state.
    pub state: DeploymentState,
    /// When the server accepted the deployment.
    pub accepted: UnixSeconds,
    /// The size in bytes of its artifacts, each counted once.
    pub size: u64,
    /// Number of stripes of its first order.
    pub stripes: u8,
    /// The server's identity, needed to draw the tree.
    pub server: MachineId,
    /// The number of target machines at each stage; their sum is the total.
    pub counts: Vec<(Stage, u32)>,
    /// How many of the failed machines a newer deployment of the package took over. Older servers omit it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u32,
    /// Content bytes that the server itself has sent for this deployment.
    pub server_sent: u64,
    /// How many copies the server may send.
    #[serde(default, skip_serializing_if = "ServerCopies::is_one")]
    pub server_copies: ServerCopies,
    /// How many machines are where.
    #[serde(default)]
    pub totals: Totals,
    /// Its rings; empty if it has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rings: Vec<RingStatus>,
    /// Why it is halted, or was when it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// Whether machines that its selection selects later join it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub takes_newcomers: bool,
    /// Its orders, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderStatus>,
    /// All target machines: those of each order in the list order of stripe 0, then those without an order.
    pub addressees: Vec<AddresseeStatus>,
}

requests! {
    RegisterRoot = "request to register a root";
    ReplaceTargets = "request to replace the list of releases";
    NewToken = "request for a join code";
    Publish = "request to publish a release";
    SetPolicy = "request to set a policy";
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_for_nobody_in_particular_is_not_one_for_all() {
        for body in [json!({}), json!({ "policy": null }), json!({ "groups": ["lab"], "policy": null })] {
            let error = serde_json::from_value::<SetPolicy>(body).unwrap_err().to_string();
            assert!(error.contains("missing field `group`"), "{error}");
        }
        assert!(serde_json::from_value::<SetPolicy>(json!({ "group": null })).is_err());
        let all = SetPolicy { group: None, policy: None, rank: None };
        assert_eq!(serde_json::from_value::<SetPolicy>(serde_json::to_value(&all).unwrap()).unwrap(), all);
    }

    #[test]
    fn a_request_to_deploy_that_does_not_say_how_many_copies_means_one() {
        let mut request = json!({
            "package": "hello", "version": null, "to": "all", "stripes": 2, "spread": "cut-through", "window": "any",
            "deadline": null,
        });
        let parsed: Deploy = serde_json::from_value(request.clone()).unwrap();
        assert_eq!(parsed.server_copies, ServerCopies::ONE);
        assert_eq!(serde_json::to_value(&parsed).unwrap(), request, "older servers read what does not ask for more");
        request["server_copies"] = "1.5".into();
        let parsed: Deploy = serde_json::from_value(request.clone()).unwrap();
        assert_eq!(serde_json::to_value(&parsed).unwrap(), request);
        request["server_copies"] = "0.5".into();
        let error = serde_json::from_value::<Deploy>(request).unwrap_err().to_string();
        assert!(error.contains("at least one copy"), "{error}");
    }
}
