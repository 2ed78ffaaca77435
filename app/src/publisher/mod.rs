//! The publisher's side: signing keys, release descriptions and signatures. The keys never leave the publisher's
//! computer.
//!
//! This module does not use the network and does not trust the server. Before it adds anything to the server's list and
//! signs it, it verifies the list against the root in the key folder.
//!
//! ```text
//! trusted::known() ─► roots::next(), lists::with() … ─► Request::sign() ─► remember(), after the server accepted it
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
