//! The local API: how the programs of the people at this machine ask and tell the agent. The messages are
//! `banyan_proto::local`'s.
//!
//! The agent listens at two places. `DATA/agent.sock` is for its own user and root alone, always there, and all that a
//! per-user agent has. `--socket` names a second one for everybody at the machine (a service uses [`SYSTEM_SOCKET`], in a
//! folder of its own, so that nothing of the data folder has to be readable); who has connected there is asked of the
//! system, and what they may do is decided in [`caller`]. On Windows both are named pipes, which only the agent's own
//! user, administrators and the system can write to.
//!
//! [`serve`] speaks the protocol for any [`Backend`]: the agent, and the fake agent that faces are tested with.

mod body;
pub mod caller;
pub mod client;
mod line;
pub mod serve;
pub mod socket;

pub use body::Body;
pub use caller::{Caller, Sessions};
pub use client::{Client, ask};
pub use serve::{Backend, serve};
pub use socket::{Place, SYSTEM_SOCKET};
