//! Handles a higher server epoch, which means that the server was restored from a backup (rule O2).

use super::Agent;
use crate::{epoch::EpochError, orders::lock, server_api::CallError};
use banyan_proto::{Reason, ServerEpoch, Signed, api::ApiError};
use banyan_swarm::io::OrderInput;
use tracing::warn;

impl Agent {
    /// Takes the epoch that the server reported at a check-in.
    pub(crate) fn hear_epoch(&self, signed: &Signed<ServerEpoch>) {
        let said = match signed.verify(&self.offers.keys) {
            Ok(said) if said.server == self.offers.server => said,
            Ok(_) => return warn!("epoch of another server refused"),
            Err(error) => return warn!(%error, "server epoch refused"),
        };
        let before = self.offers.epoch.seen();
        match self.offers.epoch.check(said.epoch) {
            Ok(()) => self.end_orders_below(before),
            Err(error @ EpochError::Back { .. }) => {
                let detail = format!("the server's epoch was refused: {error}");
                self.not_heard(&CallError::Refused(ApiError { reason: Reason::EpochBack, detail }));
            }
            Err(EpochError::State(error)) => warn!(%error, "failed to store a higher epoch"),
        }
    }

    /// Ends orders of lower epochs if the epoch has risen above `before`. Their content stays until an order of the
    /// same artifact has used it, or until it no longer has to be kept.
    pub(super) fn end_orders_below(&self, before: u64) {
        let seen = self.offers.epoch.seen();
        if seen == before {
            return;
        }
        for id in self.orders.below(seen) {
            lock(&self.leaves).remove(&id);
            if let Some(node) = self.node.get() {
                node.input(OrderInput::Dropped(id, Reason::EpochBack));
            }
            let ended = self.state.update_order(id, |record| {
                record.ended.get_or_insert(Err(Reason::EpochBack));
            });
            if let Err(error) = ended {
                warn!(%error, "failed to record the end of an order; it will be detected again after a restart");
            }
        }
    }
}
