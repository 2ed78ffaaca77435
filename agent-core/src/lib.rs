//! The agent: the background service on each machine.
//!
//! Data flows in one direction, through one module per stage. The types rule out any other order:
//!
//! | stage | module | input | output |
//! | --- | --- | --- | --- |
//! | offer | [`pipeline::offer`] | bytes of an offer | `TrustedOffer`: every check passed before the first byte of content |
//! | receive, verify, forward | `banyan_wire` | a trusted offer | verified chunks, at the end a `VerifiedArtifact` |
//! | authenticate | [`pipeline::authenticate`] | `VerifiedArtifact` | a receipt, then an `AuthenticArtifact` with a fresh permit |
//! | install | [`pipeline::install`] | `AuthenticArtifact` only | the install helper's result |
//! | report | [`pipeline::report`] | events of all stages | facts for the server, queued while it cannot be reached |
//!
//! | module | content |
//! | --- | --- |
//! | [`cli`], [`startup`], `accept`, `shutdown` | options; start and stop; connections from other machines |
//! | `joining` | how the machine comes to belong to a server |
//! | `local_backend` | answers desktop programs: snapshot, status, requests |
//! | `agent` | the running agent: carries out the state machine's actions and applies what the server says |
//! | `scheduling` | when this machine may transfer and install |
//! | `sideload` | installs package files that users open themselves, with a server's order or in standalone mode |
//! | [`pipeline`] | the stages above, and the orders they work on |
//! | [`server`] | the server as the agent sees it: API, enrolment, check-in, publishers' news, catalogue, on-demand orders |
//! | `user` | preferences, history, policy and upload quota of the users at this machine |
//! | `sensors` | processor, power, network, presence, screen, free disk |
//! | `system_changes`, `local_zone` | steps of the clock and ends of sleep, changes of the network; the time zone |
//! | [`identity`], [`publisher_trust`] | who this machine is, and whose signatures it accepts |
//! | `install_root` | the folder that packages are installed below |
//! | [`database`] | the agent's database |
//!
//! Modules import only those further down.

mod accept;
mod agent;
mod change_notifier;
pub mod cli;
pub mod database;
mod folders;
pub mod identity;
mod install_root;
mod joining;
mod local_backend;
mod local_zone;
pub mod pipeline;
mod platform;
pub mod publisher_trust;
mod refusal;
mod scheduling;
mod sensors;
pub mod server;
mod shutdown;
mod sideload;
pub mod startup;
mod sys;
mod system_changes;
mod user;
mod utc;
