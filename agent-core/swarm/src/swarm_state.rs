//! The state machine: routes each input to its order and stripe. It also holds the state that spans orders: upload
//! slots, one install at a time, and whether forwarding is allowed.

use crate::{
    config::Config,
    context::{Context, Effects, LinkInfo},
    io::{Action, Input, InstallLane, Link, LinkInput, Now, OrderInput, OrderTask},
    order::Order,
    order_state::OrderState,
    schedule_gates::ScheduleGates,
    stripe::Stripe,
    upload_slots::UploadSlots,
};
use banyan_proto::{OrderId, Reason};
use std::{collections::BTreeMap, time::Duration};

/// If the driver wakes the state machine later than this, the machine itself was not running (a suspended laptop, a
/// starved process). Other machines are then not blamed for the time.
const OVERSLEPT: Duration = Duration::from_millis(500);
/// The extra time granted on top: signs of life may still be queued in the driver.
const GRACE: Duration = Duration::from_secs(1);

/// The decisions of one machine (agent or server).
#[derive(Debug)]
pub struct SwarmState {
    pub(crate) config: Config,
    pub(crate) now: Now,
    pub(crate) effects: Effects,
    pub(crate) orders: BTreeMap<OrderId, Order>,
    pub(crate) upload_slots: UploadSlots,
    pub(crate) may_forward: Result<(), Reason>,
    /// The gates of every order for which the schedule set one, known or not.
    pub(crate) gates: BTreeMap<OrderId, ScheduleGates>,
}

