//! Verifies a job that the server ordered: order, install permit and release (rules N6–N8).

use crate::{
    error::InstallError,
    protocol::InstallJob,
    release::VerifiedRelease,
    verification::{AdmittedJob, trust_record::TrustRecord, verified_release},
};
use banyan_proto::{InstallPermit, Order, Reason, UnixSeconds, limits, signed::SignatureError};
use banyan_trust::TrustStore;
use std::fmt::Display;

impl TrustRecord {
    /// Verifies a job. Save the returned record before acting on the job.
    ///
    /// # Errors
    /// The first check that fails.
    pub(crate) fn admit(
        &self,
        job: &InstallJob,
        platform: &str,
        now: UnixSeconds,
    ) -> Result<(AdmittedJob, Self), InstallError> {
        let clock = now;
        let mut learned = self.clone();
        learned.correct_signed_time(job, clock);
        let now = learned.trust.time(clock);
        let order = learned.verify_order(job, now)?;
        let permit = learned.verify_install_permit(job, &order, now)?;
        let (mut release, trust) = learned.verify_release(job, &order, &permit, platform, now)?;
        let by_policy = job.keep_versions.filter(|number| (1..=limits::KEPT_VERSIONS).contains(number));
        release.spec.keep_versions = by_policy.or(release.spec.keep_versions);
        learned.trust = trust;
        for signed in [order.issued, permit.issued] {
            learned.trust.record_signed_time(signed, clock);
        }
        learned.epoch = self.epoch.max(order.epoch).max(permit.epoch);
        learned.newest.insert(order.package.clone(), (order.epoch, order.number));
        let admitted = AdmittedJob { order: order.id, attempt: job.attempt, allow: order.allow, release, _checked: () };
        Ok((admitted, learned))
    }

    /// Gives up a signed time that was recorded while server and machine were ahead (rule T6). A permit that is fresh by
    /// this machine's clock shows that both are right now.
    fn correct_signed_time(&mut self, job: &InstallJob, clock: UnixSeconds) {
        let Ok(permit) = job.install_permit.verify(&self.keys) else { return };
        if permit.machine == self.machine && permit.epoch >= self.epoch {
            self.trust.correct_signed_time(permit.issued, clock);
        }
    }

    /// N6: verifies the server's order: of this epoch, not expired, for this machine, and not older than a previous
    /// order for the same package.
    fn verify_order(&self, job: &InstallJob, now: UnixSeconds) -> Result<Order, InstallError> {
        let order = job.order.verify(&self.keys).map_err(|error| rejected("order", &error))?;
        if order.server != self.server {
            return Err(forged("order", "it belongs to another server"));
        }
        if order.epoch < self.epoch {
            let detail = format!("the order is from epoch {}, but the server is at {}", order.epoch, self.epoch);
            return Err(InstallError::new(Reason::EpochBack, detail));
        }
        if order.expires <= now {
            return Err(InstallError::new(Reason::OrderExpired, format!("the order expired at {}", order.expires)));
        }
        let root = order.stripes.get(usize::from(job.stripe));
        let deep = job.membership.proof.0.len() > limits::LIST_DEPTH;
        if deep || root != Some(&job.membership.root(job.stripe, self.machine)) {
            return Err(InstallError::new(
                Reason::NotAddressed,
                "this machine is not one of the order's target machines",
            ));
        }
        let newest = self.newest.get(&order.package).copied().unwrap_or_default();
        if (order.epoch, order.number) < newest {
            let detail = format!("order {} of {} is older than order {}", order.number, order.package, newest.1);
            return Err(InstallError::new(Reason::OrderSuperseded, detail));
        }
        Ok(order)
    }

    /// N7: verifies the server's install permit: for this order on this machine, and fresh by this machine's clock.
    fn verify_install_permit(
        &self,
        job: &InstallJob,
        order: &Order,
        now: UnixSeconds,
    ) -> Result<InstallPermit, InstallError> {
        let permit: InstallPermit =
            job.install_permit.verify(&self.keys).map_err(|error| rejected("install permit", &error))?;
        let no_permit = |detail: String| Err(InstallError::new(Reason::WaitsForPermit, detail));
        if permit.order != order.id {
            return no_permit(format!("the install permit is for order {}, not for {}", permit.order, order.id));
        }
        if permit.machine != self.machine {
            return no_permit(format!(
                "the install permit is for machine {}, not for {}",
                permit.machine, self.machine
            ));
        }
        if permit.epoch < self.epoch {
            let detail =
                format!("the install permit is from epoch {}, but the server is at {}", permit.epoch, self.epoch);
            return Err(InstallError::new(Reason::EpochBack, detail));
        }
        if order.epoch < permit.epoch {
            let detail =
                format!("the order is from epoch {}, but the install permit is from {}", order.epoch, permit.epoch);
            return Err(InstallError::new(Reason::EpochBack, detail));
        }
        if now >= permit.issued.plus(InstallPermit::SECONDS) {
            // The agent has just fetched the permit, so an old one means that the clocks differ.
            let detail = format!(
                "the install permit is {} seconds old by this machine's clock and valid for {}: this machine's clock is \
                 ahead of the server's",
                now.0.saturating_sub(permit.issued.0),
                InstallPermit::SECONDS
            );
            return Err(InstallError::new(Reason::ClockWrong, detail));
        }
        Ok(permit)
    }

    /// N8: verifies the publishers' release: metadata at least as new as the server's, not below the minimum accepted
    /// sequence, and exactly what the order names.
    fn verify_release(
        &self,
        job: &InstallJob,
        order: &Order,
        permit: &InstallPermit,
        platform: &str,
        now: UnixSeconds,
    ) -> Result<(VerifiedRelease, TrustStore), InstallError> {
        let (trusted, trust) = self.trust.check(&job.release, order.manifest, now)?;
        if !trusted.versions().at_least(permit.timestamp_version, permit.snapshot_version) {
            let detail = "the metadata is older than the versions that the install permit names";
            return Err(InstallError::new(Reason::MetadataRolledBack, detail));
        }
        let artifact = trusted.artifact_for(order)?;
        if artifact.platform != "any" && artifact.platform != platform {
            let detail = format!("the file is for {}, but this machine is {platform}", artifact.platform);
            return Err(InstallError::new(Reason::WrongPlatform, detail));
        }
        Ok((verified_release(trusted.manifest(), trusted.manifest_digest(), artifact), trust))
    }
}

fn rejected(what: &str, error: &SignatureError) -> InstallError {
    InstallError::new(error.reason(Reason::OrderForged), format!("the {what} was rejected: {error}"))
}

fn forged(what: &str, why: impl Display) -> InstallError {
    InstallError::new(Reason::OrderForged, format!("the {what} was rejected: {why}"))
}
