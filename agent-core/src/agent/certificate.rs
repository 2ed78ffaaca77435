//! Renews the machine's certificate: in the last third of its lifetime (rule I7) and, once it has expired, before
//! anything else (rule I8).
//!
//! Expiry is checked again before every attempt, and the agent never gives up: the cause may be a wrong clock, here or
//! at the server, and clocks get corrected. A refusal by the server counts only while the server repeats it.

use super::Agent;
use crate::{identity, pipeline::active_orders::lock};
use anyhow::Context;
use banyan_proto::UnixSeconds;
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, warn};

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(300);
/// Minimum time between two renewals. A fast clock makes every certificate look old.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

impl Agent {
    /// Returns once this machine's certificate is valid: at once, or after renewal. `told` means that the server
    /// called it expired, whatever the clock here says.
    pub(crate) async fn until_certified(&self, told: bool) {
        let mut pause = RETRY_FIRST;
        while told || self.has_expired() {
            match self.renew().await {
                // Do not check the clock again: with a wrong one the new certificate looks expired too.
                Ok(()) => return info!("expired certificate renewed"),
                Err(error) => self.not_renewed(&error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MOST);
        }
    }

    /// Renews the certificate when it is due.
    pub(crate) async fn renew_when_due(&self, renewed: &mut Option<Instant>) {
        let lately = renewed.is_some_and(|at| at.elapsed() < RENEW_EVERY);
        if lately || !identity::wants_renewal(&self.credentials().certificate, self.time()) {
            return;
        }
        match self.renew().await {
            Ok(()) => {
                *renewed = Some(Instant::now());
                info!("certificate renewed");
            }
            Err(error) => warn!("failed to renew the certificate: {error:#}"),
        }
    }

    fn has_expired(&self) -> bool {
        identity::has_expired(&self.credentials().certificate, self.time())
    }
    /// Returns the clock's time, but never one before the last signed time (rule T6). While an offer is being checked
    /// the signed time is not available; the next caller gets it.
    fn time(&self) -> UnixSeconds {
        let now = UnixSeconds::now();
        self.offers.trust.try_lock().map_or(now, |trust| trust.time(now))
    }
    fn not_renewed(&self, error: &anyhow::Error) {
        match error.downcast_ref() {
            Some(refused @ crate::server::api::CallError::Refused(_)) => self.not_heard(refused),
            _ => warn!("failed to renew the expired certificate: {error:#}; trying again"),
        }
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let reply = self.server.renew(identity::signing_request(&self.key)?).await?;
        let mut enrolment = self.database.load_enrolment()?.context("this machine is not enrolled")?;
        enrolment.certificate = reply.certificate;
        let credentials = identity::credentials(&enrolment, &self.key)?;
        // If the new certificate does not match the key, this fails and the previous one stays in use.
        self.server.set_credentials(&credentials)?;
        self.database.store_certificate(&enrolment.certificate)?;
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
        if let Some(crl) = lock(&self.crl).clone() {
            self.use_tls(&crl);
        }
        Ok(())
    }
}
