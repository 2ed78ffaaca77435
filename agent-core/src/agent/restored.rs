//! The server was restored from a backup: what this machine does when it learns of a higher epoch (rule O2).

use super::Agent;
use crate::{epoch::EpochError, orders::lock, server_api::CallError};
use banyan_machine::io::Input;
use banyan_proto::{Reason, ServerEpoch, Signed, api::ApiError};
use tracing::warn;

impl Agent {
    /// The server has said its epoch, at a check-in.
    pub(crate) fn hear_epoch(&self, signed: &Signed<ServerEpoch>) {
        let said = match signed.verify(&self.offers.keys) {
            Ok(said) if said.server == self.offers.server => said,
            Ok(_) => return warn!("the epoch of another server was said"),
            Err(error) => return warn!(%error, "the server's epoch is not believed"),
        };
        let before = self.offers.epoch.seen();
        match self.offers.epoch.check(said.epoch) {
            Ok(()) => self.end_orders_below(before),
            Err(error @ EpochError::Back { .. }) => {
                let detail = format!("the server's word is not believed: {error}");
                self.not_heard(&CallError::Refused(ApiError { reason: Reason::EpochBack, detail }));
            }
            Err(EpochError::State(error)) => warn!(%error, "a higher epoch could not be written down"),
        }
    }

    /// If this machine has learnt of a higher epoch than the one `before`, orders of a lower one end.
    /// Their content stays until an order of the same artifact has used it, or its time is over.
    pub(super) fn end_orders_below(&self, before: u64) {
        let seen = self.offers.epoch.seen();
        if seen == before {
            return;
        }
        for id in self.orders.below(seen) {
            lock(&self.leaves).remove(&id);
            if let Some(node) = self.node.get() {
                node.input(Input::Dropped(id, Reason::EpochBack));
            }
            let ended = self.state.update_order(id, |record| {
                record.ended.get_or_insert(Err(Reason::EpochBack));
            });
            if let Err(error) = ended {
                warn!(%error, "the end of an order could not be written down; it is found out again after a restart");
            }
        }
    }
}
