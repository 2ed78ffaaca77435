//! Bodies of the admin API (`/api/v1`), which the command line and the console use. A bearer token says who is asking.

use crate::{
    DeploymentId, Digest, MachineId, Reason, UnixSeconds,
    api::ByteSource,
    order::{Spread, Window},
    schedule::Policy,
    signed::KeyRing,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How an administrator reaches a server; kept as TOML (`admin.toml`, a profile). Holds a secret: mode 600.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Where the server listens.
    pub server: SocketAddr,
    /// BLAKE3 of the CA certificate (DER): the only CA believed for this server.
    pub ca: Digest,
    /// The administrator's token.
    pub token: String,
    /// BLAKE3 of the first TUF root. Set by `banyan keys init`, never taken from the server: join codes carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
}

/// `GET /api/v1/info`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Info {
    /// The server's identity.
    pub server: MachineId,
    /// Program and version.
    pub software: String,
    /// The server's epoch.
    pub epoch: u64,
    /// The public keys of the server's online TUF roles (snapshot, timestamp), as TUF key objects, for the root.
    pub online_keys: Vec<serde_json::Value>,
    /// Keys that sign orders.
    pub keys: KeyRing,
    /// Whether a TUF root has been registered: nothing enrols before.
    pub has_root: bool,
}

/// `POST /api/v1/root`: registers the TUF root (once), or a newer version of it (signed by the old one's keys too).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegisterRoot {
    /// root.json
    pub root: String,
    /// The list of releases, where the root's new targets keys must sign it: both take effect together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
}

/// `GET /api/v1/targets`: the current targets.json, if anything was ever published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CurrentTargets {
    /// The newest root.json
    pub root: String,
    /// targets.json
    pub targets: Option<String>,
    /// All roots from the first to the newest, so that whoever knows one of them can follow.
    #[serde(default)]
    pub roots: Vec<String>,
}

/// `POST /api/v1/targets`: the publishers' list, signed again, perhaps with releases withdrawn. Nothing is added by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplaceTargets {
    /// The new targets.json.
    pub targets: String,
}

/// Answer to [`ReplaceTargets`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Target names that are withdrawn now and were not before.
    pub withdrawn: Vec<String>,
    /// Deployments that were stopped because of it.
    pub stopped: Vec<DeploymentId>,
}

/// `GET /api/v1/releases/{package}/{sequence}`: a published release's manifest, for whoever wants to check it against the
/// publishers' list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseManifest {
    /// The manifest's JSON text, exactly as its hash stands in the targets.
    pub manifest: String,
}

/// `POST /api/v1/tokens`: a new join secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewToken {
    /// How many machines may enrol with it.
    pub uses: u32,
    /// For how long (seconds).
    pub expires_seconds: u64,
    /// Group that the machines join.
    #[serde(default)]
    pub group: Option<String>,
    /// The machine whose place the new one takes: it is retired when the secret is used. Only with a single use.
    #[serde(default)]
    pub replaces: Option<MachineId>,
}

/// Answer to [`NewToken`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenCreated {
    /// 32 hexadecimal digits.
    pub secret: String,
}

/// `POST /api/v1/releases`, after each artifact has been uploaded with `PUT /api/v1/artifacts/{blake3}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Publish {
    /// The new targets.json, signed by the publishers.
    pub targets: String,
    /// The manifest's JSON text, exactly as its hash stands in the targets.
    pub manifest: String,
}

/// One release in `GET /api/v1/releases`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Package.
    pub package: String,
    /// Version.
    pub version: String,
    /// Sequence.
    pub sequence: u64,
    /// Platforms and bytes of their artifacts.
    pub artifacts: Vec<(String, u64)>,
}

/// One machine in `GET /api/v1/machines`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Identity.
    pub id: MachineId,
    /// What people call it.
    pub label: String,
    /// Group.
    pub group: Option<String>,
    /// Platform.
    pub platform: String,
    /// Addresses it reported.
    pub addresses: Vec<SocketAddr>,
    /// When it was last heard from.
    pub seen: UnixSeconds,
    /// Whether it has a connection to the server now.
    pub online: bool,
    /// Its certificate has been revoked.
    pub revoked: bool,
    /// Why it takes part in nothing, if it does not.
    #[serde(default)]
    pub out: Option<Reason>,
    /// The identity that was enrolled in its place.
    #[serde(default)]
    pub replaced_by: Option<MachineId>,
    /// Program and version.
    pub software: String,
}

