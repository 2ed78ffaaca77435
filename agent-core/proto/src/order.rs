//! What the server signs about a deployment: closed enums and ids, no free text that runs (rule T3).

use crate::{DeploymentId, Digest, MachineId, UnixSeconds, list::Subtree, signed::Document};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

pub use crate::schedule::Window;

/// One release for one set of machines of one platform, under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The deployment.
    pub id: DeploymentId,
    /// The server's epoch: raised when it is restored from a backup. Agents refuse a lower one.
    pub epoch: u64,
    /// Rises with every order of this server; the newest order of a package supersedes older ones.
    pub number: u64,
    /// Rises when the lists of this order are cut anew.
    pub revision: u32,
    /// Package to install.
    pub package: String,
    /// Sequence of the release.
    pub sequence: u64,
    /// BLAKE3 of the release's manifest.
    pub manifest: Digest,
    /// Platform whose artifact this order is about (as in the manifest, `any` included).
    pub platform: String,
    /// BLAKE3 of that artifact.
    pub artifact: Digest,
    /// The lists' roots, one for each stripe; their number is k. The server heads every list.
    pub stripes: Vec<Subtree>,
    /// The server: head of every list.
    pub server: MachineId,
    /// When it was signed.
    pub issued: UnixSeconds,
    /// Not acted on after this.
    pub expires: UnixSeconds,
    /// Finished machines keep the content until then, for late ones.
    pub keep_until: UnixSeconds,
    /// When a machine may hand chunks on.
    pub spread: Spread,
    /// When machines may transfer, unless their users chose something stricter.
    pub window: Window,
    /// From then on the order goes ahead whatever the window says. Overrides windows, never checks.
    pub deadline: Option<UnixSeconds>,
}

impl Document for Order {
    const CONTEXT: &'static str = "banyan v1 order";
}

/// When a machine may hand chunks on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Each chunk as soon as it is verified.
    #[default]
    CutThrough,
    /// When the whole artifact is verified.
    Verified,
    /// When the probe has passed on this machine.
    Proven,
}

/// Where a machine was last heard from. Only a hint: whoever answers there must prove its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressHint {
    /// Whose addresses.
    pub machine: MachineId,
    /// In order of preference ([`crate::limits::ADDRESSES_PER_MACHINE`] at most).
    pub addresses: Vec<SocketAddr>,
    /// When it was signed; a later hint replaces an earlier one.
    pub issued: UnixSeconds,
}
impl Document for AddressHint {
    const CONTEXT: &'static str = "banyan v1 address hint";
}

/// The server's acknowledgement that this machine holds the bona fide artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The deployment.
    pub order: DeploymentId,
    /// Who holds it.
    pub machine: MachineId,
    /// What it holds.
    pub artifact: Digest,
    /// When the code was first accepted. Asking again gives the same receipt.
    pub issued: UnixSeconds,
}
impl Document for Receipt {
    const CONTEXT: &'static str = "banyan v1 receipt";
}

/// The server's epoch, said at every check-in, so that machines learn of a raised one before the next order comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerEpoch {
    /// Whose.
    pub server: MachineId,
    /// The epoch; a machine refuses everything of a lower one from then on.
    pub epoch: u64,
}
impl Document for ServerEpoch {
    const CONTEXT: &'static str = "banyan v1 epoch";
}

/// Leave to install now, for [`GoAhead::SECONDS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoAhead {
    /// The deployment.
    pub order: DeploymentId,
    /// Who may install.
    pub machine: MachineId,
    /// The server's clock; no signed time before it is believed afterwards.
    pub issued: UnixSeconds,
    /// The server's epoch.
    pub epoch: u64,
    /// The current timestamp metadata's version: with older metadata nothing is installed (rule A6).
    pub timestamp_version: u64,
    /// The current snapshot metadata's version.
    pub snapshot_version: u64,
}
impl GoAhead {
    /// How long a go-ahead is fresh.
    pub const SECONDS: u64 = 15 * 60;
}
impl Document for GoAhead {
    const CONTEXT: &'static str = "banyan v1 go-ahead";
}
