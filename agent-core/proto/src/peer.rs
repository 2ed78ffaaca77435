//! Messages between two machines, and between a machine and the server as a source (rules P1–P9).
//!
//! A connection is one TLS session with certificates on both sides. Each side first sends [`Control::Hello`].
//! Afterwards either side may offer or pull, regardless of which side dialled. One connection carries one stripe of one
//! order.

use crate::{
    AddresseeList, Digest, MachineId, Membership, Order, OrderId, Proof, Reason, RollingCode, Signed, StopList,
    format::{self, Format, FormatError},
    limits,
    order::AddressHint,
    text,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A control message. Chunks and heartbeats have their own frames ([`crate::frame`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Control {
    /// The first message of each side.
    Hello(Hello),
    /// Sender → target machine: an order, and the part of its list that the target machine becomes responsible for.
    Offer(Box<Offer>),
    /// Target machine → sender: the reply to an offer.
    OfferReply(OfferReply),
    /// Target machine → sender: every part of the sublist has been accepted by its head, or by the heads below that
    /// head. Until this message arrives, and whenever the child dies, the sender is responsible for the parts (rule
    /// P5).
    PartsAccepted,
    /// Receiver → source: request to send the stripe from a given chunk on.
    Pull(Box<Pull>),
    /// Source → receiver, before the first chunk: the reply to a pull.
    PullReply(PullReply),
    /// Receiver → parent: the whole artifact has arrived and has this hash.
    Confirm(Confirm),
    /// This side's revocation list, sent because it is newer than the other side's.
    Crl {
        /// The signed list (DER in base64).
        der: String,
    },
    /// This side's list of stopped orders, sent because it is newer than the other side's.
    Stops {
        /// The list.
        list: Signed<StopList>,
    },
    /// The last message: the reason why this side closes the connection.
    Bye {
        /// The reason for closing.
        reason: Reason,
    },
}

impl Format for Control {
    const KIND: &'static str = "message";
}

/// The field that says which message a text is. Its value is borrowed or short-lived.
#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(rename = "type", borrow)]
    name: Cow<'a, str>,
}

impl Control {
    /// Reads a message. Finds out its type first, so that the rest is read straight into that type's fields: a reader
    /// that does not know the type yet would take many times the text's size in memory.
    ///
    /// # Errors
    /// When the text is not a message, or a newer version wrote it; [`None`] when it is longer than its type may be.
    pub(crate) fn read(text: &[u8]) -> Result<Option<Self>, FormatError> {
        format::check::<Self>(text)?;
        let unreadable = |error| FormatError::unreadable(Self::KIND, &error);
        let Tag { name } = serde_json::from_slice(text).map_err(unreadable)?;
        let most = match &*name {
            "offer" | "crl" => limits::CONTROL_BYTES,
            "stops" => limits::STOP_LIST_BYTES,
            "hello" => limits::HELLO_BYTES,
            _ => limits::SMALL_CONTROL_BYTES,
        };
        if text.len() > most {
            return Ok(None);
        }
        let control = match &*name {
            "offer" => Self::Offer(serde_json::from_slice(text).map_err(unreadable)?),
            "pull" => Self::Pull(serde_json::from_slice(text).map_err(unreadable)?),
            "crl" => {
                let RevocationList { der } = serde_json::from_slice(text).map_err(unreadable)?;
                Self::Crl { der }
            }
            "stops" => {
                let Stops { list } = serde_json::from_slice(text).map_err(unreadable)?;
                Self::Stops { list }
            }
            _ => serde_json::from_slice(text).map_err(unreadable)?,
        };
        Ok(Some(control.with_bounded_texts()))
    }

    /// Escapes and cuts the texts for people, which the other side chose.
    fn with_bounded_texts(self) -> Self {
        match self {
            Self::Hello(hello) => {
                Self::Hello(Hello { software: text::bounded(&hello.software, limits::LABEL_BYTES), ..hello })
            }
            Self::OfferReply(OfferReply::Refused { reason, detail }) => {
                let detail = text::bounded(&detail, text::DETAIL_BYTES);
                Self::OfferReply(OfferReply::Refused { reason, detail })
            }
            other => other,
        }
    }
}

/// The fields of [`Control::Crl`].
#[derive(Deserialize)]
struct RevocationList {
    der: String,
}

/// The fields of [`Control::Stops`].
#[derive(Deserialize)]
struct Stops {
    list: Signed<StopList>,
}

/// The capabilities of one side and the state it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol versions that it supports. The connection uses the newest that both sides support.
    pub versions: Vec<u16>,
    /// Program and version, for logs.
    pub software: String,
    /// The number of its newest revocation list.
    pub crl_number: u64,
    /// The number of its newest list of stopped orders; 0 for none. Older versions omit it and do not know
    /// [`Control::Stops`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_number: Option<u64>,
}

impl Hello {
    /// Returns the newest protocol version that both sides support.
    #[must_use]
    pub fn common_version(&self, other: &Self) -> Option<u16> {
        self.versions.iter().copied().filter(|version| other.versions.contains(version)).max()
    }
}

/// An offer of one stripe of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The signed order.
    pub order: Signed<Order>,
    /// The stripe whose tree this offer belongs to.
    pub stripe: u8,
    /// The target machine, followed by all machines that it becomes responsible for.
    pub sublist: AddresseeList,
    /// Proof that the sublist is part of the order's list.
    pub proof: Proof,
    /// The machines that the offer passed through, the server first and the sender last. Skipped heads are not
    /// included.
    pub path: Vec<MachineId>,
    /// The rolling code for this hop.
    pub code: RollingCode,
    /// The last known addresses of the machines on the sublist and of the ancestors.
    pub hints: Vec<Signed<AddressHint>>,
    /// The release's manifest and the metadata that proves it.
    pub release: ReleaseProof,
}

