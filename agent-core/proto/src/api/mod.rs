//! Request and reply bodies of the HTTP API between agents and the server (`/v1`).
//!
//! Client certificates authenticate the caller. Enrolment is the exception: the join code's secret authenticates it.

mod report;

pub use report::{Event, Report, Reports};

use crate::{
    Address, AddressHint, Digest, InstallPermit, KeyRing, MachineId, OrderId, Reason, Receipt, ServerEpoch, Signed,
    StopList, UnixSeconds, format::requests, frame::Holdup, peer::Offer, schedule::Policy, site_budget::SiteNotice,
};
use serde::{Deserialize, Serialize};

/// `POST /v1/enrol`: enrols a machine. It needs no client certificate; the join code pins the CA.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The join code's secret in hexadecimal.
    pub secret: String,
    /// A certificate signing request for the machine's own key (PEM).
    pub csr: String,
    /// The machine's display name.
    pub label: String,
    /// `linux-x86_64`, `windows-x86_64`, …
    pub platform: String,
    /// The addresses where other machines can reach it.
    pub addresses: Vec<Address>,
    /// Program and version of the agent.
    pub software: String,
}

/// The reply to [`EnrolRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolReply {
    /// The machine's new identity.
    pub machine: MachineId,
    /// The machine's certificate (PEM).
    pub certificate: String,
    /// The CA's certificate (PEM). Its hash is in the join code.
    pub ca: String,
    /// The server's identity, which is the root of every tree.
    pub server: MachineId,
    /// The keys that sign orders, hints, receipts and install permits.
    pub keys: KeyRing,
    /// The server's epoch.
    pub epoch: u64,
    /// The first TUF root (JSON). Its hash is in the join code.
    pub root: String,
}

/// `POST /v1/renew`: requests a new certificate for the same identity. An expired certificate permits only this
/// request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewRequest {
    /// A certificate signing request (PEM).
    pub csr: String,
}

/// The reply to [`RenewRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewReply {
    /// The new certificate (PEM).
    pub certificate: String,
}

/// `POST /v1/check-in`: reports the machine's state and waits for news (long poll).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckIn {
    /// A random number that each start of the agent chooses. Two numbers in use at once reveal a cloned disk.
    pub boot: u64,
    /// The number of the last reply that this start received; 0 for none.
    #[serde(default)]
    pub last: u64,
    /// The machine's display name.
    pub label: String,
    /// The addresses where other machines can reach it.
    pub addresses: Vec<Address>,
    /// Program and version of the agent.
    pub software: String,
    /// The number of the machine's newest revocation list.
    pub crl_number: u64,
    /// The highest epoch that the machine has seen. If the server's epoch is lower, the server was restored from a
    /// backup.
    #[serde(default)]
    pub epoch: u64,
    /// The orders of which the machine has an offer, or which it has finished.
    pub known: Vec<OrderId>,
    /// How long the server may delay its reply while there is no news, in seconds; at most 300.
    pub wait_seconds: u32,
    /// The newest publisher metadata that the machine has seen. Older agents omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publishers: Option<PublisherVersions>,
    /// The number of the policy that the machine follows; 0 for none. Older agents omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<u64>,
    /// The time by the machine's clock. Older agents omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<UnixSeconds>,
    /// The sequence of the newest announcement of the server's addresses that the machine has; 0 for none. Older agents
    /// omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_addresses: Option<u64>,
    /// The number of the notice about the site's budget that the machine goes by; 0 for none. Older agents omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_budget: Option<u64>,
    /// The number of the newest list of stopped orders that the machine has; 0 for none. Older agents omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_number: Option<u64>,
}

/// Versions of the publishers' metadata that a machine or the server has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PublisherVersions {
    /// The root's version.
    pub root: u64,
    /// The version of the release list. In a server's reply, the version of the last list that withdrew a release.
    pub targets: u64,
}

impl PublisherVersions {
    /// Returns whether any of these versions is newer than in `known`.
    #[must_use]
    pub fn is_news_to(self, known: Self) -> bool {
        self.root > known.root || self.targets > known.targets
    }
}

