//! The state machine: routes each input to its order and stripe. It also holds the state that spans orders: upload
//! slots, one install at a time, and whether forwarding is allowed.

use crate::{
    config::Config,
    context::{Context, End, Out},
    io::{Action, Input, Link, Now, StripeId},
    order::Order,
    order_state::Life,
    schedule_gates::Gates,
    upload_slots::Serving,
};
use banyan_proto::{MachineId, OrderId, Reason};
use std::{collections::BTreeMap, time::Duration};

/// If the driver wakes the state machine later than this, the machine itself was not running (a suspended laptop, a
/// starved process). Other machines are then not blamed for the time.
const OVERSLEPT: Duration = Duration::from_millis(500);
/// The extra time granted on top: signs of life may still be queued in the driver.
const GRACE: Duration = Duration::from_secs(1);

/// The decisions of one machine (agent or server).
#[derive(Debug)]
pub struct Machine {
    pub(crate) config: Config,
    pub(crate) now: Now,
    pub(crate) out: Out,
    pub(crate) orders: BTreeMap<OrderId, Order>,
    pub(crate) serving: Serving,
    pub(crate) may_forward: Result<(), Reason>,
    /// The gates of every order for which the schedule set one, known or not.
    pub(crate) gates: BTreeMap<OrderId, Gates>,
}

