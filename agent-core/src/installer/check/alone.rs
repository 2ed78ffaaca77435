//! The check of a job that no server ordered: signed by publishers whom the person trusts, of a kind and for a machine that
//! it can be installed on without rights (rule N10).

use super::{
    super::{
        alone::Alone,
        job::{AloneJob, WithoutRestore},
        trouble::Trouble,
    },
    AdmittedJob, release,
};
use banyan_proto::{Reason, UnixSeconds};

impl Alone {
    /// Checks a job. The record that comes with it must be saved before anything is done because of the job.
    ///
    /// # Errors
    /// The first check that fails.
    pub(in super::super) fn admit(
        &self,
        job: &AloneJob,
        platform: &str,
        now: UnixSeconds,
    ) -> Result<(AdmittedJob, Self), Trouble> {
        let (signed, trust) = self.trust.check(&job.head, job.consent, now)?;
        let manifest = signed.manifest();
        if signed.manifest_digest() != job.manifest {
            let detail = "the release is another one than the person was shown";
            return Err(Trouble::because(Reason::NotAllowed, detail));
        }
        let artifact = manifest.artifact_for(platform).ok_or_else(|| {
            let detail = format!("{} {} has no file for {platform}", manifest.package, manifest.version);
            Trouble::because(Reason::WrongPlatform, detail)
        })?;
        if artifact.install.kind.needs_administrator() {
            let detail = format!("{} is a package of the system", artifact.file_name);
            return Err(Trouble::because(Reason::NeedsAdministrator, detail));
        }
        let release = release(manifest, signed.manifest_digest(), artifact);
        let without_restore = WithoutRestore::Refuse;
        let admitted = AdmittedJob { order: job.id, attempt: 0, without_restore, release, _checked: () };
        Ok((admitted, Self { trust }))
    }
}
