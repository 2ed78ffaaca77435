//! Messages between two machines, and between a machine and the server as a source (rules P1–P9).
//!
//! A connection is one TLS session with certificates on both sides. Each side first says [`Control::Hello`]; then
//! either side may offer or pull, whoever dialled. One connection carries one stripe of one order.

use crate::{
    AddresseeList, DeploymentId, Digest, MachineId, Membership, Order, Proof, Reason, RollingCode, Signed,
    order::AddressHint,
};
use serde::{Deserialize, Serialize};

/// A control message. Chunks and heartbeats have frames of their own ([`crate::frame`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Control {
    /// First message of both sides.
    Hello(Hello),
    /// Sender → addressee: an order, and the part of its list that the addressee becomes responsible for.
    Offer(Box<Offer>),
    /// Addressee → sender.
    OfferReply(OfferReply),
    /// Addressee → sender: each part of the sublist has been accepted by its head (or by the heads below it); until
    /// this comes, and whenever the child dies, the sender is responsible for the parts (rule P5).
    PartsAccepted,
    /// Receiver → holder: send this stripe from here on.
    Pull(Box<Pull>),
    /// Holder → receiver, before the first chunk.
    PullReply(PullReply),
    /// Receiver → parent: the whole artifact has arrived and has this checksum.
    Confirm(Confirm),
    /// The revocation list that this side has is newer than the other's: here it is (DER, base64).
    Crl {
        /// The signed list.
        der: String,
    },
    /// Last message: why this side hangs up.
    Bye {
        /// Why.
        reason: Reason,
    },
}

/// What a side can do and knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions it speaks.
    pub versions: Vec<u16>,
    /// Program and version, for logs.
    pub software: String,
    /// Number of the newest revocation list it has.
    pub crl_number: u64,
}

/// An offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The order.
    pub order: Signed<Order>,
    /// Which stripe's tree this is about.
    pub stripe: u8,
    /// The addressee, then everyone it becomes responsible for.
    pub sublist: AddresseeList,
    /// That the sublist is a part of the order's list.
    pub proof: Proof,
    /// The machines this offer went through, the server first, the sender last (steps over dead heads left out).
    pub path: Vec<MachineId>,
    /// The code for this hop.
    pub code: RollingCode,
    /// Where the names on the sublist, and the ancestors, were last heard from.
    pub hints: Vec<Signed<AddressHint>>,
    /// The release's manifest and what proves it.
    pub release: ReleaseProof,
}

/// A manifest with the TUF metadata that proves it. Fetched from a peer as well as from the server: it proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseProof {
    /// TUF metadata.
    pub metadata: Metadata,
    /// The manifest's JSON text.
    pub manifest: String,
}

/// One consistent set of TUF metadata, as JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Root versions, ascending, starting anywhere at or below the one the receiver trusts next.
    pub roots: Vec<String>,
    /// timestamp.json
    pub timestamp: String,
    /// snapshot.json
    pub snapshot: String,
    /// targets.json
    pub targets: String,
}

/// What an addressee says to an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum OfferReply {
    /// Taken: it receives and hands its parts on. Also the answer to an offer that it already has.
    Accepted,
    /// Taken, but it hands nothing on now: the sender serves its parts (rule P4).
    ReceivesOnly {
        /// Why.
        reason: Reason,
    },
    /// Not now: the sender steps over it.
    Deferred {
        /// Why.
        reason: Reason,
    },
    /// Refused: the offer is wrong, or not for it. The sender steps over it.
    Refused {
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
    },
}

/// A request for a stripe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// The order.
    pub order: DeploymentId,
    /// The stripe.
    pub stripe: u8,
    /// First chunk wanted, as an ordinal within the stripe.
    pub from: u32,
    /// That the puller is on the order's list, and who its ancestors are. The holder checks it (rule P6), and keeps
    /// the puller waiting for chunks it does not hold yet only when it is one of those ancestors (rule P7).
    pub membership: Membership,
}

/// What a holder says to a pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum PullReply {
    /// Chunks follow.
    Serving,
    /// It does not hold them and may not keep the puller waiting.
    NotHere,
    /// Refused.
    Refused {
        /// Why.
        reason: Reason,
    },
}

/// That an artifact arrived whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The order.
    pub order: DeploymentId,
    /// BLAKE3 of the whole artifact, computed from the receiver's disk.
    pub artifact: Digest,
}
