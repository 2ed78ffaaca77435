//! Stops and resumes orders by the server's list of stopped orders (rule A14).
//!
//! A stopped order keeps its content and its place. The state machine forgets it, which ends its offers and transfers, as
//! at a restart of the agent. To resume, the state machine takes it up again, as after a restart.

use super::Agent;
use banyan_proto::{OrderId, Reason, Signed, StopList, api::Event};
use banyan_swarm::io::OrderInput;
use tracing::{info, warn};

impl Agent {
    /// Takes a list of stopped orders, from the server or a peer, passes it on, and acts on it. An installation that runs is
    /// completed.
    pub(crate) fn apply_stops(&self, list: Signed<StopList>) {
        let epoch_before = self.identity.epoch.highest();
        let accepted = self.identity.accept_stops(list);
        self.end_orders_of_earlier_epochs(epoch_before);
        let changes = match accepted {
            Ok(Some(changes)) => changes,
            Ok(None) => return,
            Err(error) => return warn!("list of stopped orders refused: {error}"),
        };
        // Before the links of stopped orders are closed.
        if let Some(node) = self.node.get() {
            node.pass_on_stops();
        }
        changes.stopped.into_iter().for_each(|order| self.stop_order(order));
        changes.resumed.into_iter().for_each(|order| self.resume_stopped_order(order));
        self.notifier.notify_scheduler();
    }

    fn stop_order(&self, id: OrderId) {
        if self.orders.get(id).is_none() {
            return;
        }
        info!(order = %id, "order stopped by an administrator");
        // Without its permit, an installation that has not begun cannot begin.
        drop(self.stages.install.take_permitted(id));
        if let Some(node) = self.node.get() {
            node.input(OrderInput::Dropped(id, Reason::Halted));
        }
        let notes = self.user.history.notes(id);
        if notes.outcome.is_none() && !notes.is_installing {
            self.report(id, Event::Waits { reason: Reason::Halted, detail: String::new() });
        }
    }

    fn resume_stopped_order(&self, id: OrderId) {
        let (Some(active), Some(node)) = (self.orders.get(id), self.node.get()) else { return };
        info!(order = %id, "order resumed by an administrator");
        match self.database.load_order(id) {
            Ok(Some(record)) => {
                // The state machine has forgotten what it was told of the order.
                self.gates.forget(id);
                self.resume_order(&active, &record, &self.gates.schedule.inputs(), node);
            }
            Ok(None) => {}
            Err(error) => warn!(order = %id, "the order goes on after a restart of the agent: {error}"),
        }
    }
}
