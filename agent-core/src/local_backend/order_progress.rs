//! How far an order's content has come, and between which machines it was transferred.

use super::speed_meter::SpeedMeters;
use crate::pipeline::active_order::{ActiveOrder, Transfer};
use banyan_proto::{
    MachineId,
    local::{Partner, Progress},
};
use std::{cmp::Reverse, time::Duration};

/// A partner is shown as transferring for this long after the last bytes.
const SHOWN_AS_TRANSFERRING: Duration = Duration::from_secs(2);

/// Display names of machines. Offers carry no labels of other machines, so those are shown by their first digits.
pub(super) struct MachineLabels {
    pub(super) server: Option<MachineId>,
}

impl MachineLabels {
    fn label(&self, machine: MachineId) -> String {
        if Some(machine) == self.server { "server".to_owned() } else { machine.short() }
    }
    fn to_partner(&self, transfer: Transfer) -> Partner {
        Partner {
            machine: transfer.machine,
            label: self.label(transfer.machine),
            bytes: transfer.bytes,
            now: transfer.last.is_some_and(|at| at.elapsed() < SHOWN_AS_TRANSFERRING),
        }
    }
    /// Returns the partners of these transfers, the largest first.
    fn to_partners(&self, transfers: Vec<Transfer>) -> Vec<Partner> {
        let mut partners: Vec<Partner> = transfers.into_iter().map(|transfer| self.to_partner(transfer)).collect();
        partners.sort_by_key(|partner| (Reverse(partner.bytes), partner.machine));
        partners
    }
}

/// Returns the progress of one order.
pub(super) fn progress(active: &ActiveOrder, meters: &SpeedMeters, labels: &MachineLabels) -> Progress {
    let (here, passed_on) = (received_bytes(active), active.content.served());
    let speeds = meters.measure(active.order.id, here, passed_on);
    Progress {
        held: here,
        of: active.content.artifact().size,
        down: speeds.download,
        up: speeds.upload,
        passed_on,
        from: labels.to_partners(active.received_from()),
        to: labels.to_partners(active.sent_to()),
    }
}

/// Returns how much of an order's content is here (bytes).
fn received_bytes(active: &ActiveOrder) -> u64 {
    let content = &active.content;
    let artifact = content.artifact();
    let bytes_of_stripe = |stripe: u8| -> u64 {
        let chunks = content.held(stripe).unwrap_or(0);
        let full = u64::from(chunks) * u64::from(artifact.chunk_size);
        // The file's last chunk may be shorter.
        let last = artifact.chunk_count().saturating_sub(1);
        let has_last = chunks > 0 && content.index(stripe, chunks - 1) == last;
        full - if has_last { u64::from(artifact.chunk_size - artifact.chunk_len(last)) } else { 0 }
    };
    (0..content.stripes()).map(bytes_of_stripe).sum()
}
