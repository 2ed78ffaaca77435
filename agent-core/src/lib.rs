//! The agent: the background service on each machine.
//!
//! Data flows one way, one module a stage; the types make the wrong order impossible:
//!
//! | stage | module | takes | gives |
//! | --- | --- | --- | --- |
//! | offer | [`offer`] | bytes of an offer | `TrustedOffer`: every check passed before the first byte of content |
//! | receive, verify, forward | `banyan_wire` | a trusted offer | verified chunks, at the end a `VerifiedArtifact` |
//! | authenticate | [`authenticate`] | `VerifiedArtifact` | a receipt, then an `AuthenticArtifact` while the go-ahead is fresh |
//! | install | [`install`] | `AuthenticArtifact` only | the installer process's word |
//! | report | [`report`] | events of all stages | facts to the server, queued while it is away |
//!
//! `by_hand` takes in packages that people open themselves, `catalogue` gets what they choose of what is offered, `check_in` hears of what is new, `publishers` follows what publishers signed (new keys, withdrawn releases).
//! [`agent`] is the program around the loop of `banyan_wire::node`; [`state`] is what outlives a restart;
//! [`people`] is what the people at the machine chose and are told, [`local`] how their programs speak to it.

pub mod agent;
pub mod authenticate;
mod by_hand;
mod catalogue;
mod check_in;
pub mod cli;
pub mod epoch;
pub mod folder;
mod for_one;
pub mod identity;
pub mod install;
pub mod installer;
pub mod local;
pub mod offer;
pub mod orders;
pub mod people;
pub mod priority;
mod publishers;
pub mod report;
pub mod server_api;
pub mod state;
