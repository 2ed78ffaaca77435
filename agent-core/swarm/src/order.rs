//! One order on this machine: its stripes and its stage, from the first offer to the outcome.

use crate::{
    config::Timings,
    context::{Context, LinkInfo},
    front::Front,
    io::{Action, InstallLane, Link, Now, OrderTask, TrustedOffer},
    order_state::{OrderState, Transition},
    schedule_gates::ScheduleGates,
    source::select_source::BannedPeers,
    stripe::Stripe,
};
use banyan_proto::{
    MachineId, OrderId, Reason,
    api::{Event, Flow, FlowsRequest, SourceChange},
    peer::OfferReply,
};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Order {
    id: OrderId,
    /// One entry for each stripe of the order; `None` until the stripe's offer arrives.
    stripes: Vec<Option<Stripe>>,
    banned: BannedPeers,
    state: OrderState,
    gates: ScheduleGates,
    /// Where it waits for its turn; known once it has an install permit.
    lane: InstallLane,
    /// How far others are.
    front: Front,
    /// The reason for waiting that was last reported.
    reported_wait: Option<Reason>,
    /// When progress was last reported, and how many chunks were held then.
    progress: (Now, u64),
    flows: FlowReports,
}

/// The reports of what arrives, which the server answers.
#[derive(Debug, Default)]
struct FlowReports {
    /// When the next one is due.
    next: Now,
    /// The last one is not answered yet.
    is_pending: bool,
    /// The server knows that everything is here.
    is_final: bool,
}

