//! The server's TLS configurations and the revocation list they enforce. All are replaced together (rules I4, I5).

use crate::{
    identity::ca::{CRL_SECONDS, CaError},
    net::expired_certificates::ExpiredCertificateVerifier,
    refusal::Refusal,
    server::Server,
    store::Counter,
};
use banyan_proto::{ALPN_HTTP, ALPN_PEER};
use banyan_wire::{
    connection::TlsPair,
    tls::{Credentials, Crl, IdentityError},
};
use rustls::ServerConfig;
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tracing::error;

/// Interval for signing a new list: a third of its lifetime. A machine that misses one list still has a valid one.
pub(crate) const RESIGN_EVERY: Duration = Duration::from_secs(CRL_SECONDS / 3);

/// The current TLS configurations and revocation list.
pub(crate) struct TlsConfiguration(RwLock<Arc<ActiveTls>>);

struct ActiveTls {
    acceptor: Arc<ServerConfig>,
    pair: TlsPair,
    crl: Arc<Crl>,
}

fn build(credentials: &Credentials, crl: Crl) -> Result<ActiveTls, IdentityError> {
    let verifier = ExpiredCertificateVerifier::new(credentials.verifier(Some(&crl), true)?, crl.until);
    Ok(ActiveTls {
        acceptor: credentials.acceptor_with(Arc::new(verifier), &[ALPN_PEER, ALPN_HTTP])?,
        pair: TlsPair::for_peers(credentials, Some(&crl))?,
        crl: Arc::new(crl),
    })
}

impl TlsConfiguration {
    pub(crate) fn new(credentials: &Credentials, crl: Crl) -> Result<Self, IdentityError> {
        Ok(Self(RwLock::new(Arc::new(build(credentials, crl)?))))
    }
    fn active(&self) -> Arc<ActiveTls> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Returns the port's configuration: accepts machines, even with expired certificates, and clients without one,
    /// which enrol or administer.
    pub(crate) fn acceptor(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.active().acceptor)
    }
    /// Returns the TLS configurations for the peer-to-peer node.
    pub(crate) fn pair(&self) -> TlsPair {
        self.active().pair.clone()
    }
    pub(crate) fn crl(&self) -> Arc<Crl> {
        Arc::clone(&self.active().crl)
    }
}

impl Server {
    /// Signs a new revocation list, renews the server's own certificate if it is due, and puts both into force.
    pub(crate) async fn renew_tls(&self) -> Result<Arc<Crl>, Refusal> {
        let _one = self.revoking.lock().await;
        let now = Self::now();
        let revoked = self.store.revoked_serials().await?;
        let number = self.store.next(Counter::Crl).await?;
        let der = self.authority.revocation_list(number, &revoked, now)?;
        let crl = Crl::read(der, self.authority.certificate());
        let renewed = self
            .authority
            .server(&self.keys, self.id, now)
            .map_err(|error: CaError| Refusal::internal(&error))
            .and_then(|credentials| {
                crl.and_then(|crl| build(&credentials, crl)).map_err(|error| Refusal::internal(&error))
            })?;
        *self.tls.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
        let crl = self.tls.crl();
        if let Some(node) = self.node.get() {
            node.set_tls(self.tls.pair());
            node.cut_revoked(Crl::clone(&crl));
        }
        self.wake_ups.wake_all();
        Ok(crl)
    }

    /// Re-signs the revocation list on schedule until the server stops.
    pub(crate) async fn keep_tls_current(self: Arc<Self>) {
        while self.stop.run_until_cancelled(tokio::time::sleep(RESIGN_EVERY)).await.is_some() {
            while let Err(refusal) = self.renew_tls().await {
                error!("failed to sign the revocation list: {refusal}; will retry in 60 s");
                let pause = tokio::time::sleep(Duration::from_secs(60));
                if self.stop.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
}