/// The reply to [`CheckIn`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckInReply {
    /// The reply's number. A machine repeats it in its next check-in to prove that it received this reply (rule I9).
    #[serde(default)]
    pub number: u64,
    /// The time by the server's clock.
    pub now: UnixSeconds,
    /// The number of the current revocation list. If it is higher than the machine's, the machine fetches `GET /v1/crl`
    /// (DER).
    pub crl_number: u64,
    /// Open orders for this machine that are not among its known ones. Their offers normally arrive through the tree.
    /// If one does not arrive in time, the machine requests `GET /v1/orders/{id}/help`.
    pub orders: Vec<Expected>,
    /// The keys that sign the server's documents.
    pub keys: KeyRing,
    /// The server's epoch.
    #[serde(default)]
    pub epoch: Option<Signed<ServerEpoch>>,
    /// The server's newest publisher metadata. A machine with older versions fetches
    /// `GET /v1/roots/{its root's version}` and `GET /v1/metadata`, because keys may have been revoked or releases
    /// withdrawn (rules T7, T8). Older servers omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publishers: Option<PublisherVersions>,
    /// The policy for this machine, if it is newer than the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Signed<Policy>>,
    /// The announcement of the server's addresses, if it is newer than the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_addresses: Option<Signed<AddressHint>>,
    /// The budget of the machine's site, if it is not what the machine goes by (rule P17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_budget: Option<SiteBudgetNews>,
    /// The orders in which a place to install has become free: the machine asks for its install permit again now (rule
    /// A9). Only a hint; the permit can still be refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<OrderId>,
    /// The orders whose offers other machines could not bring to this one, because they cannot connect to it. It asks for
    /// help at once (rule L8). Only a hint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undelivered: Vec<OrderId>,
    /// Whether the server knows nothing of the machine's link, so that the machine should check it: it fetches
    /// `GET /v1/link-check`, and sends as much with `POST /v1/link-check` (rule P14).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check_link: bool,
    /// The list of stopped orders, if it is newer than the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stops: Option<Signed<StopList>>,
}

/// What a machine says of its link when it has received `GET /v1/link-check`: the parameters of `POST /v1/link-check`.
/// All rates are bytes of content a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkCheckReading {
    /// The rate at which the link receives.
    pub at_least: u64,
    /// The most that it receives; `None`: it is not slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// The most that the machine sends by its owner's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_limit: Option<u64>,
}

/// What a machine must know about the budget of its site. It is not signed: it comes over the connection with the server,
/// and can only make the machine slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteBudgetNews {
    /// The notice; `None`: the site has no budget.
    pub notice: Option<SiteNotice>,
}

/// `GET /v1/roots/{version}`: the roots that follow that version, oldest first, at most as many as a machine follows in
/// one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// The texts of the root.json files.
    pub roots: Vec<String>,
}

/// An order whose offer a machine can expect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expected {
    /// The order's identifier.
    pub order: OrderId,
    /// How long to wait for an offer before asking for help, in seconds.
    pub patience_seconds: u32,
}

/// `GET /v1/orders/{id}/help`: the reply to a machine that received no offer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Help {
    /// An offer for each stripe, made by the server itself.
    pub offers: Vec<Offer>,
    /// Up to three machines that have the content.
    pub holders: Vec<MachineId>,
}

/// `POST /v1/packages`: asks to install a package file that a user opened. If the policy allows it, the server orders
/// the release for this one machine and replies with [`Help`]. The machine already has the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRequest {
    /// The package's name.
    pub package: String,
    /// The release's sequence.
    pub sequence: u64,
    /// BLAKE3 of the release's manifest. It must match the release on the server.
    pub manifest: Digest,
    /// BLAKE3 of the file on the machine.
    pub artifact: Digest,
}

/// `GET /v1/catalogue`: the releases that this machine's users can install. An agent requests it only when a user opens
/// the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalogue {
    /// One release of each offered package that has a file for this machine, sorted by name.
    pub releases: Vec<OfferedRelease>,
}

/// The newest release on the publishers' list that has a file for the requesting machine. These fields are not signed
/// in this form: they only help users to choose. The order that follows a choice is checked like any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OfferedRelease {
    /// The package's name.
    pub package: String,
    /// The version shown to users.
    pub version: String,
    /// The release's sequence.
    pub sequence: u64,
    /// BLAKE3 of the manifest, which identifies this exact release.
    pub manifest: Digest,
    /// The size of the file for this machine, in bytes.
    pub size: u64,
    /// The publisher's display name, at most [`crate::limits::CATALOGUE_PUBLISHER_BYTES`]; may be empty.
    pub publisher: String,
    /// Release notes in plain text, at most [`crate::limits::CATALOGUE_NOTES_BYTES`]; may be empty.
    pub notes: String,
}

/// `POST /v1/catalogue`: asks to install an offered release. If the server still offers it to this machine, the server
/// orders it for this one machine and replies with [`Help`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueRequest {
    /// The package's name.
    pub package: String,
    /// [`OfferedRelease::manifest`] of the release that the user saw. The server orders no other release.
    pub manifest: Digest,
}

