//! What the agent and the programs of the people at the machine say to each other, over a local socket: one JSON value
//! a line. The caller says `hello` first and is told which rights it has.

use crate::{DeploymentId, MachineId, Reason, UnixSeconds, api::ApiError};
use serde::{Deserialize, Serialize};

/// Version of these messages.
pub const LOCAL_VERSION: u16 = 1;

/// From a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// First.
    Hello {
        /// [`LOCAL_VERSION`] of the caller.
        version: u16,
    },
    /// How the agent is.
    Status,
}

/// To a caller, one for each request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// To `hello`.
    Hello {
        /// [`LOCAL_VERSION`] of the agent.
        version: u16,
        /// Program and version.
        software: String,
        /// What this caller may do.
        rights: Vec<Right>,
    },
    /// To `status`.
    Status(Status),
    /// It was not understood, or not allowed.
    Error(ApiError),
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// See how the agent is.
    See,
}

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
