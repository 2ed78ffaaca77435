//! One order on this machine: its stripes and its stage, from the first offer to the outcome.

use crate::{
    config::Timings,
    context::{Context, End},
    io::{Action, Link, Now, TrustedOffer},
    order_state::{Ask, Life},
    schedule_gates::Gates,
    source::select_source::Banned,
    stripe::Stripe,
};
use banyan_proto::{MachineId, OrderId, Reason, api::Event, peer::OfferReply};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Order {
    id: OrderId,
    /// One entry for each stripe of the order; `None` until the stripe's offer arrives.
    stripes: Vec<Option<Stripe>>,
    banned: Banned,
    life: Life,
    gates: Gates,
    /// The reason for waiting that was last reported.
    waits: Option<Reason>,
    /// When progress was last reported, and how many chunks were held then.
    progress: (Now, u64),
}

impl Order {
    /// Creates an order without any stripes.
    pub(crate) fn new(id: OrderId, stripes: u8, life: Life, gates: Gates) -> Self {
        let stripes = (0..stripes).map(|_| None).collect();
        Self { id, stripes, banned: Banned::new(), life, gates, waits: None, progress: (Now::ZERO, 0) }
    }
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }
    pub(crate) fn banned(&self) -> &Banned {
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
    pub(crate) fn is_whole(&self) -> bool {
        self.stripes.iter().all(|stripe| stripe.as_ref().is_some_and(|stripe| stripe.source().is_whole()))
    }
    /// Returns whether the offer is consistent with this order.
    pub(crate) fn fits(&self, offer: &TrustedOffer) -> bool {
        usize::from(offer.stripes) == self.stripes.len()
            && offer.stripe.stripe < offer.stripes
            && self.stripe(offer.stripe.stripe).is_none_or(|stripe| stripe.source().chunks() == offer.chunks)
    }
    /// Accepts an offer that arrived without a link.
    pub(crate) fn take(&mut self, ctx: &mut Context<'_>, offer: TrustedOffer) {
        let Some(place) = self.stripes.get_mut(usize::from(offer.stripe.stripe)) else { return };
        match place {
            None => *place = Some(Stripe::new(ctx, offer, true, self.gates.receive.is_ok())),
            Some(stripe) => stripe.revise(ctx, offer),
        }
    }
    /// Processes an offer that arrived over a link.
    pub(crate) fn offered(
        &mut self,
        ctx: &mut Context<'_>,
        (link, sender): (Link, MachineId),
        offer: TrustedOffer,
        may_forward: Result<(), Reason>,
    ) {
        let Some(place) = self.stripes.get_mut(usize::from(offer.stripe.stripe)) else { return };
        let known = place.as_ref().map(Stripe::revision);
        if known.is_some_and(|known| offer.revision < known) {
            let detail = "a newer revision of the order's lists has already arrived".to_owned();
            ctx.act(Action::AnswerOffer(link, OfferReply::Refused { reason: Reason::OrderSuperseded, detail }));
            return;
        }
        let is_news = known.is_none_or(|known| offer.revision > known);
        let stripe = match place {
            None => {
                let receives = self.gates.receive.is_ok();
                place.insert(Stripe::new(ctx, offer, may_forward.is_ok() && receives, receives))
            }
            Some(stripe) => {
                stripe.revise(ctx, offer);
                stripe
            }
        };
        stripe.offered(ctx, (link, sender), (self.gates.receive, may_forward), &self.banned);
        if is_news {
            stripe.report_offered(ctx, sender);
            self.tell_closed(ctx);
        }
    }
    /// Records a stored chunk.
    pub(crate) fn stored(&mut self, ctx: &mut Context<'_>, link: Link, stripe: u8, held: u32) {
        if let Some(stripe) = self.stripe_mut(stripe) {
            stripe.source_mut().stored(ctx, link, held);
            self.report_progress(ctx);
        }
    }
    /// Reports progress when at least a tenth more is here than last time, and not more often than the configured
    /// interval.
    fn report_progress(&mut self, ctx: &mut Context<'_>) {
        let sum = |count: fn(&Stripe) -> u32| self.stripes().map(|stripe| u64::from(count(stripe))).sum::<u64>();
        let (held, of) = (sum(|stripe| stripe.source().held()), sum(|stripe| stripe.source().chunks()));
        let (at, before) = self.progress;
        let due = ctx.now.saturating_sub(at) >= ctx.config.timings.progress;
        if self.has_every_offer() && due && held < of && held.saturating_sub(before) >= of.div_ceil(10) {
            self.progress = (ctx.now, held);
            let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            ctx.report(self.id, Event::Progress { held: number(held), of: number(of) });
        }
    }
    /// Handles a chunk that does not match the publisher's hash. The sender is never used again, in any stripe. The
    /// server is the exception, because it cannot be replaced: it is dropped and asked again after a pause.
    pub(crate) fn bad_chunk(&mut self, ctx: &mut Context<'_>, link: Link, end: End, index: u32) {
        ctx.report(self.id, Event::BadChunk { source: end.peer, index });
        if end.peer == ctx.config.server {
            if let Some(stripe) = self.stripe_mut(end.stripe.stripe) {
                ctx.close(link, Reason::BadChunk);
                stripe.gone(ctx, link, Reason::BadChunk);
            }
            return;
        }
        self.banned.insert(end.peer);
        for stripe in self.stripes.iter_mut().flatten() {
            stripe.source_mut().banned(ctx, end.peer);
        }
        // This also closes a link that is not the source: nothing from that sender is accepted any more.
        if let Some(stripe) = self.stripe_mut(end.stripe.stripe) {
            ctx.close(link, Reason::BadChunk);
            stripe.gone(ctx, link, Reason::BadChunk);
        }
    }
    /// Applies that the whole artifact is verified.
    pub(crate) fn verified(&mut self, ctx: &mut Context<'_>) {
        let (life, ask) = self.life.verified();
        if ask.is_some() {
            self.stripes.iter_mut().flatten().for_each(|stripe| stripe.confirm(ctx));
        }
        self.advance(ctx, (life, ask));
    }
    /// Applies that the artifact on disk is damaged.
    pub(crate) fn damaged(&mut self, ctx: &mut Context<'_>, held: &[u32]) {
        if let Some(life) = self.life.damaged() {
            self.life = life;
            for (at, stripe) in self.stripes.iter_mut().enumerate() {
                let held = held.get(at).copied().unwrap_or(0);
                stripe.iter_mut().for_each(|stripe| stripe.source_mut().set_back(ctx, held));
            }
        }
    }
    /// Applies the server's receipt.
    pub(crate) fn receipted(&mut self, ctx: &mut Context<'_>) {
        let (life, ask) = self.life.receipted();
        if ask.is_some() {
            self.waits = None;
            ctx.report(self.id, Event::Authenticated);
        }
        self.advance(ctx, (life, ask));
    }
    /// Applies the install permit.
    pub(crate) fn install_permit(&mut self, now: Now) {
        self.life = self.life.install_permit(now);
    }
    /// Opens or closes receiving, as the schedule decides.
    pub(crate) fn set_may_receive(&mut self, ctx: &mut Context<'_>, may: Result<(), Reason>) {
        self.gates.receive = may;
        for stripe in self.stripes.iter_mut().flatten() {
            stripe.source_mut().set_open(ctx, may);
        }
        self.tell_closed(ctx);
    }
    /// Opens or closes installing, as the schedule decides.
    pub(crate) fn set_may_install(&mut self, ctx: &mut Context<'_>, may: Result<(), Reason>) {
        self.gates.install = may;
        if may.is_ok() {
            let step = self.life.opened();
            self.advance(ctx, step);
        }
    }
    /// Reports that receiving is closed, or clears the last reported reason.
    fn tell_closed(&mut self, ctx: &mut Context<'_>) {
        if self.life == Life::Receiving {
            self.tell_whether(ctx, self.gates.receive.err());
        }
    }
    /// Reports a reason for waiting, once while it stays the same.
    fn tell_whether(&mut self, ctx: &mut Context<'_>, reason: Option<Reason>) {
        if let Some(reason) = reason.filter(|reason| self.waits != Some(*reason)) {
            ctx.report(self.id, Event::Waits { reason, detail: reason.for_admin().advice.to_owned() });
        }
        self.waits = reason;
    }
    /// Starts the install, since it is this order's turn.
    pub(crate) fn turn(&mut self, ctx: &mut Context<'_>) {
        if let Err(reason) = self.gates.install {
            // Installing was closed after the permit was requested; a new one is requested when it opens.
            self.life = Life::Closed;
            return self.tell_whether(ctx, Some(reason));
        }
        let step = self.life.turn(ctx.now, &ctx.config.timings);
        self.advance(ctx, step);
        if matches!(self.life, Life::Installing(_)) {
            self.waits = None;
            ctx.report(self.id, Event::Installing);
            ctx.act(Action::Install(self.id));
        }
    }
    /// Handles the answer "not now" from the server or the installer.
    pub(crate) fn later(&mut self, ctx: &mut Context<'_>, reason: Reason) {
        let (life, answered) = self.life.later(ctx);
        self.life = life;
        if answered && self.waits != Some(reason) {
            self.waits = Some(reason);
            ctx.report(self.id, Event::Waits { reason, detail: reason.for_admin().advice.to_owned() });
        }
    }
    /// Finishes the order; its content is still served.
    pub(crate) fn ended(&mut self, outcome: Result<(), Reason>) {
        self.life = self.life.ended(outcome);
    }
    fn advance(&mut self, ctx: &mut Context<'_>, (life, ask): (Life, Option<Ask>)) {
        self.life = life;
        if let (Some(Ask::InstallPermit), Err(reason)) = (ask, self.gates.install) {
            self.life = Life::Closed;
            return self.tell_whether(ctx, Some(reason));
        }
        if let Some(ask) = ask {
            ctx.act(match ask {
                Ask::Verify => Action::VerifyArtifact(self.id),
                Ask::Receipt => Action::AskReceipt(self.id),
                Ask::InstallPermit => Action::AskInstallPermit(self.id),
            });
        }
    }
    /// Handles a closed link.
    pub(crate) fn gone(&mut self, ctx: &mut Context<'_>, link: Link, stripe: u8, why: Reason) {
        if let Some(stripe) = self.stripe_mut(stripe) {
            stripe.gone(ctx, link, why);
        }
    }
    /// Finds an alternate source for stripes whose source failed: the failed machine's parent in another stripe. It
    /// must not be below this machine in the affected stripe (it would wait for this machine) or above (it is asked
    /// anyway).
    fn find_cousins(&mut self, me: MachineId, server: MachineId) {
        for at in 0..self.stripes.len() {
            let Some(failed) = self.stripes[at].as_mut().and_then(|stripe| stripe.source_mut().take_orphaned_by())
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
            if let Some(cousin) = parents.into_iter().find(may_help) {
                stripe.source_mut().set_cousin(Some(cousin));
            }
        }
    }
    /// Runs the timers, and advances the stage where everything needed is here.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>) {
        self.find_cousins(ctx.config.me, ctx.config.server);
        for stripe in self.stripes.iter_mut().flatten() {
            stripe.run(ctx, &self.banned);
        }
        self.find_cousins(ctx.config.me, ctx.config.server);
        if self.is_whole() {
            let step = self.life.whole();
            self.advance(ctx, step);
        }
        let step = self.life.run(ctx.now);
        self.advance(ctx, step);
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn wake(&self, now: Now, timings: &Timings) -> Option<Now> {
        self.stripes().filter_map(|stripe| stripe.wake(now, timings)).chain(self.life.wake()).min()
    }
    /// Extends all deadlines by the time during which this machine was not running.
    pub(crate) fn slept(&mut self, by: Duration) {
        self.stripes.iter_mut().flatten().for_each(|stripe| stripe.slept(by));
    }
}
