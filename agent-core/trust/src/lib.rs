//! What publishers signed: TUF metadata in, a verdict out.
//!
//! Pure: no IO and no clock, so that metadata can come from a peer, a file or the server, and every rule can be tested
//! against fixed bytes. Signatures, thresholds, expiry and the pinning of one role by the next are checked by
//! `sigstore-tuf`. What this crate adds are the floors: a [`TrustStore`] remembers the highest versions ever seen and
//! each package's highest signed `min_sequence`. It is kept in the machine's database, apart from any cache of metadata
//! files, so that a damaged cache cannot lower what the machine knows. A TUF client that takes its floors from its
//! cached files loses them with the files.
//!
//! Only [`TrustStore::check`] makes a [`TrustedRelease`]; whatever installs asks for one:
//!
//! ```compile_fail
//! use banyan_proto::{Digest, Manifest, UnixSeconds};
//! use banyan_trust::{TrustedRelease, Versions};
//! fn forge(manifest: Manifest, digest: Digest, versions: Versions, expires: UnixSeconds) -> TrustedRelease {
//!     TrustedRelease { manifest, digest, versions, expires, from_cache: false } // its fields are private
//! }
//! ```
//!
//! Delegated targets roles are not followed: the root's targets keys sign every release.

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
