//! The decisions of a machine in the tree: whom to offer which part of the list, where to get chunks, whom to leave and
//! when, whom to serve, when to ask the server, when to install.
//!
//! [`Machine`] is pure: no IO, no clock, no randomness of its own. A driver gives it what has happened and the time
//! ([`Machine::handle`]), does what it says ([`Machine::poll_action`]), and wakes it when it asks for that
//! ([`Machine::next_wake`]). The same machine runs in the agent and in the server, which heads every list, holds
//! everything and never pulls. `STATE.md` says what holds in every state and who may change what.

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
