//! The short answer for `doctor`: how the agent is, in one message.

use crate::{DeploymentId, MachineId, Reason, UnixSeconds, api::ApiError};
use serde::{Deserialize, Serialize};

/// How the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its identity.
    pub machine: MachineId,
    /// What people call the machine.
    pub label: String,
    /// Where its server is.
    pub server: std::net::SocketAddr,
    /// When the server last answered; none since the start.
    pub heard: Option<UnixSeconds>,
    /// Why the server does not let this machine in, while that is so.
    #[serde(default)]
    pub trouble: Option<ApiError>,
    /// When the machine's certificate ends.
    pub certificate_until: Option<UnixSeconds>,
    /// Number of the newest revocation list.
    pub crl_number: u64,
    /// The orders it holds, newest first.
    pub orders: Vec<OrderStatus>,
}

/// How far one order is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStatus {
    /// Which.
    pub order: DeploymentId,
    /// Package.
    pub package: String,
    /// Sequence of the release.
    pub sequence: u64,
    /// Chunks held, and chunks in all.
    pub chunks: (u32, u32),
    /// Content bytes passed on to others since the start.
    pub passed_on: u64,
    /// The server's receipt is here.
    pub authenticated: bool,
    /// How it ended, if it has.
    pub ended: Option<Result<(), Reason>>,
}
