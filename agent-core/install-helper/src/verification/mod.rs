//! The install helper's own verification of a job: everything that makes code run must be signed by publishers and
//! server, for this machine, now (rules N5–N8).
//!
//! The agent has verified all of this already. The helper repeats it from its own record, because the agent talks to
//! the whole network and the helper does not: taking over the agent must not mean taking over the helper.
//! `ordered_job` verifies the jobs that a server ordered, from the `trust_record`. `standalone_job` verifies the jobs
//! that a personal helper accepts without an order, from the `personal_record`.

mod ordered_job;
pub(crate) mod personal_record;
mod record_file;
mod standalone_job;
pub(crate) mod trust_record;

use crate::release::VerifiedRelease;
use banyan_proto::{Artifact, Digest, Manifest, OrderId, order::Allowance};

/// A verified job: signed by publishers and server for this machine, or allowed for a personal install helper without
/// an order. Only [`trust_record::TrustRecord::admit`] and [`personal_record::PersonalRecord::admit`] make one.
#[derive(Debug)]
pub(crate) struct AdmittedJob {
    /// The order's identifier.
    pub(crate) order: OrderId,
    /// See [`crate::protocol::InstallJob::attempt`].
    pub(crate) attempt: u32,
    /// What the order allows.
    pub(crate) allow: Vec<Allowance>,
    /// The release to install.
    pub(crate) release: VerifiedRelease,
    /// Prevents construction outside this module and its submodules.
    _checked: (),
}

fn verified_release(manifest: &Manifest, digest: Digest, artifact: &Artifact) -> VerifiedRelease {
    VerifiedRelease {
        package: manifest.package.clone(),
        version: manifest.version.clone(),
        sequence: manifest.sequence,
        is_rollback: manifest.rollback_to.is_some(),
        manifest: digest,
        artifact: artifact.digest,
        size: artifact.size,
        file_name: artifact.file_name.clone(),
        platform: artifact.platform.clone(),
        spec: artifact.install.clone(),
    }
}
