//! The machine's certificate: made anew in the last third of its time (rule I7), and once it has expired before anything
//! else is done (rule I8).
//!
//! Whether it has expired is asked anew before every try, and the agent never gives up by itself: the fault can be a clock,
//! here or there, and clocks are put right. What the server says is final only for as long as it says it.

use super::Agent;
use crate::{identity, orders::lock};
use anyhow::Context;
use banyan_proto::UnixSeconds;
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, warn};

const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(300);
/// A clock that is too fast makes every certificate look old: no more than one in this time.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

impl Agent {
    /// Returns when this machine's certificate has not expired: at once, or after it was renewed. `told` when the server
    /// has said that it has, whatever the clock here says.
    pub(crate) async fn until_certified(&self, told: bool) {
        let mut pause = RETRY_FIRST;
        while told || self.has_expired() {
            match self.renew().await {
                // Nothing further is asked of the clock: by a wrong one the new certificate has expired too.
                Ok(()) => return info!("the machine's certificate had expired and has been renewed"),
                Err(error) => self.not_renewed(&error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MOST);
        }
    }

    /// Renews the certificate when it is time.
    pub(crate) async fn renew_when_due(&self, renewed: &mut Option<Instant>) {
        let lately = renewed.is_some_and(|at| at.elapsed() < RENEW_EVERY);
        if lately || !identity::wants_renewal(&self.credentials().certificate, self.time()) {
            return;
        }
        match self.renew().await {
            Ok(()) => {
                *renewed = Some(Instant::now());
                info!("the machine's certificate has been renewed");
            }
            Err(error) => warn!("the machine's certificate could not be renewed: {error:#}"),
        }
    }

    fn has_expired(&self) -> bool {
        identity::has_expired(&self.credentials().certificate, self.time())
    }
    /// The clock, never before the last signed time (rule T6). While an offer is being checked that time is not at hand; the
    /// next one who asks gets it.
    fn time(&self) -> UnixSeconds {
        let now = UnixSeconds::now();
        self.offers.trust.try_lock().map_or(now, |trust| trust.time(now))
    }
    fn not_renewed(&self, error: &anyhow::Error) {
        match error.downcast_ref() {
            Some(refused @ crate::server_api::CallError::Refused(_)) => self.not_heard(refused),
            _ => warn!("the machine's certificate has expired and could not be renewed: {error:#}; trying again"),
        }
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let reply = self.server.renew(identity::signing_request(&self.key)?).await?;
        let mut enrolment = self.state.enrolment()?.context("this machine is not enrolled")?;
        enrolment.certificate = reply.certificate;
        let credentials = identity::credentials(&enrolment, &self.key)?;
        // A certificate that does not fit the key ends here, with the old one still in its place.
        self.server.set_credentials(&credentials)?;
        self.state.set_certificate(&enrolment.certificate)?;
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
        if let Some(crl) = lock(&self.crl).clone() {
            self.use_tls(&crl);
        }
        Ok(())
    }
}