/// `POST /v1/receipt`: asks for a receipt, on the agent's own TLS connection. The proofs are bound to its session (rule
/// A3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceiptRequest {
    /// The order's identifier.
    pub order: OrderId,
    /// BLAKE3 of the whole artifact, calculated from the disk.
    pub artifact: Digest,
    /// The path of each offer that this machine received.
    pub ways: Vec<Way>,
    /// The machines that the content came from.
    pub sources: Vec<ByteSource>,
}

/// The path that one stripe's offer took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Way {
    /// The stripe's number.
    pub stripe: u8,
    /// The machines that the offer passed through: the server first, this machine's sender last.
    pub path: Vec<MachineId>,
    /// The result of [`crate::RollingCode::prove`].
    pub proof: Digest,
}

/// How many bytes came from one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ByteSource {
    /// The machine or server that sent the bytes.
    pub machine: MachineId,
    /// Verified content bytes.
    pub bytes: u64,
}

/// The reply to [`ReceiptRequest`].
pub type ReceiptReply = Signed<Receipt>;

/// `POST /v1/install permit`: asks for an install permit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstallPermitRequest {
    /// The order's identifier.
    pub order: OrderId,
}

/// The reply to [`InstallPermitRequest`]. A refusal is an [`ApiError`].
pub type InstallPermitReply = Signed<InstallPermit>;

/// The body of every error reply. The HTTP status matches the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[error("{detail} [{code}]", code = .reason.code())]
pub struct ApiError {
    /// The reason code.
    pub reason: Reason,
    /// A message for people: what was tried, what is wrong and what to do.
    pub detail: String,
}

/// `POST /v1/sources`: nothing arrives of a stripe. Asks which machine to receive it from (rule P12). Older agents also ask
/// when it arrives much more slowly than elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcesRequest {
    /// The order's identifier.
    pub order: OrderId,
    /// The stripe's index.
    pub stripe: u8,
    /// The present source.
    pub source: MachineId,
    /// The rate at which the stripe arrives, in percent of the best rate that the machine knows of.
    pub rate_percent: u8,
    /// The rate at which the stripe arrives, in chunks per minute. Older agents omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks_per_minute: Option<u32>,
    /// How much of the stripe is here, in percent.
    pub held_percent: u8,
    /// Where the stripe is held up.
    pub holdup: Holdup,
    /// Every stripe of the order that is not complete is held up, here or above.
    pub in_every_stripe: bool,
    /// No chunk of the stripe has arrived for long. Older agents omit it.
    #[serde(default)]
    pub starves: bool,
}

/// The reply to [`SourcesRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourcesReply {
    /// Machines that may be better sources, the best first; empty if there are none.
    pub machines: Vec<MachineId>,
    /// Their addresses.
    pub hints: Vec<Signed<AddressHint>>,
}

/// What a machine receives of one stripe (rule P12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The stripe.
    pub stripe: u8,
    /// The machine from which it receives the stripe.
    pub source: MachineId,
    /// How many chunks of the stripe it holds.
    pub held: u32,
    /// The rate since its last report, in chunks per minute. `None` while too few chunks have arrived to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunks_per_minute: Option<u32>,
    /// Whether the source always had more for it.
    #[serde(default)]
    pub waits: bool,
}

/// `POST /v1/flows`: what a machine receives of an order. The server answers when the machine should change a source, or after a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsRequest {
    /// The order.
    pub order: OrderId,
    /// One entry for each stripe that the machine receives, or has received.
    pub flows: Vec<Flow>,
}

/// A machine should receive a stripe from another source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceChange {
    /// The stripe.
    pub stripe: u8,
    /// The new source.
    pub source: MachineId,
}

/// The reply to [`FlowsRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlowsReply {
    /// The changes, at most one for each stripe.
    pub changes: Vec<SourceChange>,
    /// The addresses of the new sources.
    pub hints: Vec<Signed<AddressHint>>,
}

requests! {
    EnrolRequest = "request to enrol";
    RenewRequest = "request for a new certificate";
    CheckIn = "check-in";
    PackageRequest = "request to install a package file";
    CatalogueRequest = "request to install from the catalogue";
    ReceiptRequest = "request for a receipt";
    InstallPermitRequest = "request for an install permit";
    Reports = "delivery of reports";
    SourcesRequest = "request for a better source";
    FlowsRequest = "report of what is received";
}