impl Machine {
    /// Returns a state machine without orders. It may forward until an input forbids it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let may_forward = if config.max_children == 0 { Err(Reason::MayNotForward) } else { Ok(()) };
        let out = Out::new(config.seed);
        let (orders, gates) = (BTreeMap::new(), BTreeMap::new());
        Self { config, now: Now::ZERO, out, orders, serving: Serving::default(), may_forward, gates }
    }
    /// Processes an input. `now` must not go backwards; if it does, the time is taken as unchanged.
    pub fn handle(&mut self, now: Now, input: Input) {
        let now = now.max(self.now);
        let late = self.next_wake().map_or(Duration::ZERO, |wake| now.saturating_sub(wake));
        self.now = now;
        if late > OVERSLEPT {
            self.orders.values_mut().for_each(|order| order.slept(late + GRACE));
        }
        self.take(input);
        self.run();
    }
    /// Returns the next action. Carry out actions in this order until there are none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }
    /// Returns when [`Input::Tick`] is due at the latest if nothing else happens first. `None`: nothing is pending.
    #[must_use]
    pub fn next_wake(&self) -> Option<Now> {
        self.orders.values().filter_map(|order| order.wake(self.now, &self.config.timings)).min()
    }
    pub(crate) fn split(&mut self) -> (Context<'_>, &mut BTreeMap<OrderId, Order>, &mut Serving) {
        let ctx = Context { now: self.now, config: &self.config, out: &mut self.out };
        (ctx, &mut self.orders, &mut self.serving)
    }
    /// Returns the order that a known link belongs to.
    fn at(&mut self, link: Link) -> Option<(Context<'_>, &mut Order, End)> {
        let end = *self.out.links.get(&link)?;
        let (ctx, orders, _) = self.split();
        Some((ctx, orders.get_mut(&end.stripe.order)?, end))
    }
    fn take(&mut self, input: Input) {
        match input {
            Input::Plant(offer) => self.without_link(offer, Life::Root),
            Input::Restored(offer) => self.without_link(offer, Life::Receiving),
            Input::Offered { link, sender, offer } => self.offered(link, sender, offer),
            Input::Pulled { link, peer, stripe, from, ancestor } => {
                self.pulled(End { peer, stripe }, link, from, ancestor);
            }
            Input::Lost(link, reason) => self.lost(link, reason),
            Input::MayForward(may) => self.set_may_forward(may),
            Input::MayReceive(order, may) => self.set_may_receive(order, may),
            Input::MayInstall(order, may) => self.set_may_install(order, may),
            Input::TakesSlowly(slowly) => self.out.takes_slowly = slowly,
            Input::Dropped(order, reason) => self.dropped(order, reason),
            Input::Stored { link, stripe, held } => {
                let (mut ctx, orders, _) = self.split();
                if let Some(order) = orders.get_mut(&stripe.order) {
                    order.stored(&mut ctx, link, stripe.stripe, held);
                }
            }
            Input::Sent(link) => {
                let (mut ctx, _, serving) = self.split();
                serving.sent(&mut ctx, link);
            }
            Input::Connected(link)
            | Input::OfferAnswered(link, _)
            | Input::PartsAccepted(link)
            | Input::PullAnswered(link, _)
            | Input::BadChunk(link, _)
            | Input::Heartbeat(link, _)
            | Input::Alive(link) => self.heard(link, input),
            Input::ArtifactVerified(id)
            | Input::ArtifactDamaged(id, _)
            | Input::Receipted(id)
            | Input::ReceiptRefused(id, _)
            | Input::InstallPermit(id)
            | Input::Later(id, _)
            | Input::InstallEnded(id, _) => self.answered(id, input),
            Input::Tick => {}
        }
    }
    /// Routes an event that arrived over a link.
    fn heard(&mut self, link: Link, input: Input) {
        let Some((mut ctx, order, end)) = self.at(link) else { return };
        if let Input::BadChunk(_, index) = input {
            return order.bad_chunk(&mut ctx, link, end, index);
        }
        let Some(stripe) = order.stripe_mut(end.stripe.stripe) else { return };
        match input {
            Input::Connected(_) => stripe.connected(&mut ctx, link),
            Input::PullAnswered(_, reply) => stripe.source_mut().answered(&mut ctx, link, &reply),
            Input::Heartbeat(_, watermark) => stripe.source_mut().heartbeat(&mut ctx, link, watermark),
            Input::Alive(_) => stripe.source_mut().alive(&mut ctx, link, |_| {}),
            Input::OfferAnswered(_, reply) => {
                stripe.handing_mut().into_iter().for_each(|handing| handing.answered(&mut ctx, link, &reply));
            }
            Input::PartsAccepted(_) => {
                stripe.handing_mut().into_iter().for_each(|handing| handing.parts_accepted(link));
            }
            _ => {}
        }
    }
    /// Routes the driver's answer to a request about an order.
    fn answered(&mut self, id: OrderId, input: Input) {
        let (mut ctx, orders, _) = self.split();
        let Some(order) = orders.get_mut(&id) else { return };
        match input {
            Input::ArtifactVerified(_) => order.verified(&mut ctx),
            Input::ArtifactDamaged(_, held) => order.damaged(&mut ctx, &held),
            Input::Receipted(_) => order.receipted(&mut ctx),
            Input::ReceiptRefused(_, reason) => order.ended(Err(reason)),
            Input::InstallPermit(_) => order.install_permit(ctx.now),
            Input::Later(_, reason) => order.later(&mut ctx, reason),
            Input::InstallEnded(_, outcome) => {
                order.ended(outcome);
                // After a restart the outcome follows the restored offers, so an artifact installed earlier need not be
                // hashed.
                ctx.out.actions.retain(|action| *action != Action::VerifyArtifact(id));
            }
            _ => {}
        }
    }
    fn lost(&mut self, link: Link, reason: Reason) {
        let Some(end) = self.out.links.remove(&link) else { return };
        let (mut ctx, orders, serving) = self.split();
        serving.gone(link);
        if let Some(order) = orders.get_mut(&end.stripe.order) {
            order.gone(&mut ctx, link, end.stripe.stripe, reason);
        }
    }
    fn set_may_forward(&mut self, may: Result<(), Reason>) {
        if self.config.me == self.config.server || (self.config.max_children == 0 && may.is_ok()) {
            return;
        }
        self.may_forward = may;
        if let Err(reason) = may {
            let (mut ctx, _, serving) = self.split();
            serving.stop(&mut ctx, reason);
        }
    }
    fn set_may_receive(&mut self, id: OrderId, may: Result<(), Reason>) {
        self.gates.entry(id).or_insert(Gates::OPEN).receive = may;
        let (mut ctx, orders, serving) = self.split();
        let Some(order) = orders.get_mut(&id) else { return };
        order.set_may_receive(&mut ctx, may);
        if let Err(reason) = may
            && !order.is_whole()
        {
            // Peers waiting here for chunks that will not arrive would starve; a refusal makes them look elsewhere.
            serving.stop_waiting(&mut ctx, id, reason);
        }
    }
    fn set_may_install(&mut self, id: OrderId, may: Result<(), Reason>) {
        self.gates.entry(id).or_insert(Gates::OPEN).install = may;
        let (mut ctx, orders, _) = self.split();
        if let Some(order) = orders.get_mut(&id) {
            order.set_may_install(&mut ctx, may);
        }
    }
    fn dropped(&mut self, id: OrderId, reason: Reason) {
        self.gates.remove(&id);
        let (mut ctx, orders, _) = self.split();
        if orders.remove(&id).is_some() {
            let of_order = |(link, end): (&Link, &End)| (end.stripe.order == id).then_some(*link);
            let links: Vec<Link> = ctx.out.links.iter().filter_map(of_order).collect();
            links.into_iter().for_each(|link| ctx.close(link, reason));
        }
    }
    /// Runs all timers; afterwards everything that can be done now is done.
    fn run(&mut self) {
        let (mut ctx, orders, serving) = self.split();
        for order in orders.values_mut() {
            order.run(&mut ctx);
        }
        for (link, end) in std::mem::take(&mut ctx.out.closed) {
            serving.gone(link);
            if let Some(stripe) =
                orders.get_mut(&end.stripe.order).and_then(|order| order.stripe_mut(end.stripe.stripe))
            {
                stripe.forget(link);
            }
        }
        serving.run(&mut ctx);
        self.install();
    }
    /// Starts the next install: one at a time, the longest waiting order first.
    fn install(&mut self) {
        let (mut ctx, orders, _) = self.split();
        while orders.values().all(|order| !matches!(order.life(), Life::Installing(_)))
            && let Some((_, next)) = orders
                .values_mut()
                .filter_map(|order| match order.life() {
                    Life::Ready(since, _) => Some((*since, order)),
                    _ => None,
                })
                .min_by_key(|(since, _)| *since)
        {
            next.turn(&mut ctx);
        }
    }
    /// Returns the machine that currently sends this stripe.
    #[must_use]
    pub fn source(&self, stripe: StripeId) -> Option<MachineId> {
        self.orders.get(&stripe.order)?.stripe(stripe.stripe)?.source().feeder()
    }
    /// Returns the orders for which every stripe has been offered: a check-in reports these as known. For all others
    /// the server must still be asked for help.
    pub fn known(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.orders.iter().filter(|(_, order)| order.has_every_offer()).map(|(id, _)| *id)
    }
    /// Returns how many pulls are being served, and how many are queued.
    #[must_use]
    pub fn serving(&self) -> (usize, usize) {
        (self.serving.active(), self.serving.waiting())
    }
}
