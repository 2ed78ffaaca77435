//! The installer's own check of a job: everything that makes code run is signed, by publishers and server both, for this
//! machine, now (rules N5–N8).
//!
//! The agent has checked all of it before. It is checked again here, from the installer's own record, because the agent
//! talks to the whole network and this process does not: who takes the agent over has not taken over the installer.
//! What a person's own installer lets in without an order stands in [`alone`].

mod alone;

use super::{
    job::{Job, Release, WithoutRestore},
    record::Record,
    trouble::Trouble,
};
use banyan_proto::{Artifact, DeploymentId, Digest, GoAhead, Manifest, Order, Reason, UnixSeconds, limits};
use std::fmt::Display;

/// A job that publishers and server signed for this machine, or that a person's own installer may do without an order. Only
/// [`Record::admit`] and [`super::alone::Alone::admit`] make one.
#[derive(Debug)]
pub(super) struct AdmittedJob {
    /// The deployment.
    pub(super) order: DeploymentId,
    /// As in [`Job`].
    pub(super) attempt: u32,
    /// As in [`Job`].
    pub(super) without_restore: WithoutRestore,
    /// What is to be installed.
    pub(super) release: Release,
    /// Keeps others from making one.
    _checked: (),
}

impl Record {
    /// Checks a job. The record that comes with it must be saved before anything is done because of the job.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn admit(&self, job: &Job, platform: &str, now: UnixSeconds) -> Result<(AdmittedJob, Self), Trouble> {
        let now = self.trust.time(now);
        let order = self.order(job, now)?;
        let go = self.go_ahead(job, &order, now)?;
        let (release, trust) = self.release(job, &order, &go, platform, now)?;
        let mut learned = self.clone();
        learned.trust = trust;
        learned.trust.believe_time(order.issued.max(go.issued));
        learned.epoch = self.epoch.max(order.epoch).max(go.epoch);
        learned.newest.insert(order.package.clone(), (order.epoch, order.number));
        let (attempt, without_restore) = (job.attempt, job.without_restore);
        Ok((AdmittedJob { order: order.id, attempt, without_restore, release, _checked: () }, learned))
    }

    /// N6: the server's order, of this epoch, not over, for this machine, and none of the package before it was newer.
    fn order(&self, job: &Job, now: UnixSeconds) -> Result<Order, Trouble> {
        let order = job.order.verify(&self.keys).map_err(|error| forged("order", error))?;
        if order.server != self.server {
            return Err(forged("order", "it is another server's"));
        }
        if order.epoch < self.epoch {
            let detail = format!("the order is of epoch {}, the server is at {}", order.epoch, self.epoch);
            return Err(Trouble::because(Reason::EpochBack, detail));
        }
        if order.expires <= now {
            return Err(Trouble::because(Reason::OrderExpired, format!("the order expired at {}", order.expires)));
        }
        let root = order.stripes.get(usize::from(job.stripe));
        let deep = job.membership.proof.0.len() > limits::LIST_DEPTH;
        if deep || root != Some(&job.membership.root(job.stripe, self.machine)) {
            return Err(Trouble::because(Reason::NotAddressed, "this machine is not on the order's list"));
        }
        let newest = self.newest.get(&order.package).copied().unwrap_or_default();
        if (order.epoch, order.number) < newest {
            let detail = format!("order {} of {} is older than order {}", order.number, order.package, newest.1);
            return Err(Trouble::because(Reason::OrderSuperseded, detail));
        }
        Ok(order)
    }

    /// N7: the server's leave, for this order on this machine, and fresh as far as this machine's clock can tell.
    fn go_ahead(&self, job: &Job, order: &Order, now: UnixSeconds) -> Result<GoAhead, Trouble> {
        let go: GoAhead = job.go_ahead.verify(&self.keys).map_err(|error| forged("go-ahead", error))?;
        let no_leave = |detail: String| Err(Trouble::because(Reason::WaitsForGoAhead, detail));
        if go.order != order.id {
            return no_leave(format!("the go-ahead is for order {}, not for {}", go.order, order.id));
        }
        if go.machine != self.machine {
            return no_leave(format!("the go-ahead is for machine {}, not for {}", go.machine, self.machine));
        }
        if go.epoch < self.epoch {
            let detail = format!("the go-ahead is of epoch {}, the server is at {}", go.epoch, self.epoch);
            return Err(Trouble::because(Reason::EpochBack, detail));
        }
        if order.epoch < go.epoch {
            let detail =
                format!("the order is of epoch {}, the go-ahead says that the server is at {}", order.epoch, go.epoch);
            return Err(Trouble::because(Reason::EpochBack, detail));
        }
        if now >= go.issued.plus(GoAhead::SECONDS) {
            return no_leave(format!(
                "the go-ahead was given {} seconds ago by this machine's clock and is good for {}; if it is always so, set \
                 the clock",
                now.0.saturating_sub(go.issued.0),
                GoAhead::SECONDS
            ));
        }
        Ok(go)
    }

    /// N8: the publishers' release, by metadata as new as the server says there is, not below a floor, and exactly what
    /// the order names.
    fn release(
        &self,
        job: &Job,
        order: &Order,
        go: &GoAhead,
        platform: &str,
        now: UnixSeconds,
    ) -> Result<(Release, banyan_trust::TrustStore), Trouble> {
        let (trusted, trust) = self.trust.check(&job.release, order.manifest, now)?;
        if !trusted.versions().at_least(go.timestamp_version, go.snapshot_version) {
            let detail = "the metadata is older than the go-ahead says there is";
            return Err(Trouble::because(Reason::MetadataRolledBack, detail));
        }
        let artifact = trusted.fits(order)?;
        if artifact.platform != "any" && artifact.platform != platform {
            let detail = format!("the file is for {}, this machine is {platform}", artifact.platform);
            return Err(Trouble::because(Reason::WrongPlatform, detail));
        }
        Ok((release(trusted.manifest(), trusted.manifest_digest(), artifact), trust))
    }
}

fn release(manifest: &Manifest, digest: Digest, artifact: &Artifact) -> Release {
    Release {
        package: manifest.package.clone(),
        version: manifest.version.clone(),
        sequence: manifest.sequence,
        manifest: digest,
        artifact: artifact.digest,
        size: artifact.size,
        file_name: artifact.file_name.clone(),
        platform: artifact.platform.clone(),
        spec: artifact.install.clone(),
    }
}

fn forged(what: &str, why: impl Display) -> Trouble {
    Trouble::because(Reason::OrderForged, format!("the {what} is not believed: {why}"))
}
