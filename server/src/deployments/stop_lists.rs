//! The list of stopped orders (rule A14): signed anew whenever a deployment is halted or resumed, and told to all machines.
//!
//! The list says what the store says. So a halt is saved first, and a server that is killed in between signs the list when
//! it starts again.

use crate::{
    deployments::order_lifecycle::OrderLifecycle,
    identity::secrets::Secrets,
    net::{peer_node::PeerNode, wake_ups::WakeUps},
    store::{Counter, ServerIdentity, Store, StoreResult},
};
use banyan_proto::{DeploymentId, OrderId, Reason, Signed, StopList, UnixSeconds};
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
    orders: Arc<OrderLifecycle>,
    /// `None` if no order was ever stopped.
    current: RwLock<Option<CurrentList>>,
    /// Held while a list is signed, so that the list with the highest number is the newest.
    signing: tokio::sync::Mutex<()>,
}

impl StopLists {
    /// Signs the first list of this run. There is none if no order was ever stopped.
    pub(crate) async fn open(
        secrets: Arc<Secrets>,
        node: PeerNode,
        wake_ups: Arc<WakeUps>,
        orders: Arc<OrderLifecycle>,
    ) -> StoreResult<Self> {
        let (server, store) = (orders.server, Arc::clone(&orders.store));
        let has_list = store.stop_number().await? > 0 || !store.stopped_orders(UnixSeconds::now()).await?.is_empty();
        let (current, signing) = (RwLock::default(), tokio::sync::Mutex::default());
        let lists = Self { server, store, secrets, node, wake_ups, orders, current, signing };
        if has_list {
            lists.renew().await?;
        }
        Ok(lists)
    }
    /// Stops the orders of a deployment that is halted now. Machines are told first, so that they know why their links to
    /// the server end.
    pub(crate) async fn stop(&self, deployment: DeploymentId) -> StoreResult<()> {
        self.renew().await?;
        for open in self.orders.active.all().iter().filter(|open| open.row.deployment == deployment) {
            self.orders.stop_forwarding(open.id(), Reason::Halted);
        }
        Ok(())
    }
    /// Lets the orders of a deployment that was resumed go on.
    pub(crate) async fn resume(&self, deployment: DeploymentId) -> StoreResult<()> {
        self.renew().await?;
        for open in self.orders.active.all().iter().filter(|open| open.row.deployment == deployment) {
            self.orders.start_forwarding(open);
        }
        Ok(())
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
