//! The agent's short status, as `doctor` requests it.

use crate::{Address, MachineId, OrderId, Reason, UnixSeconds, api::ApiError};
use serde::{Deserialize, Serialize};

/// The agent's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The machine's identity.
    pub machine: MachineId,
    /// The machine's display name.
    pub label: String,
    /// The server's addresses, tried in turn.
    pub servers: Vec<Address>,
    /// When the server last answered; `None` if it has not answered since the agent started.
    pub heard: Option<UnixSeconds>,
    /// Why the server currently rejects this machine, if it does.
    #[serde(default)]
    pub trouble: Option<ApiError>,
    /// Why the last call to the server failed, while calls fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When the machine's certificate expires.
    pub certificate_until: Option<UnixSeconds>,
    /// The number of the newest revocation list on this machine.
    pub crl_number: u64,
    /// The orders on this machine, newest first.
    pub orders: Vec<OrderStatus>,
}

/// The state of one order on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStatus {
    /// The order's identifier.
    pub order: OrderId,
    /// The package's name.
    pub package: String,
    /// The release's sequence.
    pub sequence: u64,
    /// The number of verified chunks and the total number of chunks.
    pub chunks: (u32, u32),
    /// Content bytes forwarded to other machines since the agent started.
    pub passed_on: u64,
    /// Whether the server's receipt has arrived.
    pub authenticated: bool,
    /// The outcome; `None` while the order is active.
    pub ended: Option<Result<(), Reason>>,
}
