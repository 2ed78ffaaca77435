//! The server's TLS configurations and the revocation list they enforce. All are replaced together (rules I4, I5).

use crate::{
    identity::ca::{CRL_SECONDS, CaError},
    net::expired_certificates::Latecomers,
    refusal::Refusal,
    server::Nms,
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
pub(crate) struct Doors(RwLock<Arc<Inside>>);

struct Inside {
    acceptor: Arc<ServerConfig>,
    pair: TlsPair,
    crl: Arc<Crl>,
}

fn inside(credentials: &Credentials, crl: Crl) -> Result<Inside, IdentityError> {
    let verifier = Latecomers::new(credentials.verifier(Some(&crl), true)?, crl.until);
    Ok(Inside {
        acceptor: credentials.acceptor_with(Arc::new(verifier), &[ALPN_PEER, ALPN_HTTP])?,
        pair: TlsPair::for_peers(credentials, Some(&crl))?,
        crl: Arc::new(crl),
    })
}

impl Doors {
    pub(crate) fn new(credentials: &Credentials, crl: Crl) -> Result<Self, IdentityError> {
        Ok(Self(RwLock::new(Arc::new(inside(credentials, crl)?))))
    }
    fn now(&self) -> Arc<Inside> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Returns the port's configuration: accepts machines, even with expired certificates, and clients without one,
    /// which enrol or administer.
    pub(crate) fn acceptor(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.now().acceptor)
    }
    /// Returns the TLS configurations for the peer-to-peer node.
    pub(crate) fn pair(&self) -> TlsPair {
        self.now().pair.clone()
    }
    pub(crate) fn crl(&self) -> Arc<Crl> {
        Arc::clone(&self.now().crl)
    }
}

impl Nms {
    /// Signs a new revocation list, renews the server's own certificate if it is due, and puts both into force.
    pub(crate) async fn renew_doors(&self) -> Result<Arc<Crl>, Refusal> {
        let _one = self.revoking.lock().await;
        let now = Self::now();
        let revoked = self.store.revoked_serials().await?;
        let number = self.store.next(Counter::Crl).await?;
        let der = self.authority.revocation_list(number, &revoked, now)?;
        let made = Crl::read(der, self.authority.certificate());
        let inside = self
            .authority
            .server(&self.keys, self.id, now)
            .map_err(|error: CaError| Refusal::internal(&error))
            .and_then(|credentials| {
                made.and_then(|crl| inside(&credentials, crl)).map_err(|error| Refusal::internal(&error))
            })?;
        *self.doors.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(inside);
        let crl = self.doors.crl();
        if let Some(node) = self.node.get() {
            node.set_tls(self.doors.pair());
            node.cut_revoked(Crl::clone(&crl));
        }
        self.news.wake_all();
        Ok(crl)
    }

    /// Re-signs the revocation list on schedule until the server stops.
    pub(crate) async fn keep_doors(self: Arc<Self>) {
        while self.stop.run_until_cancelled(tokio::time::sleep(RESIGN_EVERY)).await.is_some() {
            while let Err(refusal) = self.renew_doors().await {
                error!("failed to sign the revocation list: {refusal}; will retry in 60 s");
                let pause = tokio::time::sleep(Duration::from_secs(60));
                if self.stop.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
}
