//! What server, agents and administrators say to each other: words, ids, signed documents, messages.
//!
//! Everything here is data and the arithmetic on it. There is no IO, no clock and no async runtime, so that the
//! server, the agent, the pure state machine and the simulations mean the same thing by the same word.
//! `docs/protocol.md` is the specification; a rule's number stands beside the code that carries it out.

pub mod admin;
pub mod api;
pub mod code;
pub mod frame;
pub mod id;
pub mod join;
pub mod limits;
pub mod list;
pub mod local;
pub mod manifest;
pub mod order;
pub mod peer;
pub mod reason;
pub mod schedule;
pub mod signed;
pub mod time;

pub use code::RollingCode;
pub use id::{DeploymentId, Digest, MachineId};
pub use list::{AddresseeList, Membership, Proof};
pub use manifest::{Artifact, Manifest};
pub use order::{AddressHint, GoAhead, Order, Receipt, ServerEpoch};
pub use reason::Reason;
pub use signed::{KeyRing, Signed, SigningKey};
pub use time::UnixSeconds;

/// The version of the protocol that this crate speaks; the number in every path (`/v1`) and in the ALPN names.
pub const PROTOCOL_VERSION: u16 = 1;
/// ALPN name of the framed protocol between machines (and between a machine and the server as a source).
pub const ALPN_PEER: &[u8] = b"banyan/1";
/// ALPN name of the server's HTTP API.
pub const ALPN_HTTP: &[u8] = b"http/1.1";
