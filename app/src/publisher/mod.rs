//! The publisher's side of trust: keys that never leave the publisher's machine, descriptions of releases, signatures.
//!
//! Nothing here talks to the network or asks the server to be honest: what the server says is published is checked
//! against the root in the key folder before anything is added to it and signed.
//!
//! ```text
//! trusted::known() ─► roots::next(), lists::with() … ─► Request::sign() ─► remember(), once the server has accepted it
//! ```

pub(crate) mod describe;
mod error;
mod files;
pub(crate) mod first;
mod guess;
mod hash;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod package;
mod release_file;
pub(crate) mod request;
pub(crate) mod roots;
pub(crate) mod trusted;

#[cfg(test)]
mod tests;

pub(crate) use banyan_trust::Published;
pub(crate) use error::PublisherError;
pub(crate) use request::Request;
