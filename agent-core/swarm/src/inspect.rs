//! Read access to the state machine for tests and simulations. Programs never call these functions.

use crate::{io::StripeId, swarm_state::SwarmState};
use banyan_proto::{MachineId, OrderId};

impl SwarmState {
    /// Returns the machine that currently sends this stripe.
    #[must_use]
    pub fn source(&self, stripe: StripeId) -> Option<MachineId> {
        self.orders.get(&stripe.order)?.stripe(stripe.stripe)?.source().current_peer()
    }
    /// Returns the orders for which every stripe has been offered.
    pub fn complete_offers(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.orders.iter().filter(|(_, order)| order.has_every_offer()).map(|(id, _)| *id)
    }
    /// Returns how many pulls are being served.
    #[must_use]
    pub fn served_pulls(&self) -> usize {
        self.upload_slots.served_count()
    }
    /// Returns how many pulls are queued.
    #[must_use]
    pub fn queued_pulls(&self) -> usize {
        self.upload_slots.queued_count()
    }
}
