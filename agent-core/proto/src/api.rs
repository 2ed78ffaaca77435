//! Bodies of the HTTP API between agents and the server (`/v1`). Client certificates say who is asking, except for
//! enrolment, where the join code's secret does.

use crate::{
    DeploymentId, Digest, GoAhead, KeyRing, MachineId, Reason, Receipt, ServerEpoch, Signed, UnixSeconds, peer::Offer,
    schedule::Policy,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// `POST /v1/enrol` (no client certificate; the CA is pinned by the join code).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The join code's secret, hexadecimal.
    pub secret: String,
    /// Certificate signing request for the machine's own key (PEM).
    pub csr: String,
    /// What people call the machine.
    pub label: String,
    /// `linux-x86_64`, `windows-x86_64`, …
    pub platform: String,
    /// Where other machines reach it.
    pub addresses: Vec<SocketAddr>,
    /// Program and version.
    pub software: String,
}

/// What a machine needs to know from then on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolReply {
    /// Its new identity.
    pub machine: MachineId,
    /// Its certificate (PEM).
    pub certificate: String,
    /// The CA's certificate (PEM); its hash is in the join code.
    pub ca: String,
    /// The server's identity: root of every tree.
    pub server: MachineId,
    /// Keys that sign orders, hints, receipts and go-aheads.
    pub keys: KeyRing,
    /// The server's epoch.
    pub epoch: u64,
    /// The first TUF root (JSON); its hash is in the join code.
    pub root: String,
}

/// `POST /v1/renew`: a new certificate for the same identity. The only thing an expired certificate may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Certificate signing request (PEM).
    pub csr: String,
}

/// Answer to [`RenewRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewReply {
    /// The new certificate (PEM).
    pub certificate: String,
}

/// `POST /v1/check-in`: says how the machine is, and waits for news (long poll).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckIn {
    /// A number made anew at every start of the agent: two at once mean a cloned disk.
    pub boot: u64,
    /// The number of the last answer that this start got; 0 for none.
    #[serde(default)]
    pub last: u64,
    /// What people call the machine.
    pub label: String,
    /// Where other machines reach it.
    pub addresses: Vec<SocketAddr>,
    /// Program and version.
    pub software: String,
    /// Number of the newest revocation list it has.
    pub crl_number: u64,
    /// The highest epoch it has seen. A server at a lower one was restored from a backup.
    #[serde(default)]
    pub epoch: u64,
    /// Orders it has an offer of, or has finished.
    pub known: Vec<DeploymentId>,
    /// How long the server may hold the answer back while there is nothing new (seconds, 300 at most).
    pub wait_seconds: u32,
    /// The newest of the publishers' metadata that it has seen. Older agents do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publishers: Option<PublisherVersions>,
    /// Number of the policy that it goes by; 0 for none. Older agents do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<u64>,
}

/// How new somebody's knowledge of what publishers signed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PublisherVersions {
    /// Version of the root.
    pub root: u64,
    /// Version of the list of releases. In a server's answer: that of the last list that withdrew something.
    pub targets: u64,
}

impl PublisherVersions {
    /// Whether these are newer than others in any part.
    #[must_use]
    pub fn is_news_to(self, known: Self) -> bool {
        self.root > known.root || self.targets > known.targets
    }
}

/// Answer to [`CheckIn`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckInReply {
    /// To be said with the next check-in: whoever says it has got this answer (rule I9).
    #[serde(default)]
    pub number: u64,
    /// The server's clock.
    pub now: UnixSeconds,
    /// Number of the current revocation list; fetch `GET /v1/crl` (DER) when it is higher.
    pub crl_number: u64,
    /// Orders that address this machine, are open, and are not among its known ones. An offer should come through the
    /// tree; when none comes in time the machine asks `GET /v1/orders/{id}/help`.
    pub orders: Vec<Expected>,
    /// Keys that sign.
    pub keys: KeyRing,
    /// The server's epoch.
    #[serde(default)]
    pub epoch: Option<Signed<ServerEpoch>>,
    /// A machine that knows less than this fetches `GET /v1/roots/{its root's version}` and `GET /v1/metadata`: keys may
    /// have been revoked, releases withdrawn (rules T7, T8). Older servers do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publishers: Option<PublisherVersions>,
    /// What the administrator lays down, when it is newer than the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Signed<Policy>>,
}

/// `GET /v1/roots/{version}`: the roots that follow that version, oldest first, as many as are followed in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// root.json texts.
    pub roots: Vec<String>,
}

/// An order to expect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expected {
    /// Which.
    pub order: DeploymentId,
    /// Seconds to wait for an offer before asking for help.
    pub patience_seconds: u32,
}

/// `GET /v1/orders/{id}/help`: for a machine that got no offer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Help {
    /// An offer for each stripe, straight from the server.
    pub offers: Vec<Offer>,
    /// Up to three machines that hold the content.
    pub holders: Vec<MachineId>,
}

/// `POST /v1/packages`: somebody at the machine opened a package file and wants it installed. The server orders the release
/// for this one machine, if the policy allows it, and answers with [`Help`]; the bytes are there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRequest {
    /// Name of the package.
    pub package: String,
    /// Sequence of the release.
    pub sequence: u64,
    /// BLAKE3 of its manifest: it must be the very release that the server has.
    pub manifest: Digest,
    /// BLAKE3 of the file that the machine holds.
    pub artifact: Digest,
}