/// A manifest with the TUF metadata that proves it. It can come from a peer or the server, because it needs no trust in
/// its sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseProof {
    /// The TUF metadata.
    pub metadata: Metadata,
    /// The manifest's JSON text.
    pub manifest: String,
}

/// A consistent set of TUF metadata, as JSON texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Root versions in ascending order. The first is at most one version above the root that the receiver trusts.
    pub roots: Vec<String>,
    /// The text of timestamp.json.
    pub timestamp: String,
    /// The text of snapshot.json.
    pub snapshot: String,
    /// The text of targets.json.
    pub targets: String,
}

/// A target machine's reply to an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum OfferReply {
    /// Accepted: it receives and forwards to its parts. Also the reply to an offer that it already has.
    Accepted,
    /// Accepted, but it does not forward at present, so the sender serves its parts (rule P4).
    ReceivesOnly {
        /// The reason why it does not forward.
        reason: Reason,
    },
    /// Not now: the sender skips it.
    Deferred {
        /// The reason for the delay.
        reason: Reason,
    },
    /// Refused because the offer is invalid or for another machine. The sender skips it.
    Refused {
        /// The reason for the refusal.
        reason: Reason,
        /// An explanation for people.
        detail: String,
    },
}

/// A request for the chunks of one stripe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// The order's identifier.
    pub order: OrderId,
    /// The stripe's number.
    pub stripe: u8,
    /// The first chunk wanted, as an ordinal within the stripe.
    pub from: u32,
    /// Proof that the requester is on the order's list, with its ancestors. The source checks it (rule P6). The source
    /// lets a requester wait for missing chunks if the source is one of those ancestors (rule P7).
    pub membership: Membership,
    /// The server named this source, so the requester may wait for missing chunks here, too (rules P7, P12).
    #[serde(default)]
    pub wait: bool,
    /// How the source sends the chunks. Older requesters omit it.
    #[serde(default)]
    pub effort: Effort,
    /// The source already serves this pull, and only the effort changes (rule P16). Older sources serve it anew.
    #[serde(default)]
    pub changes_effort: bool,
}

/// How a transfer's packets are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// Like the packets of other programs.
    #[default]
    Normal,
    /// As a background transfer.
    Lower,
}

/// A source's reply to a pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum PullReply {
    /// Chunks follow.
    Serving,
    /// It lacks the chunks and must not let the requester wait.
    NotHere,
    /// The pull was refused.
    Refused {
        /// The reason for the refusal.
        reason: Reason,
    },
}

/// Confirmation that an artifact arrived completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    /// The order's identifier.
    pub order: OrderId,
    /// BLAKE3 of the whole artifact, calculated from the receiver's disk.
    pub artifact: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_use_the_newest_version_that_both_support() {
        let hello = |versions: &[u16]| Hello {
            versions: versions.to_vec(),
            software: String::new(),
            crl_number: 0,
            stop_number: None,
        };
        for (mine, theirs, common) in [
            (&[1_u16][..], &[1_u16][..], Some(1)),
            (&[1, 2, 3], &[4, 2, 1], Some(2)),
            (&[2], &[1], None),
            (&[], &[1], None),
        ] {
            assert_eq!(hello(mine).common_version(&hello(theirs)), common);
            assert_eq!(hello(theirs).common_version(&hello(mine)), common);
        }
    }
}
