//! The publisher's side: signing keys, release descriptions and signatures. The keys never leave the publisher's
//! computer.
//!
//! This crate does not use the network and does not trust the server. Before it adds anything to the server's list and
//! signs it, it verifies the list against the root in the key folder.
//!
//! ```text
//! verify_state() ─► create_next_root(), add_release() … ─► SigningRequest::sign() ─► record_accepted(), after the server accepted it
//! ```

mod archive_check;
mod artifact_hash;
mod deb_check;
mod derived_properties;
mod error;
mod file_name;
pub mod first_root;
pub mod keys;
pub mod package_file;
mod private_files;
mod program_headers;
mod release_description;
pub mod release_draft;
pub mod release_list;
pub mod roots;
pub mod signing_request;
pub mod verified_state;

#[cfg(test)]
mod tests;

pub use banyan_trust::ReleaseList;
pub use error::PublisherError;
pub use signing_request::SigningRequest;
