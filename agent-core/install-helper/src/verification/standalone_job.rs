//! Verifies a job that no server ordered: signed by publishers whom the user trusts, for this machine, and of a kind
//! that installs without privileges (rule N10).

use crate::{
    error::InstallError,
    protocol::StandaloneJob,
    verification::{AdmittedJob, personal_record::PersonalRecord, verified_release},
};
use banyan_proto::{Reason, UnixSeconds};

impl PersonalRecord {
    /// Verifies a job. Save the returned record before acting on the job.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) fn admit(
        &self,
        job: &StandaloneJob,
        platform: &str,
        now: UnixSeconds,
    ) -> Result<(AdmittedJob, Self), InstallError> {
        let (signed, trust) = self.trust.check(&job.head, job.consent, now)?;
        let manifest = signed.manifest();
        if signed.manifest_digest() != job.manifest {
            let detail = "the release is not the one that the person was shown";
            return Err(InstallError::new(Reason::NotAllowed, detail));
        }
        let artifact = manifest.artifact_for(platform).ok_or_else(|| {
            let detail = format!("{} {} has no file for {platform}", manifest.package, manifest.version);
            InstallError::new(Reason::WrongPlatform, detail)
        })?;
        if let Err(error) = artifact.check_understood() {
            return Err(InstallError::new(Reason::NotUnderstood, error.to_string()));
        }
        if artifact.install.kind.needs_administrator() {
            let detail = format!("{} is a system package", artifact.file_name);
            return Err(InstallError::new(Reason::NeedsAdministrator, detail));
        }
        let release = verified_release(manifest, signed.manifest_digest(), artifact);
        let admitted = AdmittedJob { order: job.id, attempt: 0, allow: vec![], release, _checked: () };
        Ok((admitted, Self { trust }))
    }
}
