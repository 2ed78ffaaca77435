//! The identity part of a snapshot: this machine, its enrolment and its connection to the server.

use crate::{Address, Digest, MachineId, UnixSeconds};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// This machine's identity and settings. It rarely changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// The machine's display name.
    pub label: String,
    /// Program and version of the agent.
    pub software: String,
    /// `linux-x86_64`, `windows-x86_64`, …
    pub platform: String,
    /// Under whose account the agent runs.
    pub mode: Mode,
    /// Whether packages are installed for all users of this machine: the agent, or its install helper, has privileges.
    #[serde(default)]
    pub installs_for_everyone: bool,
    /// The address on which the agent listens for other machines.
    pub listen: Option<SocketAddr>,
    /// The machine's enrolment; `None` before it is enrolled.
    pub enrolled: Option<Enrolled>,
    /// The time zone of the agent's hours: a name such as `Europe/Berlin`, or a POSIX `TZ` value such as
    /// `CET-1CEST,M3.5.0,M10.5.0/3`. Empty: the computer's own time zone, whose name is unknown.
    pub zone: String,
    /// The publishers that the user trusts. Used only while the machine has no server, which would otherwise decide
    /// that ([`super::Signer::asks`]).
    #[serde(default)]
    pub signers: Vec<TrustedSigner>,
}

/// A publisher whose packages may be installed here because the user of the machine trusts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrustedSigner {
    /// The hash of the publisher's first root.
    pub root: Digest,
    /// The name that the publisher used when the user first trusted it; may be empty.
    pub name: String,
}

/// A machine's enrolment with its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Enrolled {
    /// The machine's identity.
    pub machine: MachineId,
    /// The server's identity.
    pub server: MachineId,
    /// The server's addresses, tried in turn.
    pub server_addresses: Vec<Address>,
    /// When the machine's certificate expires. The agent renews it before then.
    pub certificate_until: Option<UnixSeconds>,
    /// The number of the newest revocation list.
    pub crl_number: u64,
}

/// Under whose account the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// As a service that all users of this machine can see.
    System,
    /// For the account it runs under: only that person can see it.
    User,
}

/// The state of the connection to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "link", rename_all = "kebab-case")]
pub enum Link {
    /// This machine is not enrolled with a server.
    NotEnrolled,
    /// The agent has just started and has not reached the server yet.
    Connecting,
    /// The server answers.
    Connected,
    /// The server does not answer. Content on this machine is still forwarded.
    Away {
        /// When the server last answered; `None` if it has not answered since the agent started.
        heard: Option<UnixSeconds>,
    },
}
