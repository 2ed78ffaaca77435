//! The decisions of one machine in the distribution tree, as a pure state machine. It decides which part of the list to
//! offer to which machine and which source to use for chunks. It also decides when to drop a source, which pulls to
//! serve, when to ask the server and when to install.
//!
//! [`Machine`] has no IO, no clock and no randomness of its own. A driver passes in events with the time
//! ([`Machine::handle`]), carries out the resulting actions ([`Machine::poll_action`]), and wakes it at the requested
//! time ([`Machine::next_wake`]). The agent and the server run the same code; the server heads every list, holds all
//! content and never pulls. `STATE.md` lists the invariants of every state and the code that may change it.

mod admission;
mod check;
mod config;
mod context;
mod gates;
mod handing;
pub mod io;
mod life;
mod machine;
mod order;
mod pause;
mod serving;
mod source;
mod stripe;

pub use config::{Config, Timings};
pub use io::{Action, Input, Link, Now, StripeId, TrustedOffer};
pub use machine::Machine;