/// `POST /api/v1/policies`: what holds for the machines of a group from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPolicy {
    /// The group; none: every machine whose group has no policy of its own.
    #[serde(default)]
    pub group: Option<String>,
    /// The policy (number and time are the server's to say); none takes it back.
    pub policy: Option<Policy>,
}

/// One group in `GET /api/v1/policies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// The group; none: machines without one, and what groups without a policy of their own take over.
    pub group: Option<String>,
    /// It was set for this very group.
    pub own: bool,
    /// What holds there. Its number is 0 as long as nothing was ever set.
    pub policy: Policy,
    /// Machines that it holds for and that are of this group.
    pub machines: usize,
}

/// Which machines a deployment is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// Every enrolled machine.
    All,
    /// A group.
    Group(String),
    /// Machines by label or id.
    Machines(Vec<String>),
}

/// `POST /api/v1/deployments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// Package.
    pub package: String,
    /// Version; the highest sequence when not given.
    pub version: Option<String>,
    /// Machines.
    pub to: Selection,
    /// 1 or 2.
    pub stripes: u8,
    /// When a machine may hand chunks on.
    pub spread: Spread,
    /// When machines may transfer.
    pub window: Window,
    /// From then on it goes ahead in any case.
    pub deadline: Option<UnixSeconds>,
}

/// Answer to [`Deploy`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployed {
    /// The new deployment.
    pub id: DeploymentId,
}

/// Whether a deployment goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeploymentState {
    /// Under way.
    Running,
    /// No go-aheads are given.
    Halted,
    /// A newer order of the package replaced it.
    Superseded,
    /// Every addressee has succeeded or failed.
    Finished,
}

/// How far one machine is. In this order, save that `Failed` can follow any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// No offer has reached it yet.
    Expected,
    /// It has an offer and receives.
    Receiving,
    /// It holds the whole verified artifact.
    Verified,
    /// It has its receipt.
    Authenticated,
    /// It is installing.
    Installing,
    /// The new version runs.
    Installed,
    /// It ended without success.
    Failed,
}

/// One addressee in [`DeploymentStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddresseeStatus {
    /// Identity.
    pub id: MachineId,
    /// What people call it.
    pub label: String,
    /// How far it is.
    pub stage: Stage,
    /// Chunks held, and chunks in all.
    pub chunks: (u32, u32),
    /// Why it is not further, if there is a reason.
    pub reason: Option<Reason>,
    /// For people.
    pub detail: Option<String>,
    /// Who planned to send it each stripe.
    pub planned: Vec<MachineId>,
    /// Who it got bytes from.
    pub sources: Vec<ByteSource>,
    /// Milliseconds from the acceptance of the deployment (server's clock) until it held the verified artifact.
    pub verified_after: Option<u64>,
    /// The same, until the new version ran there.
    pub installed_after: Option<u64>,
}

/// `GET /api/v1/deployments/{id}`; `GET /api/v1/deployments` gives a list of these without addressees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentStatus {
    /// Which.
    pub id: DeploymentId,
    /// Package.
    pub package: String,
    /// Version.
    pub version: String,
    /// How it is.
    pub state: DeploymentState,
    /// When it was accepted.
    pub accepted: UnixSeconds,
    /// Bytes of the artifact.
    pub size: u64,
    /// Number of stripes.
    pub stripes: u8,
    /// The server's identity, for drawing the tree.
    pub server: MachineId,
    /// How many addressees there are, and how many are at each stage.
    pub counts: Vec<(Stage, u32)>,
    /// Content bytes that the server itself has sent for it.
    pub server_sent: u64,
    /// Everyone on the list, in the order of stripe 0.
    pub addressees: Vec<AddresseeStatus>,
}
