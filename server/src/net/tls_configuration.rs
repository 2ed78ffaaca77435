//! The server's TLS configurations and the revocation list they enforce. All are replaced together (rules I4, I5).

use crate::net::expired_certificates::ExpiredCertificateVerifier;
use banyan_proto::{ALPN_HTTP, ALPN_PEER};
use banyan_wire::{
    connection::TlsPair,
    tls::{Credentials, Crl, IdentityError},
};
use rustls::{ServerConfig, pki_types::CertificateDer};
use std::sync::{Arc, PoisonError, RwLock};

/// The current TLS configurations and revocation list.
pub(crate) struct TlsConfiguration(RwLock<Arc<ActiveTls>>);

struct ActiveTls {
    /// The server's own certificate.
    certificate: CertificateDer<'static>,
    acceptor: Arc<ServerConfig>,
    pair: TlsPair,
    crl: Arc<Crl>,
}

fn build(credentials: &Credentials, crl: Crl) -> Result<ActiveTls, IdentityError> {
    let (strict, at_any_time) =
        (credentials.verifier(Some(&crl), true)?, credentials.verifier_at_any_time(&crl, true)?);
    let verifier = ExpiredCertificateVerifier::new(strict, at_any_time, crl.until);
    Ok(ActiveTls {
        certificate: credentials.certificate.clone(),
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
    /// Returns the server's own certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.active().certificate.clone()
    }
    pub(crate) fn crl(&self) -> Arc<Crl> {
        Arc::clone(&self.active().crl)
    }
}
