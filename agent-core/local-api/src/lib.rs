//! The local API: how desktop programs query and control the agent. The messages are defined in `banyan_proto::local`.
//!
//! The agent listens at up to two addresses:
//!
//! - `DATA/agent.sock` is for its own user and root. It always exists, and a per-user agent has only this one.
//! - `--socket` adds one for everyone at the machine. A service uses [`SYSTEM_SOCKET`], in a separate folder, so that
//!   the data folder does not have to be readable. The system identifies the caller, and [`caller`] decides the
//!   rights.
//!
//! On Windows both are named pipes that only the agent's own user, administrators and the system can write to.
//!
//! [`serve`] speaks the protocol for any [`Backend`]: the agent, or the fake agent that desktop programs are tested
//! with.

mod body;
pub mod caller;
pub mod client;
pub mod folder;
mod line;
pub mod serve;
pub mod socket;

pub use body::Body;
pub use caller::{Caller, Sessions};
pub use client::{Client, ask};
pub use serve::{Backend, Report, serve};
pub use socket::{Place, SYSTEM_SOCKET};
