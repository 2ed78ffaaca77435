//! The publisher's side: signing keys, release descriptions and signatures. The keys never leave the publisher's
//! computer.
//!
//! This module does not use the network and does not trust the server. Before it adds anything to the server's list and
//! signs it, it verifies the list against the root in the key folder.
//!
//! ```text
//! trusted::known() ─► roots::next(), lists::with() … ─► Request::sign() ─► remember(), after the server accepted it
//! ```

pub mod describe;
mod error;
mod files;
pub mod first;
mod guess;
mod hash;
pub mod keys;
pub mod lists;
pub mod package;
mod release_file;
pub mod request;
pub mod roots;
pub mod trusted;

#[cfg(test)]
mod tests;

pub use banyan_trust::Published;
pub use error::PublisherError;
pub use request::Request;
