//! The audit log: who changed what, when and from where. Messages of the admin API, and the signed head of the log.
//!
//! The log is a Merkle tree over its rows ([`crate::merkle`]). `docs/audit.md` explains what that shows.

use crate::{
    Format, MachineId, Reason, Signed, UnixSeconds,
    access::Role,
    merkle::TreeHash,
    signed::{Document, KeyRing},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

/// The longest value of [`AuditEntry::before`] and [`AuditEntry::after`] (bytes of JSON). The log says how long a longer
/// one was.
pub const VALUE_BYTES: usize = 8 << 10;
/// The most rows of one [`AuditPage`] or [`AuditExportPage`].
pub const PAGE_ROWS: u64 = 1000;

/// Who did something. The names are copied into the row, so it stays whole when a token or person is removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Actor {
    /// A person with an access token.
    Person {
        /// The person.
        person: String,
        /// The token's id; 0 for the one in the server's own profile.
        token_id: u64,
        /// The token's name.
        token: String,
        /// The token's role.
        role: Role,
    },
    /// The server by itself.
    System {
        /// The part of the server, such as `gate`.
        part: String,
    },
}

impl Actor {
    /// Returns the name by which lists show and filter it: the person, or `system:` and the part.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Person { person, .. } => person.clone(),
            Self::System { part } => format!("system:{part}"),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AuditResult {
    /// It was carried out.
    Done,
    /// It was refused. Nothing was changed.
    Refused,
    /// The server failed. What was changed is not known.
    Failed,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// The row's number, from 0.
    pub number: u64,
    /// When it happened, by the server's clock.
    pub at: UnixSeconds,
    /// Who did it.
    pub actor: Actor,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>))]
    pub from: Option<IpAddr>,
    /// What was done: the operation's name in the API description, such as `deploy`.
    pub action: String,
    /// What it was done to, such as `machine:till-3`.
    pub object: String,
    /// What became of it.
    pub result: AuditResult,
    /// Why it was refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What was there before, where that is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there afterwards, or was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The head of the log after its last row. The server signs it, so that neither a row nor the end of the log can be
/// changed without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeHead {
    /// The server.
    pub server: MachineId,
    /// How many rows the log has.
    pub size: u64,
    /// The root of the tree over them.
    pub root: TreeHash,
    /// When it was signed.
    pub at: UnixSeconds,
}

impl Format for TreeHead {
    const KIND: &'static str = "head of the audit log";
}
impl Document for TreeHead {
    const CONTEXT: &'static str = "banyan audit head 1";
}

/// The reply to `GET /api/v1/audit/head`: the newest head, and the proof that the log begins with the one that the caller
/// knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditHead {
    /// The head, in the envelope of signed documents.
    #[cfg_attr(feature = "schema", schema(value_type = Object))]
    pub head: Signed<TreeHead>,
    /// The keys that verify it.
    pub keys: KeyRing,
    /// The consistency proof from the size that the caller asked about (RFC 9162).
    pub consistency: Vec<TreeHash>,
}

/// The reply to `GET /api/v1/audit`: some rows, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// The rows.
    pub entries: Vec<AuditEntry>,
    /// What to pass as `before` for the next page; `None`: there are no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// The reply to `GET /api/v1/audit/rows`: rows exactly as hashed, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AuditExportPage {
    /// The rows.
    pub rows: Vec<HashedRow>,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HashedRow {
    /// The hash that the row was recorded with.
    pub leaf: TreeHash,
    /// The JSON text of the [`AuditEntry`], exactly as hashed.
    pub entry: String,
}

/// A head that a client remembers, and the keys that verify it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHead {
    /// The head.
    pub head: Signed<TreeHead>,
    /// The keys.
    pub keys: KeyRing,
}

/// The first line of an exported log. A line for each row follows: `{"leaf":"…","row":{…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHeader {
    /// When it was exported.
    pub exported: UnixSeconds,
    /// The head of the log after the last row.
    pub head: Signed<TreeHead>,
    /// The keys that verify it.
    pub keys: KeyRing,
}

impl Format for ExportHeader {
    const KIND: &'static str = "exported audit log";
}
