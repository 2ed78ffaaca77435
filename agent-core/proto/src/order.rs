//! The documents that the server signs about a deployment: order, address hint, receipt, epoch and install permit.
//!
//! Their fields are ids, hashes, numbers and closed enums; none contains text that is executed (rule T3).

use crate::{Address, Digest, MachineId, OrderId, UnixSeconds, format::Format, list::Subtree, signed::Document};
use serde::{Deserialize, Serialize};

pub use crate::schedule::Window;

/// An order: one action with one release, for a set of machines of one platform, under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The order's identifier.
    pub id: OrderId,
    /// The server's epoch, which rises when the server is restored from a backup. Agents refuse a lower one.
    pub epoch: u64,
    /// The order's number. It rises with every order of this server; the newest order of a package supersedes older
    /// ones.
    pub number: u64,
    /// The revision of the lists. It rises when the server rebuilds the lists of this order.
    pub revision: u32,
    /// What the machines do with the release.
    pub action: OrderAction,
    /// The package.
    pub package: String,
    /// The release's sequence.
    pub sequence: u64,
    /// BLAKE3 of the release's manifest.
    pub manifest: Digest,
    /// The platform of the artifact, as in the manifest; may be `any`.
    pub platform: String,
    /// BLAKE3 of the artifact.
    pub artifact: Digest,
    /// The root of each stripe's list. The number of entries is the number of stripes, k.
    pub stripes: Vec<Subtree>,
    /// The server's identity. The server is the head of every list.
    pub server: MachineId,
    /// When it was signed.
    pub issued: UnixSeconds,
    /// When the order expires; agents ignore it afterwards.
    pub expires: UnixSeconds,
    /// Until when finished machines keep the content for machines that are late.
    pub keep_until: UnixSeconds,
    /// When a machine may start to forward chunks.
    pub spread: Spread,
    /// When machines may transfer, unless their users chose something stricter.
    pub window: Window,
    /// The time from which the order goes ahead regardless of windows. It never overrides checks.
    pub deadline: Option<UnixSeconds>,
    /// What the administrator allows for this order only. A reader that does not know the field refuses the install.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowance>,
}

/// Something that install helpers refuse unless the administrator allows it for one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Allowance {
    /// Change software that could not be restored afterwards.
    NoRestore,
    /// Replace a package that the machine's administrator has put on hold. The hold stays.
    Held,
    /// Replace a newer version that did not come through Banyan.
    Downgrade,
    /// Something that this version does not know, and so does not allow.
    #[serde(other)]
    Unknown,
}

impl Format for Order {
    const KIND: &'static str = "order";
    fn unknown_value(&self) -> Option<&'static str> {
        match self.action {
            OrderAction::Install => None,
            OrderAction::Unknown => Some("action"),
        }
    }
}
impl Document for Order {
    const CONTEXT: &'static str = "banyan v1 order";
}

/// What the machines of an order do with its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderAction {
    /// Receive the artifact, install it and check it.
    Install,
    /// An action that this version does not know. Such an order is refused with `not-understood`, never carried out.
    #[serde(other)]
    Unknown,
}

/// When a machine may start to forward chunks, and how the server gives install permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Each chunk as soon as the machine has verified it.
    #[default]
    CutThrough,
    /// After the machine has verified the whole artifact. Needs one stripe.
    Verified,
    /// Each chunk as soon as the machine has verified it, as in [`Self::CutThrough`]. The server limits the install
    /// permits until the release has proved itself, and stops them after a failure (rule A9).
    Proven,
    /// After the release was installed on this machine, or its installation was put off or failed. Needs one stripe.
    /// The server limits and stops the install permits as in [`Self::Proven`] (rule A9).
    AfterInstall,
}
impl Spread {
    /// Returns whether a machine withholds the content from others until it has all of it. Such an order has one
    /// stripe: with two, machines would wait in a circle for content that the others withhold.
    #[must_use]
    pub fn withholds(self) -> bool {
        match self {
            Self::CutThrough | Self::Proven => false,
            Self::Verified | Self::AfterInstall => true,
        }
    }
}

/// The last known addresses of a machine. A hint needs no trust: the peer at an address must prove its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressHint {
    /// The machine that had these addresses.
    pub machine: MachineId,
    /// The addresses in order of preference, at most [`crate::limits::ADDRESSES_PER_MACHINE`].
    pub addresses: Vec<Address>,
    /// When it was signed. A later hint replaces an earlier one.
    pub issued: UnixSeconds,
    /// In a hint about the server: the number of this announcement of its addresses. Machines keep the newest one, so a
    /// server can move. 0 in hints about machines, and from older servers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sequence: u64,
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
impl Format for AddressHint {
    const KIND: &'static str = "address hint";
}
impl Document for AddressHint {
    const CONTEXT: &'static str = "banyan v1 address hint";
}

/// The server's acknowledgement that a machine holds the genuine artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The order's identifier.
    pub order: OrderId,
    /// The machine that holds the artifact.
    pub machine: MachineId,
    /// BLAKE3 of the artifact.
    pub artifact: Digest,
    /// When the server first accepted the machine's code. A repeated request returns the same receipt.
    pub issued: UnixSeconds,
}
impl Format for Receipt {
    const KIND: &'static str = "receipt";
}
impl Document for Receipt {
    const CONTEXT: &'static str = "banyan v1 receipt";
}

/// The server's epoch. Every check-in reply carries it, so that machines learn of a higher epoch before the next order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerEpoch {
    /// The server's identity.
    pub server: MachineId,
    /// The epoch. After a machine has seen it, the machine refuses all documents of a lower epoch.
    pub epoch: u64,
}
impl Format for ServerEpoch {
    const KIND: &'static str = "epoch";
}
impl Document for ServerEpoch {
    const CONTEXT: &'static str = "banyan v1 epoch";
}

/// The install permit: permission to install now, valid for [`InstallPermit::SECONDS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallPermit {
    /// The order's identifier.
    pub order: OrderId,
    /// The machine that may install.
    pub machine: MachineId,
    /// The time of issue by the server's clock. The machine's clock is never trusted to be earlier than this.
    pub issued: UnixSeconds,
    /// The server's epoch.
    pub epoch: u64,
    /// The version of the current timestamp metadata. A machine does not install with older metadata (rule A6).
    pub timestamp_version: u64,
    /// The version of the current snapshot metadata.
    pub snapshot_version: u64,
}
impl InstallPermit {
    /// How long an install permit is valid, in seconds.
    pub const SECONDS: u64 = 15 * 60;
}
impl Format for InstallPermit {
    const KIND: &'static str = "install permit";
}
impl Document for InstallPermit {
    const CONTEXT: &'static str = "banyan v1 go-ahead";
}
