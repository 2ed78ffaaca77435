//! Verifies what publishers signed: TUF metadata, package files and releases.
//!
//! The crate is pure: it has no IO and no clock. So metadata can come from a peer, a file or the server, and tests can
//! check every rule against fixed bytes. `sigstore-tuf` checks signatures, thresholds, expiry and the pinning of one
//! role by the next.
//!
//! This crate adds minimum versions (floors). A [`TrustStore`] remembers the highest metadata versions seen and each
//! package's highest signed `min_sequence`. The machine keeps it in its database, apart from any cache of metadata
//! files, so a damaged cache cannot lower the floors. A TUF client that derives its floors from cached files loses them
//! with the files.
//!
//! Only [`TrustStore::check`] creates a [`TrustedRelease`], which every ordered install requires:
//!
//! ```compile_fail
//! use banyan_proto::{Digest, Manifest, UnixSeconds};
//! use banyan_trust::{TrustedRelease, Versions};
//! fn forge(manifest: Manifest, digest: Digest, versions: Versions, expires: UnixSeconds) -> TrustedRelease {
//!     TrustedRelease { manifest, digest, versions, expires, from_cache: false } // its fields are private
//! }
//! ```
//!
//! Delegated targets roles are not supported: the root's targets keys sign every release.

mod error;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod package;
mod personal;
mod published;
mod release;
mod root;
mod signed_release;
mod store;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod personal_tests;

pub use error::TrustError;
pub use personal::{FileSigner, PersonalTrust};
pub use published::{Published, Target, WITHDRAWN, signers};
pub use release::{TrustedMetadata, TrustedRelease, fingerprint};
pub use signed_release::SignedRelease;
pub use store::{TrustStore, Versions};
