//! The agent: the background service on each machine.
//!
//! Data flows in one direction, through one module per stage. The types rule out any other order:
//!
//! | stage | module | input | output |
//! | --- | --- | --- | --- |
//! | offer | [`pipeline::offer`] | bytes of an offer | `TrustedOffer`: every check passed before the first byte of content |
//! | receive, verify, forward | `banyan_wire` | a trusted offer | verified chunks, at the end a `VerifiedArtifact` |
//! | authenticate | [`pipeline::authenticate`] | `VerifiedArtifact` | a receipt, then an `AuthenticArtifact` with a fresh permit |
//! | install | [`pipeline::install`] | `AuthenticArtifact` only | the installer process's result |
//! | report | [`pipeline::report`] | events of all stages | facts for the server, queued while it cannot be reached |
//!
//! - `sideload`: installs package files that users open themselves (manual install)
//! - `server::catalogue`: installs packages that users choose from the administrator's catalogue
//! - `agent::check_in`: polls the server for news
//! - `server::publishers`: follows new keys and withdrawn releases
//! - [`agent`]: the program around the loop of `banyan_wire::node`
//! - [`database`]: the database
//! - [`user`]: settings, history and quota of the users at this machine
//! - `local_backend`: the API for desktop programs

pub mod agent;
pub mod database;
pub mod identity;
mod local_backend;
pub mod pipeline;
pub mod sensors;
pub mod server;
mod sideload;
pub mod startup;
pub mod user;
