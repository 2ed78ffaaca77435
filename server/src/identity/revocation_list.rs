//! The revocation list: signed on schedule and after every revocation, and put into force together with the server's own
//! certificate (rules I4, I5).

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
use tracing::error;

/// Interval for signing a new list: a third of its lifetime. A machine that misses one list still has a valid one.
const RESIGN_EVERY: Duration = Duration::from_secs(CRL_SECONDS / 3);

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

    /// Signs a new list on schedule until the server stops.
    pub(crate) async fn keep_renewed(self: Arc<Self>) {
        while self.stop.run_until_cancelled(tokio::time::sleep(RESIGN_EVERY)).await.is_some() {
            while let Err(refusal) = self.renew().await {
                error!("failed to sign the revocation list: {refusal}; will retry in 60 s");
                let pause = tokio::time::sleep(Duration::from_secs(60));
                if self.stop.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
}
