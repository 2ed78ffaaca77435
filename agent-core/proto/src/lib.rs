//! The shared data model of server, agents and administrators: ids, signed documents, messages and reason codes.
//!
//! This crate contains only data and calculations on data. It has no IO, no clock and no async runtime. So the server,
//! the agent, the pure state machine and the simulations all use the same definitions. `docs/protocol.md` is the
//! specification; comments name the number of the rule that the code implements.

pub mod access;
pub mod address;
pub mod address_range;
pub mod admin;
pub mod api;
pub mod arguments;
pub mod assignments;
pub mod audit;
pub mod code;
pub mod format;
pub mod frame;
pub mod id;
pub mod join;
pub mod limits;
pub mod list;
pub mod local;
pub mod manifest;
pub mod merkle;
pub mod order;
pub mod peer;
pub mod platform;
pub mod program_output;
pub mod rates;
pub mod reach;
pub mod reason;
pub mod rollout;
pub mod schedule;
#[cfg(feature = "schema")]
mod schema;
pub mod secret;
pub mod server_copies;
pub mod server_events;
pub mod signed;
pub mod site;
pub mod site_budget;
pub mod size;
pub mod stop_list;
pub mod text;
pub mod time;
pub mod webhooks;

pub use address::Address;
pub use address_range::AddressRange;
pub use code::RollingCode;
pub use format::{Format, FormatError};
pub use id::{DeploymentId, Digest, MachineId, OrderId};
pub use list::{AddresseeList, Membership, Proof};
pub use manifest::{Artifact, Manifest};
pub use order::{AddressHint, InstallPermit, Order, Receipt, ServerEpoch};
pub use rates::{KnownRate, KnownRates, LinkRates, MeasuredRate};
pub use reach::Reach;
pub use reason::Reason;
pub use secret::Secret;
pub use server_copies::ServerCopies;
pub use signed::{KeyRing, Signed, SigningKey};
pub use site::Site;
pub use size::format_size;
pub use stop_list::StopList;
pub use time::UnixSeconds;

/// The versions of the peer protocol that this program speaks, newest first. Two programs use the newest that both
/// speak ([`peer::Hello::common_version`]).
pub const PROTOCOL_VERSIONS: &[u16] = &[1];
/// ALPN name of the framed protocol between machines, and between a machine and the server as a source.
pub const ALPN_PEER: &[u8] = b"banyan/1";
/// ALPN name of the server's HTTP API.
pub const ALPN_HTTP: &[u8] = b"http/1.1";
/// ALPN name that administrators' programs offer beside [`ALPN_HTTP`], so that the server knows them before their
/// handshake. The server never selects it.
pub const ALPN_ADMINISTRATOR: &[u8] = b"banyan-administrator/1";
