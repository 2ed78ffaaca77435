//! The server's TLS configurations and the revocation list they enforce. All are replaced together (rules I4, I5).

use crate::net::expired_certificates::ExpiredCertificateVerifier;
use banyan_proto::{ALPN_HTTP, ALPN_PEER};
use banyan_wire::{
    connection::TlsPair,
    tls::{Credentials, Crl, IdentityError},
};
use rustls::ServerConfig;
use std::sync::{Arc, PoisonError, RwLock};

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
    /// Replaces the configurations. Returns the list that is now in force.
    pub(crate) fn replace(&self, credentials: &Credentials, crl: Crl) -> Result<Arc<Crl>, IdentityError> {
        let replacement = build(credentials, crl)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(replacement);
        Ok(self.crl())
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
