//! The decisions of one machine in the distribution tree, as a pure state machine. It decides which part of the list to
//! offer to which machine and which source to use for chunks. It also decides when to drop a source, which pulls to
//! serve, when to ask the server and when to install.
//!
//! [`SwarmState`] has no IO, no clock and no randomness of its own. A driver passes in events with the time
//! ([`SwarmState::handle`]), carries out the resulting actions ([`SwarmState::poll_action`]), and wakes it at the
//! requested time ([`SwarmState::next_wake`]). The agent and the server run the same code; the server heads every list,
//! holds all content and never pulls. What the server alone decides is here too, so that the simulated swarm runs it:
//! [`planner`], [`known_rates`], [`link_check`], [`flow_advisor`], [`source_advisor`] and [`permit_limit`]. `STATE.md` lists the
//! invariants of every state and the code that may change it.

mod admission_control;
mod config;
mod context;
mod delegation;
pub mod flow_advisor;
mod front;
mod inspect;
mod invariants;
pub mod io;
pub mod known_rates;
pub mod link_check;
pub mod link_meter;
mod order;
mod order_state;
pub mod permit_limit;
pub mod planner;
mod retry_delay;
mod schedule_gates;
mod source;
pub mod source_advisor;
mod stripe;
mod swarm_state;
mod upload_slots;

pub use config::{Config, Timings};
pub use io::{Action, Input, InstallLane, Link, LinkInput, Now, OrderInput, OrderTask, StripeId, TrustedOffer};
pub use swarm_state::SwarmState;
