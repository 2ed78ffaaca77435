//! Renews the machine's certificate: in the last third of its lifetime (rule I7) and, once it has expired or while it is
//! not valid yet, before anything else (rule I8).
//!
//! The wall clock decides, and is read again before every attempt; a pause ends early when the clock is set or the computer
//! wakes. The agent never gives up: the cause may be a wrong clock, here or at the server, and clocks get corrected. A
//! refusal by the server counts only while the server repeats it.

use super::peer_tls::PeerTls;
use crate::{
    database::Database,
    identity::{certificate, key},
    publisher_trust::PublisherTrust,
    server::{api::ServerApi, contact::ServerContact},
    system_changes::SystemChanges,
};
use anyhow::Context;
use banyan_proto::UnixSeconds;
use banyan_wire::lock::lock;
use rcgen::KeyPair;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tracing::{info, warn};

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(300);
/// Minimum time between two renewals. A fast clock makes every certificate look old.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// Renews the certificate.
pub(super) struct CertificateRenewal {
    pub(super) key: KeyPair,
    pub(super) database: Arc<Database>,
    pub(super) trust: Arc<PublisherTrust>,
    pub(super) api: Arc<ServerApi>,
    pub(super) contact: Arc<ServerContact>,
    pub(super) tls: Arc<PeerTls>,
    pub(super) changes: Arc<SystemChanges>,
    /// When the certificate was last renewed in this run.
    pub(super) renewed: Mutex<Option<Instant>>,
}

impl CertificateRenewal {
    /// Returns once this machine's certificate is valid: at once, or after renewal. `server_says_expired` means that
    /// the server called it expired, whatever the clock here says.
    pub(super) async fn until_valid(&self, server_says_expired: bool) {
        let mut pause = RETRY_FIRST;
        // With a wrong clock the new certificate looks expired, too. It is not renewed again and again.
        while server_says_expired || self.is_unusable() && !self.was_renewed_lately() {
            match self.renew().await {
                Ok(()) => return info!("expired certificate renewed"),
                Err(error) => self.record_failure(&error),
            }
            self.changes.pause(pause).await;
            pause = (pause * 2).min(RETRY_MOST);
        }
    }

    /// Renews the certificate when it is due.
    pub(super) async fn renew_when_due(&self) {
        let is_due = certificate::is_due_for_renewal(&self.tls.credentials().certificate, self.time());
        if self.was_renewed_lately() || !is_due {
            return;
        }
        match self.renew().await {
            Ok(()) => info!("certificate renewed"),
            Err(error) => warn!("failed to renew the certificate: {error:#}"),
        }
    }

    fn was_renewed_lately(&self) -> bool {
        lock(&self.renewed).is_some_and(|at| at.elapsed() < RENEW_EVERY)
    }
    fn is_unusable(&self) -> bool {
        certificate::is_unusable(&self.tls.credentials().certificate, self.time())
    }
    fn time(&self) -> UnixSeconds {
        self.trust.time(UnixSeconds::now())
    }
    fn record_failure(&self, error: &anyhow::Error) {
        match error.downcast_ref() {
            Some(failed) => self.contact.record_failure(failed),
            None => warn!("failed to renew the expired certificate: {error:#}; trying again"),
        }
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let reply = self.api.renew(key::signing_request(&self.key)?).await?;
        let mut enrolment = self.database.load_enrolment()?.context("this machine is not enrolled")?;
        enrolment.certificate = reply.certificate;
        let credentials = certificate::to_credentials(&enrolment, &self.key)?;
        // If the new certificate does not match the key, this fails and the previous one stays in use.
        self.api.set_credentials(&credentials)?;
        self.database.store_certificate(&enrolment.certificate)?;
        self.tls.set_credentials(credentials);
        *lock(&self.renewed) = Some(Instant::now());
        Ok(())
    }
}
