//! Decides which offers and pulls this machine accepts. Everything else is answered with a reason.

use crate::{
    context::LinkInfo,
    io::{Action, Link, TrustedOffer},
    order::Order,
    order_state::OrderState,
    schedule_gates::ScheduleGates,
    swarm_state::SwarmState,
    upload_slots::{PullRequest, refuse_pull},
};
use banyan_proto::{
    MachineId, OrderId, Reason,
    peer::{OfferReply, PullReply},
};

/// The most orders held at once; further offers are deferred. Finished orders count until they are dropped.
const MAX_ORDERS: usize = 1024;

impl SwarmState {
    pub(crate) fn accept_without_link(&mut self, mut offer: TrustedOffer, state: OrderState) {
        if !self.is_for_me(&offer) || (state == OrderState::Root) != (self.config.me == self.config.server) {
            return;
        }
        if state == OrderState::Root {
            offer.held = offer.chunks;
        }
        let id = offer.stripe.order;
        let gates = self.gates_of(id);
        let (mut ctx, orders, _) = self.split();
        let order = orders.entry(id).or_insert_with(|| Order::new(id, offer.stripes, state, gates));
        if order.is_consistent_with(&offer) {
            order.accept_without_link(&mut ctx, offer);
        }
    }
    fn gates_of(&self, order: OrderId) -> ScheduleGates {
        self.gates.get(&order).copied().unwrap_or(ScheduleGates::OPEN)
    }
    fn is_for_me(&self, offer: &TrustedOffer) -> bool {
        let id = offer.stripe.order;
        offer.sublist.head() == self.config.me
            && offer.stripe.stripe < offer.stripes
            && self.orders.get(&id).is_none_or(|order| order.is_consistent_with(offer))
            && (self.orders.len() < MAX_ORDERS || self.orders.contains_key(&id))
    }
    pub(crate) fn on_offer(&mut self, link: Link, sender: MachineId, offer: TrustedOffer) {
        let stripe = offer.stripe;
        let refuse = |reason, detail: &str| OfferReply::Refused { reason, detail: detail.to_owned() };
        let refusal = if !self.is_free_or(link, LinkInfo { peer: sender, stripe }) {
            Some(refuse(Reason::ProtocolBroken, "a connection carries only one stripe of one order"))
        } else if self.config.me == self.config.server || offer.sublist.head() != self.config.me {
            Some(refuse(Reason::NotAddressed, "this machine is not the head of the offered part of the list"))
        } else if self.orders.len() >= MAX_ORDERS && !self.orders.contains_key(&stripe.order) {
            Some(OfferReply::Deferred { reason: Reason::Busy })
        } else if !self.is_for_me(&offer) {
            Some(refuse(Reason::ProtocolBroken, "the offer's stripes do not match the order"))
        } else {
            None
        };
        if let Some(reply) = refusal {
            return self.effects.actions.push_back(Action::AnswerOffer(link, reply));
        }
        let (may_forward, gates) = (self.may_forward, self.gates_of(stripe.order));
        let (mut ctx, orders, _) = self.split();
        ctx.effects.links.insert(link, LinkInfo { peer: sender, stripe });
        let order = orders
            .entry(stripe.order)
            .or_insert_with(|| Order::new(stripe.order, offer.stripes, OrderState::Receiving, gates));
        order.on_offer(&mut ctx, link, sender, offer, may_forward);
    }
    /// Returns whether the link is new, or already known to lead to `info`. An odd link that is not known was given up
    /// by this machine.
    fn is_free_or(&self, link: Link, info: LinkInfo) -> bool {
        self.effects.links.get(&link).map_or(link.0.is_multiple_of(2), |known| *known == info)
    }
    pub(crate) fn on_pull(&mut self, info: LinkInfo, link: Link, from: u32, may_wait: bool) {
        let source = self
            .orders
            .get(&info.stripe.order)
            .map(|order| order.stripe(info.stripe.stripe).map(|stripe| stripe.source()));
        let held = source.map(|source| source.map(|source| (source.held(), source.chunks())));
        // Machines must not wait for each other in a circle.
        let is_circle = source.flatten().is_some_and(|source| source.comes_through(info.peer));
        // While receiving is closed, peers may not wait here for new chunks; chunks that are here are still served.
        let is_open = self.gates_of(info.stripe.order).receive.is_ok();
        let may_wait =
            may_wait && !is_circle && (is_open || held.flatten().is_some_and(|(held, chunks)| held == chunks));
        let refused = |reason| Some(PullReply::Refused { reason });
        let refusal = match (held, self.may_forward) {
            _ if !self.is_free_or(link, info) => refused(Reason::ProtocolBroken),
            (None, _) => refused(Reason::OrderExpired),
            (_, Err(reason)) => refused(reason),
            // The order is known, but this stripe's offer has not arrived yet.
            (Some(None), Ok(())) => Some(PullReply::NotHere),
            (Some(Some((_, chunks))), Ok(())) if from > chunks => refused(Reason::ProtocolBroken),
            (Some(Some((held, _))), Ok(())) if !may_wait && held <= from => Some(PullReply::NotHere),
            (Some(Some(_)), Ok(())) => None,
        };
        let (mut ctx, orders, upload_slots) = self.split();
        match refusal {
            Some(reply) => refuse_pull(&mut ctx, link, reply),
            None => {
                ctx.effects.links.insert(link, info);
                upload_slots.enqueue(&mut ctx, link, PullRequest { info, from, wait: may_wait });
                let stripe = orders.get_mut(&info.stripe.order).and_then(|order| order.stripe_mut(info.stripe.stripe));
                if let Some(delegation) = stripe.and_then(|stripe| stripe.delegation_mut()) {
                    delegation.on_pull(&mut ctx, link, info.peer);
                }
            }
        }
    }
}