impl SwarmState {
    /// Returns a state machine without orders. It may forward until an input forbids it.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let may_forward = if config.max_children == 0 { Err(Reason::MayNotForward) } else { Ok(()) };
        Self {
            effects: Effects::new(config.seed),
            config,
            now: Now::ZERO,
            orders: BTreeMap::new(),
            upload_slots: UploadSlots::default(),
            may_forward,
            gates: BTreeMap::new(),
        }
    }
    /// Processes an input. `now` must not go backwards; if it does, the time is taken as unchanged.
    pub fn handle(&mut self, now: Now, input: impl Into<Input>) {
        let now = now.max(self.now);
        let late = self.next_wake().map_or(Duration::ZERO, |wake| now.saturating_sub(wake));
        self.now = now;
        if late > OVERSLEPT {
            self.orders.values_mut().for_each(|order| order.extend_deadlines(late + GRACE));
        }
        self.on_input(input.into());
        self.run();
    }
    /// Returns the next action. Carry out actions in this order until there are none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.effects.actions.pop_front()
    }
    /// Returns when [`Input::Tick`] is due at the latest if nothing else happens first. `None`: nothing is pending.
    #[must_use]
    pub fn next_wake(&self) -> Option<Now> {
        self.orders.values().filter_map(|order| order.next_wake(self.now, &self.config.timings)).min()
    }
    pub(crate) fn split(&mut self) -> (Context<'_>, &mut BTreeMap<OrderId, Order>, &mut UploadSlots) {
        let ctx = Context { now: self.now, config: &self.config, effects: &mut self.effects };
        (ctx, &mut self.orders, &mut self.upload_slots)
    }
    fn on_input(&mut self, input: Input) {
        match input {
            Input::Link(input) => self.on_link_input(input),
            Input::Order(input) => self.on_order_input(input),
            Input::MayForward(may) => self.set_may_forward(may),
            Input::ReceivesSlowly(slowly) => self.effects.receives_slowly = slowly,
            Input::Tick => {}
        }
    }
    fn on_link_input(&mut self, input: LinkInput) {
        match input {
            LinkInput::Offered { link, sender, offer } => self.on_offer(link, sender, offer),
            LinkInput::Connected(link) => self.with_stripe(link, |ctx, stripe| stripe.on_connected(ctx, link)),
            LinkInput::OfferAnswered(link, reply) => self.with_stripe(link, |ctx, stripe| {
                stripe.delegation_mut().into_iter().for_each(|parts| parts.on_offer_answer(ctx, link, &reply));
            }),
            LinkInput::PartsAccepted(link) => self.with_stripe(link, |_, stripe| {
                stripe.delegation_mut().into_iter().for_each(|parts| parts.on_parts_accepted(link));
            }),
            LinkInput::PullAnswered(link, reply) => {
                self.with_stripe(link, |ctx, stripe| stripe.source_mut().on_pull_answer(ctx, link, &reply));
            }
            LinkInput::Stored { link, stripe, held } => {
                self.with_order(stripe.order, |ctx, order| order.on_stored(ctx, link, stripe.stripe, held));
            }
            LinkInput::NotStored { link, reason, detail } => {
                if let Some((mut ctx, order, info)) = self.order_of_link(link) {
                    order.on_not_stored(&mut ctx, link, info.stripe.stripe, reason, detail);
                }
            }
            LinkInput::BadChunk(link, index) => {
                if let Some((mut ctx, order, info)) = self.order_of_link(link) {
                    order.on_bad_chunk(&mut ctx, link, info, index);
                }
            }
            LinkInput::Heartbeat(link, heartbeat) => {
                self.with_stripe(link, |ctx, stripe| stripe.source_mut().on_heartbeat(ctx, link, &heartbeat));
            }
            LinkInput::Alive(link) => {
                self.with_stripe(link, |ctx, stripe| {
                    let now = ctx.now;
                    stripe.source_mut().record_alive(ctx, link, |source| source.record_content(now));
                });
            }
            LinkInput::Sent(link) => {
                let (mut ctx, _, upload_slots) = self.split();
                upload_slots.on_sent(&mut ctx, link);
            }
            LinkInput::Pulled { link, peer, stripe, from, may_wait } => {
                self.on_pull(LinkInfo { peer, stripe }, link, from, may_wait);
            }
            LinkInput::Lost(link, reason) => self.on_link_lost(link, reason),
        }
    }
    fn on_order_input(&mut self, input: OrderInput) {
        match input {
            OrderInput::StartRoot(offer) => self.accept_without_link(offer, OrderState::Root),
            OrderInput::Restored(offer) => self.accept_without_link(offer, OrderState::Receiving),
            OrderInput::ArtifactVerified(id) => self.with_order(id, |ctx, order| order.on_artifact_verified(ctx)),
            OrderInput::ArtifactDamaged(id, held) => {
                self.with_order(id, |ctx, order| order.on_artifact_damaged(ctx, &held));
            }
            OrderInput::Receipted(id) => self.with_order(id, |ctx, order| order.on_receipt(ctx)),
            OrderInput::ReceiptRefused(id, reason) => self.with_order(id, |_, order| order.finish(Err(reason))),
            OrderInput::Sources(id, machines) => self.with_order(id.order, |_, order| {
                if let Some(stripe) = order.stripe_mut(id.stripe) {
                    stripe.source_mut().on_sources(machines);
                }
            }),
            OrderInput::FlowsAnswered(id, changes) => {
                self.with_order(id, |ctx, order| order.on_flows_answered(ctx, changes));
            }
            OrderInput::InstallPermit(id, lane) => {
                self.with_order(id, |ctx, order| order.on_install_permit(ctx.now, lane));
            }
            OrderInput::RetryLater(id, reason, detail) => {
                self.with_order(id, |ctx, order| order.on_retry_later(ctx, reason, detail));
            }
            OrderInput::PlaceFree(id) => self.with_order(id, |ctx, order| order.on_place_free(ctx)),
            OrderInput::InstallEnded(id, outcome) => self.with_order(id, |ctx, order| {
                order.finish(outcome);
                // After a restart the outcome follows the restored offers, so an artifact installed earlier need not be
                // hashed.
                ctx.effects.actions.retain(|action| *action != Action::Run(id, OrderTask::VerifyArtifact));
            }),
            OrderInput::Dropped(order, reason) => self.drop_order(order, reason),
            OrderInput::MayReceive(order, may) => self.set_may_receive(order, may),
            OrderInput::MayInstall(order, may) => self.set_may_install(order, may),
        }
    }
    /// Returns the order that a known link belongs to.
    fn order_of_link(&mut self, link: Link) -> Option<(Context<'_>, &mut Order, LinkInfo)> {
        let info = *self.effects.links.get(&link)?;
        let (ctx, orders, _) = self.split();
        Some((ctx, orders.get_mut(&info.stripe.order)?, info))
    }
    /// Updates the stripe that a known link belongs to.
    fn with_stripe(&mut self, link: Link, update: impl FnOnce(&mut Context<'_>, &mut Stripe)) {
        if let Some((mut ctx, order, info)) = self.order_of_link(link)
            && let Some(stripe) = order.stripe_mut(info.stripe.stripe)
        {
            update(&mut ctx, stripe);
        }
    }
    /// Updates an order, if it is known.
    fn with_order(&mut self, id: OrderId, update: impl FnOnce(&mut Context<'_>, &mut Order)) {
        let (mut ctx, orders, _) = self.split();
        if let Some(order) = orders.get_mut(&id) {
            update(&mut ctx, order);
        }
    }
    fn on_link_lost(&mut self, link: Link, reason: Reason) {
        let Some(info) = self.effects.links.remove(&link) else { return };
        self.upload_slots.remove_link(link);
        self.with_order(info.stripe.order, |ctx, order| order.on_link_lost(ctx, link, info.stripe.stripe, reason));
    }
    fn set_may_forward(&mut self, may: Result<(), Reason>) {
        if self.config.me == self.config.server || (self.config.max_children == 0 && may.is_ok()) {
            return;
        }
        self.may_forward = may;
        if let Err(reason) = may {
            let (mut ctx, _, upload_slots) = self.split();
            upload_slots.refuse_all(&mut ctx, reason);
        }
    }
    fn set_may_receive(&mut self, id: OrderId, may: Result<(), Reason>) {
        self.gates.entry(id).or_insert(ScheduleGates::OPEN).receive = may;
        let (mut ctx, orders, upload_slots) = self.split();
        let Some(order) = orders.get_mut(&id) else { return };
        order.set_may_receive(&mut ctx, may);
        if let Err(reason) = may
            && !order.is_complete()
        {
            // Peers waiting here for chunks that will not arrive would starve; a refusal makes them look elsewhere.
            upload_slots.refuse_waiting(&mut ctx, id, reason);
        }
    }
    fn set_may_install(&mut self, id: OrderId, may: Result<(), Reason>) {
        self.gates.entry(id).or_insert(ScheduleGates::OPEN).install = may;
        self.with_order(id, |ctx, order| order.set_may_install(ctx, may));
    }
    fn drop_order(&mut self, id: OrderId, reason: Reason) {
        self.gates.remove(&id);
        let (mut ctx, orders, _) = self.split();
        if orders.remove(&id).is_some() {
            let of_order = |(link, info): (&Link, &LinkInfo)| (info.stripe.order == id).then_some(*link);
            let links: Vec<Link> = ctx.effects.links.iter().filter_map(of_order).collect();
            links.into_iter().for_each(|link| ctx.close(link, reason));
        }
    }
    /// Runs all timers; afterwards everything that can be done now is done.
    fn run(&mut self) {
        let (mut ctx, orders, upload_slots) = self.split();
        for order in orders.values_mut() {
            order.run(&mut ctx);
        }
        for (link, info) in std::mem::take(&mut ctx.effects.closed) {
            upload_slots.remove_link(link);
            if let Some(stripe) =
                orders.get_mut(&info.stripe.order).and_then(|order| order.stripe_mut(info.stripe.stripe))
            {
                stripe.forget_link(link);
            }
        }
        upload_slots.run(&mut ctx);
        for lane in [InstallLane::Own, InstallLane::System] {
            self.start_next_install(lane);
        }
    }
    /// Starts the next install of a lane: one at a time, the longest waiting order first.
    fn start_next_install(&mut self, lane: InstallLane) {
        let (mut ctx, orders, _) = self.split();
        let is_installing = |order: &Order| matches!(order.state(), OrderState::Installing(_)) && order.lane() == lane;
        while !orders.values().any(is_installing)
            && let Some((_, next)) = orders
                .values_mut()
                .filter(|order| order.lane() == lane)
                .filter_map(|order| order.state().ready_since().map(|since| (since, order)))
                .min_by_key(|(since, _)| *since)
        {
            next.start_install(&mut ctx);
        }
    }
}
