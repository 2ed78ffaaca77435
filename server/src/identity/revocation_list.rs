//! The revocation list: signed on schedule and after every revocation, and put into force together with the server's own
//! certificate (rules I4, I5).
//!
//! What is due depends on the wall clock, which is read every few seconds: a timer of eight hours stands still while the
//! computer sleeps, and does not know that the clock was set.

use crate::{
    identity::ca::{Authority, CRL_SECONDS, CaError},
    net::{peer_node::PeerNode, tls_configuration::TlsConfiguration, wake_ups::WakeUps},
    refusal::Refusal,
    store::{Counter, ServerIdentity, Store},
};
use banyan_proto::UnixSeconds;
use banyan_wire::tls::Crl;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Age at which a list is replaced (seconds): a third of its lifetime. A machine that misses one list still has a valid
/// one.
const REPLACE_AFTER_SECONDS: u64 = CRL_SECONDS / 3;
/// How often the wall clock is read.
const CHECK_EVERY: Duration = Duration::from_secs(10);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(60);
/// A list that lives longer than this was signed while the clock was ahead (seconds).
const LONGEST_SECONDS: u64 = CRL_SECONDS + 60;

/// Returns whether a list that expires at `until` must be replaced.
fn is_list_due(until: UnixSeconds, now: UnixSeconds) -> bool {
    let left = until.0.saturating_sub(now.0);
    left <= CRL_SECONDS - REPLACE_AFTER_SECONDS || left > LONGEST_SECONDS
}

/// Signs revocation lists and puts them into force.
pub(crate) struct RevocationList {
    pub(crate) server: ServerIdentity,
    /// The folder of the server's keys.
    pub(crate) keys: PathBuf,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) tls: Arc<TlsConfiguration>,
    pub(crate) node: PeerNode,
    pub(crate) wake_ups: Arc<WakeUps>,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
    /// Held while a list is signed, so that one is made at a time.
    pub(crate) signing: tokio::sync::Mutex<()>,
}

impl RevocationList {
    /// Signs a new list, renews the server's own certificate if it is due, and puts both into force.
    pub(crate) async fn renew(&self) -> Result<Arc<Crl>, Refusal> {
        let _one = self.signing.lock().await;
        let now = UnixSeconds::now();
        let revoked = self.store.revoked_certificates().await?;
        let number = self.store.next(Counter::Crl).await?;
        let der = self.authority.sign_revocation_list(number, &revoked, now)?;
        let credentials = self
            .authority
            .server_credentials(&self.keys, self.server.id, now)
            .map_err(|error: CaError| Refusal::internal(&error))?;
        let crl = Crl::read(der, self.authority.certificate())
            .and_then(|crl| self.tls.replace(&credentials, crl))
            .map_err(|error| Refusal::internal(&error))?;
        if let Some(node) = self.node.get() {
            node.set_tls(self.tls.pair());
            node.cut_revoked(Crl::clone(&crl));
        }
        self.wake_ups.wake_all();
        Ok(crl)
    }

    fn is_due(&self, now: UnixSeconds) -> bool {
        is_list_due(self.tls.crl().until, now) || !self.authority.can_keep(&self.tls.certificate(), self.server.id, now)
    }

    /// Keeps list and certificate valid until the server stops.
    pub(crate) async fn keep_renewed(self: Arc<Self>) {
        let mut pause = CHECK_EVERY;
        while self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = CHECK_EVERY;
            if !self.is_due(UnixSeconds::now()) {
                continue;
            }
            match self.renew().await {
                Ok(list) => info!(list = list.number, "revocation list renewed"),
                Err(refusal) => {
                    error!("failed to sign the revocation list: {refusal}; will retry in {} s", RETRY.as_secs());
                    pause = RETRY;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_due_after_a_third_of_its_life_after_a_long_sleep_and_after_the_clock_was_set_back() {
        let signed = UnixSeconds(1_800_000_000);
        let is_due = |now: u64| is_list_due(signed.plus(CRL_SECONDS), UnixSeconds(now));
        let hours = |hours: u64| signed.0 + hours * 3600;
        assert_eq!(
            [is_due(hours(0)), is_due(hours(7)), is_due(hours(8)), is_due(hours(30))],
            [false, false, true, true]
        );
        assert!(!is_due(signed.0 - 30), "the clock was slewed");
        assert!(is_due(signed.0 - 3600) && is_due(0), "signed while the clock was ahead");
    }
}
