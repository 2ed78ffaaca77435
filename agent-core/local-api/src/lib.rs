//! The local API: how desktop programs query and control the agent. The messages are defined in `banyan_proto::local`.
//!
//! The agent listens at up to two addresses:
//!
//! - `DATA/agent.sock` is for its own user and root. It always exists, and a per-user agent has only this one.
//! - `--socket` adds one for everyone at the machine. A service uses [`SYSTEM_SOCKET`], in a separate folder, so that
//!   the data folder does not have to be readable. The system identifies the caller, and [`access`] decides the
//!   rights.
//!
//! On Windows both are named pipes that only the agent's own user, administrators and the system can write to.
//!
//! [`serve`] speaks the protocol for any [`Backend`]: the agent, or the fake agent that desktop programs are tested
//! with.

pub mod access;
pub mod address;
pub mod client;
mod framing;
mod request_body;
pub mod secure_directory;
pub mod server;

pub use access::{Caller, Sessions};
pub use address::{Place, SYSTEM_SOCKET};
pub use client::{Client, ask};
pub use request_body::Body;
pub use server::{Backend, Report, serve};