impl Order {
    /// Creates an order without any stripes.
    pub(crate) fn new(id: OrderId, stripes: u8, state: OrderState, gates: ScheduleGates) -> Self {
        let stripes = (0..stripes).map(|_| None).collect();
        Self {
            id,
            stripes,
            banned: BannedPeers::new(),
            state,
            gates,
            lane: InstallLane::default(),
            front: Front::default(),
            reported_wait: None,
            progress: (Now::ZERO, 0),
            flows: FlowReports::default(),
        }
    }
    pub(crate) fn lane(&self) -> InstallLane {
        self.lane
    }
    pub(crate) fn state(&self) -> &OrderState {
        &self.state
    }
    pub(crate) fn banned(&self) -> &BannedPeers {
        &self.banned
    }
    pub(crate) fn stripe(&self, stripe: u8) -> Option<&Stripe> {
        self.stripes.get(usize::from(stripe))?.as_ref()
    }
    pub(crate) fn stripe_mut(&mut self, stripe: u8) -> Option<&mut Stripe> {
        self.stripes.get_mut(usize::from(stripe))?.as_mut()
    }
    pub(crate) fn stripes(&self) -> impl Iterator<Item = &Stripe> + '_ {
        self.stripes.iter().flatten()
    }
    /// Returns whether an offer of every stripe has arrived.
    pub(crate) fn has_every_offer(&self) -> bool {
        self.stripes.iter().all(Option::is_some)
    }
    /// Returns whether every chunk of every stripe is here.
    pub(crate) fn is_complete(&self) -> bool {
        self.stripes.iter().all(|stripe| stripe.as_ref().is_some_and(|stripe| stripe.source().is_complete()))
    }
    /// Returns whether the offer is consistent with this order.
    pub(crate) fn is_consistent_with(&self, offer: &TrustedOffer) -> bool {
        usize::from(offer.stripes) == self.stripes.len()
            && offer.stripe.stripe < offer.stripes
            && self.stripe(offer.stripe.stripe).is_none_or(|stripe| stripe.source().chunks() == offer.chunks)
    }
    /// Accepts an offer that arrived without a link.
    pub(crate) fn accept_without_link(&mut self, ctx: &mut Context<'_>, offer: TrustedOffer) {
        let Some(slot) = self.stripes.get_mut(usize::from(offer.stripe.stripe)) else { return };
        match slot {
            None => *slot = Some(Stripe::new(ctx, offer, true, self.gates.receive.is_ok())),
            Some(stripe) => stripe.revise(ctx, offer),
        }
    }
    /// Processes an offer that arrived over a link.
    pub(crate) fn on_offer(
        &mut self,
        ctx: &mut Context<'_>,
        link: Link,
        sender: MachineId,
        offer: TrustedOffer,
        may_forward: Result<(), Reason>,
    ) {
        let Some(slot) = self.stripes.get_mut(usize::from(offer.stripe.stripe)) else { return };
        let known = slot.as_ref().map(Stripe::revision);
        if known.is_some_and(|known| offer.revision < known) {
            let detail = "a newer revision of the order's lists has already arrived".to_owned();
            ctx.emit(Action::AnswerOffer(link, OfferReply::Refused { reason: Reason::OrderSuperseded, detail }));
            return;
        }
        let is_new = known.is_none_or(|known| offer.revision > known);
        let stripe = match slot {
            None => {
                let receives = self.gates.receive.is_ok();
                slot.insert(Stripe::new(ctx, offer, may_forward.is_ok() && receives, receives))
            }
            Some(stripe) => {
                stripe.revise(ctx, offer);
                stripe
            }
        };
        stripe.on_offer(ctx, link, sender, self.gates.receive, may_forward, &self.banned);
        if is_new {
            stripe.report_offered(ctx, sender);
            self.report_closed_gate(ctx);
        }
    }
    /// Records a stored chunk.
    pub(crate) fn on_stored(&mut self, ctx: &mut Context<'_>, link: Link, stripe: u8, held: u32) {
        if let Some(stripe) = self.stripe_mut(stripe) {
            stripe.source_mut().on_stored(ctx, link, held);
            if self.state == OrderState::Receiving && self.gates.receive.is_ok() {
                self.reported_wait = None;
            }
            self.report_progress(ctx);
        }
    }
    /// Handles a chunk that this machine could not store: it reports why, and receives nothing for a moment. The sender
    /// is not to blame.
    pub(crate) fn on_not_stored(
        &mut self,
        ctx: &mut Context<'_>,
        link: Link,
        stripe: u8,
        reason: Reason,
        detail: String,
    ) {
        if let Some(stripe) = self.stripe_mut(stripe) {
            stripe.source_mut().pause(ctx, link, reason);
        }
        self.report_waiting(ctx, Some(reason), detail);
    }
    /// Reports progress when at least a tenth more is here than last time, and not more often than the configured
    /// interval.
    fn report_progress(&mut self, ctx: &mut Context<'_>) {
        let sum = |count: fn(&Stripe) -> u32| self.stripes().map(|stripe| u64::from(count(stripe))).sum::<u64>();
        let (held, of) = (sum(|stripe| stripe.source().held()), sum(|stripe| stripe.source().chunks()));
        let (at, before) = self.progress;
        let due = ctx.now.saturating_sub(at) >= ctx.config.timings.progress_interval;
        if self.has_every_offer() && due && held < of && held.saturating_sub(before) >= of.div_ceil(10) {
            self.progress = (ctx.now, held);
            let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            ctx.report(self.id, Event::Progress { held: number(held), of: number(of) });
        }
    }
    /// Handles a chunk that does not match the publisher's hash. The sender is never used again, in any stripe. The
    /// server is the exception, because it cannot be replaced: it is dropped and asked again after a pause.
    pub(crate) fn on_bad_chunk(&mut self, ctx: &mut Context<'_>, link: Link, info: LinkInfo, index: u32) {
        ctx.report(self.id, Event::BadChunk { source: info.peer, index });
        if info.peer == ctx.config.server {
            if let Some(stripe) = self.stripe_mut(info.stripe.stripe) {
                ctx.close(link, Reason::BadChunk);
                stripe.on_link_lost(ctx, link, Reason::BadChunk);
            }
            return;
        }
        self.banned.insert(info.peer);
        for stripe in self.stripes.iter_mut().flatten() {
            stripe.source_mut().ban(ctx, info.peer);
        }
        // This also closes a link that is not the source: nothing from that sender is accepted any more.
        if let Some(stripe) = self.stripe_mut(info.stripe.stripe) {
            ctx.close(link, Reason::BadChunk);
            stripe.on_link_lost(ctx, link, Reason::BadChunk);
        }
    }
    /// Applies that the whole artifact is verified.
    pub(crate) fn on_artifact_verified(&mut self, ctx: &mut Context<'_>) {
        let transition = self.state.on_artifact_verified();
        if transition.task.is_some() {
            self.stripes.iter_mut().flatten().for_each(|stripe| stripe.confirm(ctx));
        }
        self.advance(ctx, transition);
    }
    /// Applies that the artifact on disk is damaged.
    pub(crate) fn on_artifact_damaged(&mut self, ctx: &mut Context<'_>, held: &[u32]) {
        if let Some(state) = self.state.on_artifact_damaged() {
            self.state = state;
            for (at, stripe) in self.stripes.iter_mut().enumerate() {
                let held = held.get(at).copied().unwrap_or(0);
                stripe.iter_mut().for_each(|stripe| stripe.source_mut().lose_chunks(ctx, held));
            }
        }
    }
    /// Applies the server's receipt.
    pub(crate) fn on_receipt(&mut self, ctx: &mut Context<'_>) {
        let transition = self.state.on_receipt();
        if transition.task.is_some() {
            self.reported_wait = None;
            ctx.report(self.id, Event::Authenticated);
        }
        self.advance(ctx, transition);
    }
    /// Applies the install permit.
    pub(crate) fn on_install_permit(&mut self, now: Now, lane: InstallLane) {
        self.lane = lane;
        self.state = self.state.on_install_permit(now);
    }
    /// Opens or closes receiving, as the schedule decides.
    pub(crate) fn set_may_receive(&mut self, ctx: &mut Context<'_>, may: Result<(), Reason>) {
        self.gates.receive = may;
        for stripe in self.stripes.iter_mut().flatten() {
            stripe.source_mut().set_open(ctx, may);
        }
        self.report_closed_gate(ctx);
    }
    /// Opens or closes installing, as the schedule decides.
    pub(crate) fn set_may_install(&mut self, ctx: &mut Context<'_>, may: Result<(), Reason>) {
        self.gates.install = may;
        if may.is_ok() {
            self.advance(ctx, self.state.on_install_opened());
        }
    }
    /// Reports that receiving is closed, or clears the last reported reason.
    fn report_closed_gate(&mut self, ctx: &mut Context<'_>) {
        if self.state == OrderState::Receiving {
            self.report_waiting(ctx, self.gates.receive.err(), String::new());
        }
    }
    /// Reports a reason for waiting, once while it stays the same. The detail says what the reason's text does not.
    fn report_waiting(&mut self, ctx: &mut Context<'_>, reason: Option<Reason>, detail: String) {
        if let Some(reason) = reason.filter(|reason| self.reported_wait != Some(*reason)) {
            ctx.report(self.id, Event::Waits { reason, detail });
        }
        self.reported_wait = reason;
    }
    /// Starts the install, since it is this order's turn.
    pub(crate) fn start_install(&mut self, ctx: &mut Context<'_>) {
        if let Err(reason) = self.gates.install {
            // Installing was closed after the permit was requested; a new one is requested when it opens.
            self.state = OrderState::Closed;
            return self.report_waiting(ctx, Some(reason), String::new());
        }
        self.advance(ctx, self.state.start_install(ctx.now, &ctx.config.timings));
    }
    /// Handles the answer "not now" from the server or the install helper.
    pub(crate) fn on_retry_later(&mut self, ctx: &mut Context<'_>, reason: Reason, detail: String) {
        let Some(state) = self.state.on_retry_later(ctx) else { return };
        self.state = state;
        self.report_waiting(ctx, Some(reason), detail);
    }
    /// Repeats a waiting request for the install permit at once.
    pub(crate) fn on_place_free(&mut self, ctx: &mut Context<'_>) {
        self.advance(ctx, self.state.on_place_free());
    }
    /// Finishes the order; its content is still served.
    pub(crate) fn finish(&mut self, outcome: Result<(), Reason>) {
        self.state = self.state.finish(outcome);
    }
    /// Enters the next state and requests its task. While installing is closed, no install permit is requested.
    fn advance(&mut self, ctx: &mut Context<'_>, transition: Transition) {
        self.state = transition.state;
        let Some(task) = transition.task else { return };
        match task {
            OrderTask::RequestInstallPermit => {
                if let Err(reason) = self.gates.install {
                    self.state = OrderState::Closed;
                    return self.report_waiting(ctx, Some(reason), String::new());
                }
            }
            OrderTask::Install => {
                self.reported_wait = None;
                ctx.report(self.id, Event::Installing);
            }
            OrderTask::VerifyArtifact | OrderTask::RequestReceipt => {}
        }
        ctx.emit(Action::Run(self.id, task));
    }
    /// Handles a closed link.
    pub(crate) fn on_link_lost(&mut self, ctx: &mut Context<'_>, link: Link, stripe: u8, why: Reason) {
        if let Some(stripe) = self.stripe_mut(stripe) {
            stripe.on_link_lost(ctx, link, why);
        }
    }
    /// Finds an alternate source for stripes whose source failed: the failed machine's parent in another stripe. It
    /// must not be below this machine in the affected stripe (it would wait for this machine) or above (it is asked
    /// anyway).
    fn find_alternate_parents(&mut self, me: MachineId, server: MachineId) {
        for at in 0..self.stripes.len() {
            let Some(failed) = self.stripes[at].as_mut().and_then(|stripe| stripe.source_mut().take_failed_source())
            else {
                continue;
            };
            let others = self.stripes.iter().enumerate().filter(|(other, _)| *other != at);
            let parents: Vec<MachineId> = others.filter_map(|(_, stripe)| stripe.as_ref()?.parent_of(failed)).collect();
            let Some(stripe) = &mut self.stripes[at] else { continue };
            let may_help = |id: &MachineId| {
                *id != me
                    && *id != server
                    && stripe.sublist().ids().all(|below| below != *id)
                    && stripe.proof().ancestors().all(|above| above != *id)
            };
            if let Some(alternate_parent) = parents.into_iter().find(may_help) {
                stripe.source_mut().set_alternate_parent(Some(alternate_parent));
            }
        }
    }
    /// Runs the timers, and advances the stage where everything needed is here.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>) {
        self.find_alternate_parents(ctx.config.me, ctx.config.server);
        for stripe in self.stripes.iter_mut().flatten() {
            stripe.run(ctx, &self.banned);
        }
        self.find_alternate_parents(ctx.config.me, ctx.config.server);
        self.find_better_sources(ctx);
        self.report_flows(ctx);
        if self.is_complete() {
            self.advance(ctx, self.state.on_complete());
        }
        self.advance(ctx, self.state.run(ctx.now));
    }
    /// Tells those below where chunks come from and how fast, and asks for better sources of stripes that are held up.
    fn find_better_sources(&mut self, ctx: &mut Context<'_>) {
        if self.state != OrderState::Receiving {
            return;
        }
        let front = self.stripes.iter().flatten().map(|stripe| stripe.source().front()).max().unwrap_or(0);
        let best = self.front.update(ctx.now, front);
        let is_incomplete = |stripe: &&mut Stripe| !stripe.source().is_complete();
        let incomplete = self.stripes.iter_mut().flatten().filter(is_incomplete);
        let mut holdups = incomplete.map(|stripe| stripe.source_mut().lasting_holdup(ctx.now, front, best));
        let in_every_stripe = holdups.all(|holdup| holdup.is_some());
        for stripe in self.stripes.iter_mut().flatten() {
            let source = stripe.source_mut();
            let holdup = source.lasting_holdup(ctx.now, front, best);
            source.state_upstream(ctx, front, holdup);
            source.request_sources(ctx, best, in_every_stripe);
        }
    }
    /// Returns whether the server should hear what arrives. The last report says that everything has arrived.
    fn reports_flows(&self) -> bool {
        let receives = |stripe: &Stripe| stripe.source().current_peer().is_some();
        self.state == OrderState::Receiving && self.gates.receive.is_ok() && self.stripes().any(receives)
            || self.is_complete() && !self.flows.is_final && self.stripes().any(|stripe| stripe.source().has_received())
    }
    /// Reports to the server what arrives, one report at a time.
    fn report_flows(&mut self, ctx: &mut Context<'_>) {
        if self.flows.is_pending || ctx.now < self.flows.next || !self.reports_flows() {
            return;
        }
        let sources = self.stripes.iter_mut().flatten().map(Stripe::source_mut);
        let flows: Vec<Flow> = sources.filter_map(|source| source.take_flow(ctx.now, ctx.config.me)).collect();
        self.flows.is_pending = !flows.is_empty();
        self.flows.is_final = self.is_complete();
        self.flows.next = ctx.now + ctx.config.timings.flow_report;
        if !flows.is_empty() {
            ctx.emit(Action::ReportFlows(FlowsRequest { order: self.id, flows }));
        }
    }
    /// Applies the server's answer to a report.
    pub(crate) fn on_flows_answered(&mut self, ctx: &mut Context<'_>, changes: Vec<SourceChange>) {
        self.flows.is_pending = false;
        for SourceChange { stripe, source } in changes {
            if let Some(stripe) = self.stripe_mut(stripe).filter(|stripe| !stripe.source().is_complete()) {
                stripe.source_mut().on_change(ctx, source);
            }
        }
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn next_wake(&self, now: Now, timings: &Timings) -> Option<Now> {
        let report = (!self.flows.is_pending && self.reports_flows()).then_some(self.flows.next);
        let stripes = self.stripes().filter_map(|stripe| stripe.next_wake(now, timings));
        stripes.chain(self.state.next_wake()).chain(report).min()
    }
    /// Extends all deadlines by the time during which this machine was not running.
    pub(crate) fn extend_deadlines(&mut self, by: Duration) {
        self.stripes.iter_mut().flatten().for_each(|stripe| stripe.extend_deadlines(by));
    }
}
