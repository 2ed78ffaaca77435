//! The agent: the background service on each machine.
//!
//! Data flows in one direction, through one module per stage. The types rule out any other order:
//!
//! | stage | module | input | output |
//! | --- | --- | --- | --- |
//! | offer | [`offer`] | bytes of an offer | `TrustedOffer`: every check passed before the first byte of content |
//! | receive, verify, forward | `banyan_wire` | a trusted offer | verified chunks, at the end a `VerifiedArtifact` |
//! | authenticate | [`authenticate`] | `VerifiedArtifact` | a receipt, then an `AuthenticArtifact` with a fresh permit |
//! | install | [`install`] | `AuthenticArtifact` only | the installer process's result |
//! | report | [`report`] | events of all stages | facts for the server, queued while it cannot be reached |
//!
//! - `by_hand`: installs package files that users open themselves (manual install)
//! - `catalogue`: installs packages that users choose from the administrator's catalogue
//! - `check_in`: polls the server for news
//! - `publishers`: follows new keys and withdrawn releases
//! - [`agent`]: the program around the loop of `banyan_wire::node`
//! - [`state`]: the database
//! - [`people`]: settings, history and quota of the users at this machine
//! - [`local`]: the API for desktop programs

pub mod agent;
pub mod authenticate;
mod by_hand;
mod catalogue;
mod check_in;
pub mod cli;
pub mod epoch;
mod for_one;
pub mod identity;
pub mod install;
pub mod offer;
pub mod orders;
pub mod people;
mod publishers;
pub mod report;
pub mod server_api;
pub mod state;
