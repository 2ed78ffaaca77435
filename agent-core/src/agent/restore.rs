//! Handles a higher server epoch, which means that the server was restored from a backup (rule O2).

use super::Agent;
use crate::{identity::epoch::EpochError, refusal::refusal};
use banyan_proto::{Reason, ServerEpoch, Signed};
use tracing::warn;

impl Agent {
    /// Takes the epoch that the server reported at a check-in.
    pub(super) fn apply_epoch(&self, signed: &Signed<ServerEpoch>) {
        let reported = match signed.verify(&self.identity.keys) {
            Ok(reported) if reported.server == self.identity.server => reported,
            Ok(_) => return warn!("epoch of another server refused"),
            Err(error) => return warn!(%error, "server epoch refused"),
        };
        let before = self.identity.epoch.highest();
        match self.identity.epoch.check(reported.epoch) {
            Ok(()) => self.end_orders_of_earlier_epochs(before),
            Err(error @ EpochError::Lower { .. }) => {
                let detail = format!("the server's epoch was refused: {error}");
                self.server.contact.record_refusal(&refusal(Reason::EpochBack, detail));
            }
            Err(EpochError::Database(error)) => warn!(%error, "failed to store a higher epoch"),
        }
    }
}
