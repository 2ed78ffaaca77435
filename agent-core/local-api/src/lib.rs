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
mod backend;
pub mod client;
mod connection_limit;
mod framing;
mod request_body;
pub mod secure_directory;
pub mod server;
mod sessions;
mod subscription;
mod sys;

pub use access::{ALL_RIGHTS, Caller};
pub use address::{LocalAddress, SYSTEM_SOCKET, check_socket_path};
pub use backend::{Backend, Report};
pub use client::{Client, query_status};
pub use request_body::RequestBody;
pub use server::serve;
pub use sessions::Sessions;