/// `GET /v1/catalogue`: what the people at this machine may get for themselves. Asked when somebody looks, never by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalogue {
    /// One release of each package that is offered and has a file for this machine, by name.
    pub releases: Vec<OfferedRelease>,
}

/// The newest release of a package on the publishers' list that has a file for the machine that asks. Nobody has signed these
/// words as they stand here: they are for people to choose by. What comes of a choice is checked like every order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OfferedRelease {
    /// Name of the package.
    pub package: String,
    /// The version as people read it.
    pub version: String,
    /// Sequence of the release.
    pub sequence: u64,
    /// BLAKE3 of its manifest: which release this is, exactly.
    pub manifest: Digest,
    /// Bytes of the machine's file.
    pub size: u64,
    /// Who publishes, in words ([`crate::limits::CATALOGUE_PUBLISHER_BYTES`] at most). May be empty.
    pub publisher: String,
    /// Release notes, plain text ([`crate::limits::CATALOGUE_NOTES_BYTES`] at most). May be empty.
    pub notes: String,
}

/// `POST /v1/catalogue`: somebody at the machine wants one of these. The server orders it for this one machine, if it is still
/// what it offers there, and answers with [`Help`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueRequest {
    /// Name of the package.
    pub package: String,
    /// [`OfferedRelease::manifest`] of the release that the person was shown: no other is ordered.
    pub manifest: Digest,
}

/// `POST /v1/receipt`, on the agent's own TLS connection, to whose session the proofs are bound (rule A3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceiptRequest {
    /// The order.
    pub order: DeploymentId,
    /// BLAKE3 of the whole artifact, computed from the disk.
    pub artifact: Digest,
    /// The way of each offer this machine got.
    pub ways: Vec<Way>,
    /// Who the bytes came from.
    pub sources: Vec<ByteSource>,
}

/// The way one stripe's offer took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Way {
    /// The stripe.
    pub stripe: u8,
    /// The machines it went through, the server first, this machine's sender last.
    pub path: Vec<MachineId>,
    /// [`crate::RollingCode::prove`].
    pub proof: Digest,
}

/// How much came from whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteSource {
    /// The machine (or the server).
    pub machine: MachineId,
    /// Verified content bytes.
    pub bytes: u64,
}

/// Answer to [`ReceiptRequest`].
pub type ReceiptReply = Signed<Receipt>;

/// `POST /v1/go-ahead`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GoAheadRequest {
    /// The order.
    pub order: DeploymentId,
}

/// Answer to [`GoAheadRequest`]. A refusal is an [`ApiError`].
pub type GoAheadReply = Signed<GoAhead>;

/// One fact about a deployment on a machine; `POST /v1/reports` takes a list of them, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Rises with every report of this machine: one that comes twice is counted once.
    pub number: u64,
    /// The machine's clock.
    pub at: UnixSeconds,
    /// The order; none for facts about no order that this machine believes in (a refused offer, say).
    pub order: Option<DeploymentId>,
    /// What happened.
    pub event: Event,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An offer was accepted.
    Offered {
        /// Stripe.
        stripe: u8,
        /// Who sent it.
        sender: MachineId,
    },
    /// An offer or a connection was refused.
    Refused {
        /// Who sent it.
        sender: MachineId,
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
    },
    /// A head was stepped over; this machine took its parts.
    SteppedOver {
        /// Stripe.
        stripe: u8,
        /// Who.
        machine: MachineId,
        /// Why.
        reason: Reason,
    },
    /// Chunks now come from someone else.
    Source {
        /// Stripe.
        stripe: u8,
        /// Who sends from now on.
        source: MachineId,
        /// Why the one before was left, if there was one.
        left: Option<Reason>,
    },
    /// Bytes came that are not the publisher's.
    BadChunk {
        /// Who sent them.
        source: MachineId,
        /// Index in the file.
        index: u32,
    },
    /// How much is here (sent rarely).
    Progress {
        /// Chunks held and verified.
        held: u32,
        /// Chunks in all.
        of: u32,
    },
    /// The whole artifact is here and verified.
    Verified {
        /// Who the bytes came from.
        sources: Vec<ByteSource>,
    },
    /// The server's receipt is here.
    Authenticated,
    /// Installing has begun.
    Installing,
    /// The probe passed (or there was nothing to do: the release was already there).
    Installed {
        /// It was there already.
        already: bool,
        /// Milliseconds from the go-ahead to the passed probe.
        milliseconds: u64,
    },
    /// Something waits, with the reason; it will be tried again.
    Waits {
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
    },
    /// It ended without success on this machine.
    Failed {
        /// Why.
        reason: Reason,
        /// For people: what the installer or the probe said.
        detail: String,
        /// Whether the old version is back (or was never touched).
        restored: bool,
    },
}

/// Body of every answer that is no success, with a fitting HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail} [{code}]", code = .reason.code())]
pub struct ApiError {
    /// Entry of the closed table.
    pub reason: Reason,
    /// What was tried, what is wrong, what to do: for people.
    pub detail: String,
}
