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
mod personal_trust;
mod release_list;
mod root_rules;
mod signed_release;
mod time;
mod trust_store;
mod trusted_release;
mod versions;

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod personal_trust_tests;

pub use error::TrustError;
pub use personal_trust::{FileSigner, PersonalTrust};
pub use release_list::{ReleaseList, Target, WITHDRAWN, valid_signers};
pub use signed_release::SignedRelease;
pub use trust_store::TrustStore;
pub use trusted_release::{TrustedMetadata, TrustedRelease, fingerprint};
pub use versions::Versions;
