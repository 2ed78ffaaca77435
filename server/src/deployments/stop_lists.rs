//! The list of stopped orders (rule A12): signed anew whenever a deployment is halted or resumed, and told to all machines.
//!
//! The list says what the store says. So a halt is saved first, and a server that is killed in between signs the list when
//! it starts again.

use crate::{
    identity::secrets::Secrets,
    net::{peer_node::PeerNode, wake_ups::WakeUps},
    store::{Counter, ServerIdentity, Store, StoreResult},
};
use banyan_proto::{OrderId, Signed, StopList, UnixSeconds};
use banyan_wire::host::NumberedStops;
use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
};
use tracing::info;

struct CurrentList {
    stopped: HashSet<OrderId>,
    numbered: NumberedStops,
}

/// Signs the lists of stopped orders.
pub(crate) struct StopLists {
    server: ServerIdentity,
    store: Arc<dyn Store>,
    secrets: Arc<Secrets>,
    node: PeerNode,
    wake_ups: Arc<WakeUps>,
    /// `None` if no order was ever stopped.
    current: RwLock<Option<CurrentList>>,
    /// Held while a list is signed, so that the list with the highest number is the newest.
    signing: tokio::sync::Mutex<()>,
}

impl StopLists {
    /// Signs the first list of this run. There is none if no order was ever stopped.
    pub(crate) async fn open(
        server: ServerIdentity,
        store: Arc<dyn Store>,
        secrets: Arc<Secrets>,
        node: PeerNode,
        wake_ups: Arc<WakeUps>,
    ) -> StoreResult<Self> {
        let has_list = store.stop_number().await? > 0 || !store.stopped_orders(UnixSeconds::now()).await?.is_empty();
        let lists = Self {
            server,
            store,
            secrets,
            node,
            wake_ups,
            current: RwLock::default(),
            signing: tokio::sync::Mutex::default(),
        };
        if has_list {
            lists.renew().await?;
        }
        Ok(lists)
    }
    /// Signs a list of the orders that the store says are stopped, and tells it to all machines.
    pub(crate) async fn renew(&self) -> StoreResult<()> {
        let _one = self.signing.lock().await;
        let number = self.store.next(Counter::Stop).await?;
        let issued = UnixSeconds::now();
        let stopped = self.store.stopped_orders(issued).await?;
        let list = StopList { server: self.server.id, epoch: self.server.epoch, number, issued, stopped };
        let numbered = NumberedStops { number, list: Arc::new(self.secrets.orders.sign(&list)) };
        info!(number, stopped = list.stopped.len(), "list of stopped orders signed");
        let new = CurrentList { stopped: list.stopped.into_iter().collect(), numbered };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(new);
        if let Some(node) = self.node.get() {
            node.pass_on_stops();
        }
        self.wake_ups.wake_all();
        Ok(())
    }
    /// Returns the newest list.
    pub(crate) fn newest(&self) -> Option<NumberedStops> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|current| current.numbered.clone())
    }
    /// Returns the newest list if a machine knows lists, and has an older one.
    pub(crate) fn newer_than(&self, known: Option<u64>) -> Option<Signed<StopList>> {
        let newest = self.newest().filter(|newest| known.is_some_and(|known| newest.number > known))?;
        Some(Signed::clone(&newest.list))
    }
    /// Returns whether an order is stopped.
    pub(crate) fn is_stopped(&self, order: OrderId) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_some_and(|current| current.stopped.contains(&order))
    }
}
