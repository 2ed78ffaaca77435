//! How this machine identifies itself to its peers, and whom it refuses: the certificate and the revocation list.

use super::NodeSlot;
use crate::database::Database;
use banyan_wire::lock::lock;
use banyan_wire::{
    connection::TlsPair,
    tls::{Credentials, Crl},
};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tracing::warn;

/// The TLS credentials and the revocation list in use.
pub(crate) struct PeerTls {
    /// Renewed from time to time.
    credentials: RwLock<Arc<Credentials>>,
    /// The newest revocation list.
    crl: Mutex<Option<Arc<Crl>>>,
    database: Arc<Database>,
    node: NodeSlot,
}

impl PeerTls {
    pub(super) fn new(credentials: Credentials, crl: Option<Crl>, database: Arc<Database>, node: NodeSlot) -> Self {
        let credentials = RwLock::new(Arc::new(credentials));
        Self { credentials, crl: Mutex::new(crl.map(Arc::new)), database, node }
    }
    /// Returns the credentials in use.
    pub(crate) fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Uses new credentials for new connections.
    pub(super) fn set_credentials(&self, credentials: Credentials) {
        *self.credentials.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(credentials);
        if let Some(crl) = self.crl() {
            self.apply(&crl);
        }
    }
    /// Returns the newest revocation list.
    pub(crate) fn crl(&self) -> Option<Arc<Crl>> {
        lock(&self.crl).clone()
    }
    /// Returns the number of the newest revocation list; 0 when there is none.
    pub(crate) fn crl_number(&self) -> u64 {
        lock(&self.crl).as_ref().map_or(0, |crl| crl.number)
    }
    /// Returns the settings for connections to peers.
    pub(super) fn pair(&self) -> anyhow::Result<TlsPair> {
        Ok(TlsPair::for_peers(&self.credentials(), self.crl().as_deref())?)
    }
    /// Accepts a revocation list if the server signed it and it is newer (rule I5). New handshakes with revoked
    /// machines fail, and their open connections are cut.
    pub(crate) fn accept_crl(&self, der: Vec<u8>) {
        let crl = match Crl::read(der, &self.credentials().ca) {
            Ok(crl) => crl,
            Err(error) => return warn!(%error, "revocation list refused"),
        };
        let mut current = lock(&self.crl);
        if current.as_ref().is_some_and(|current| current.number >= crl.number) {
            return;
        }
        if let Err(error) = self.database.store_crl(&crl.der) {
            return warn!(%error, "failed to store the revocation list");
        }
        *current = Some(Arc::new(crl.clone()));
        drop(current);
        self.apply(&crl);
        if let Some(node) = self.node.get() {
            node.cut_revoked(crl);
        }
    }
    fn apply(&self, crl: &Crl) {
        let Some(node) = self.node.get() else { return };
        match TlsPair::for_peers(&self.credentials(), Some(crl)) {
            Ok(pair) => node.set_tls(pair),
            Err(error) => warn!(%error, "failed to apply the revocation list or the certificate"),
        }
    }
}
