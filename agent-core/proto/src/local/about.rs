//! Who this machine is, and whether its server can be reached.

use crate::{Digest, MachineId, UnixSeconds};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Who this machine is. Changes seldom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// What people call the machine.
    pub label: String,
    /// Program and version of the agent.
    pub software: String,
    /// `linux-x86_64`, `windows-x86_64`, …
    pub platform: String,
    /// As whom the agent runs.
    pub mode: Mode,
    /// Where it listens for other machines.
    pub listen: Option<SocketAddr>,
    /// Its identity; none as long as it is not enrolled.
    pub enrolled: Option<Enrolled>,
    /// The zone that the agent's hours are in: `Europe/Berlin`, or what POSIX's `TZ` says, `CET-1CEST,M3.5.0,M10.5.0/3`.
    /// Empty: the computer's, which has no name.
    pub zone: String,
    /// Whose packages somebody here said to trust, as long as there is no server to say it ([`super::Signer::asks`]).
    #[serde(default)]
    pub signers: Vec<TrustedSigner>,
}

/// Somebody whose packages may be installed here because the person at the machine said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrustedSigner {
    /// Hash of their first root.
    pub root: Digest,
    /// What they called themselves when that was said. May be empty.
    pub name: String,
}

/// A machine's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Enrolled {
    /// Its own.
    pub machine: MachineId,
    /// Its server's.
    pub server: MachineId,
    /// Where the server is.
    pub server_address: SocketAddr,
    /// When the machine's certificate ends; it is renewed before.
    pub certificate_until: Option<UnixSeconds>,
    /// Number of the newest revocation list.
    pub crl_number: u64,
}

/// As whom the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// As a service, for everybody at this machine.
    System,
    /// For one person, in their own folders.
    User,
}

/// Whether the server can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "link", rename_all = "kebab-case")]
pub enum Link {
    /// This machine belongs to no server yet.
    NotEnrolled,
    /// It has just been started and has not heard from the server.
    Connecting,
    /// The server answers.
    Connected,
    /// The server does not answer. What is held goes on spreading.
    Away {
        /// When it last did; none: never since the agent's start.
        heard: Option<UnixSeconds>,
    },
}
