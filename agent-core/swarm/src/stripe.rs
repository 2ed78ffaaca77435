//! One stripe of one order on this machine: its place in the tree, its senders, the parts it delegates, and its source
//! of chunks.

use crate::{
    config::Timings,
    context::Context,
    delegation::Handing,
    io::{Action, Link, Now, StripeId, TrustedOffer},
    source::{Source, select_source::Banned, stream::Kind},
};
use banyan_proto::{AddresseeList, MachineId, Proof, Reason, api::Event, peer::OfferReply};
use std::{collections::BTreeMap, time::Duration};

/// An ancestor that offered this stripe and is connected over a link.
#[derive(Debug, Clone, Copy)]
struct Sender {
    link: Link,
    /// It must still be informed that the parts are delegated.
    owed: bool,
}

#[derive(Debug)]
pub(crate) struct Stripe {
    id: StripeId,
    revision: u32,
    sublist: AddresseeList,
    proof: Proof,
    /// By machine: a sender that offers again over a new link has given up the old one. So there are never more senders
    /// than ancestors.
    senders: BTreeMap<MachineId, Sender>,
    /// `None`: this machine only receives, and its senders keep responsibility for its parts.
    handing: Option<Handing>,
    source: Source,
}

/// Returns the ancestors in this stripe without the server, nearest first.
fn ancestors(proof: &Proof, server: MachineId) -> Vec<MachineId> {
    proof.ancestors().rev().filter(|id| *id != server).collect()
}

impl Stripe {
    /// Creates a stripe from its first offer. A stripe whose content is already complete needs no source.
    pub(crate) fn new(ctx: &Context<'_>, offer: TrustedOffer, hands_on: bool, receives: bool) -> Self {
        let TrustedOffer { stripe: id, revision, chunks, sublist, proof, held, .. } = offer;
        let source = Source::new(id, ancestors(&proof, ctx.config.server), chunks, held, ctx.now, receives);
        let handing = hands_on.then(|| Handing::new(id, &sublist, &proof, ctx.now));
        Self { id, revision, sublist, proof, senders: BTreeMap::new(), handing, source }
    }
    /// Processes an offer that arrived over a link: answers it, records the sender, and uses it as the source if there
    /// is none.
    pub(crate) fn offered(
        &mut self,
        ctx: &mut Context<'_>,
        (link, sender): (Link, MachineId),
        (may_receive, may_forward): (Result<(), Reason>, Result<(), Reason>),
        banned: &Banned,
    ) {
        // A machine that has everything has nothing left to receive.
        let may_receive = if self.source.is_whole() { Ok(()) } else { may_receive };
        let reply = match (&self.handing, may_receive.and(may_forward)) {
            // The sender bypasses this machine. The offer is kept: when receiving opens, the ancestors are asked for
            // the chunks.
            (None, Err(reason)) if may_receive.is_err() => OfferReply::Deferred { reason },
            (None, Err(reason)) => OfferReply::ReceivesOnly { reason },
            (None, Ok(())) => {
                self.handing = Some(Handing::new(self.id, &self.sublist, &self.proof, ctx.now));
                OfferReply::Accepted
            }
            (Some(_), _) => OfferReply::Accepted,
        };
        let older = self.senders.insert(sender, Sender { link, owed: self.handing.is_some() });
        if let Some(older) = older.filter(|older| older.link != link && !self.source.uses(older.link)) {
            ctx.close(older.link, Reason::Done);
        }
        ctx.act(Action::AnswerOffer(link, reply));
        let server = ctx.config.server;
        if !banned.contains(&sender) && self.proof.ancestors().any(|above| above == sender) {
            // Heads between the sender and this machine were skipped.
            let between = self.proof.ancestors().rev().take_while(|id| *id != sender);
            self.source.suspect(ctx, between.filter(|id| *id != server));
            let kind = if sender == server { Kind::Server } else { Kind::Ancestor };
            self.source.offered(ctx, link, sender, kind);
        }
    }
    /// Applies a new revision of the lists: a new place in the tree and new parts; chunks already here are kept.
    pub(crate) fn revise(&mut self, ctx: &mut Context<'_>, offer: TrustedOffer) {
        if offer.revision <= self.revision {
            return;
        }
        self.source.set_ancestors(ancestors(&offer.proof, ctx.config.server));
        self.revision = offer.revision;
        self.sublist = offer.sublist;
        self.proof = offer.proof;
        if let Some(old) = self.handing.take() {
            old.revised(ctx);
            self.handing = Some(Handing::new(self.id, &self.sublist, &self.proof, ctx.now));
            self.senders.values_mut().for_each(|sender| sender.owed = true);
        }
    }
    /// Reports that the offer was accepted.
    pub(crate) fn report_offered(&self, ctx: &mut Context<'_>, sender: MachineId) {
        ctx.report(self.id.order, Event::Offered { stripe: self.id.stripe, sender });
    }
    /// Returns the stripe's index within the order.
    pub(crate) fn stripe(&self) -> u8 {
        self.id.stripe
    }
    pub(crate) fn revision(&self) -> u32 {
        self.revision
    }
    pub(crate) fn sublist(&self) -> &AddresseeList {
        &self.sublist
    }
    pub(crate) fn proof(&self) -> &Proof {
        &self.proof
    }
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }
    pub(crate) fn source_mut(&mut self) -> &mut Source {
        &mut self.source
    }
    pub(crate) fn handing(&self) -> Option<&Handing> {
        self.handing.as_ref()
    }
    pub(crate) fn handing_mut(&mut self) -> Option<&mut Handing> {
        self.handing.as_mut()
    }
    /// Handles a dialled link that is now connected.
    pub(crate) fn connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        self.source.connected(ctx, link);
        if let Some(handing) = &mut self.handing {
            handing.connected(ctx, link);
        }
    }
    /// Handles a closed link.
    pub(crate) fn gone(&mut self, ctx: &mut Context<'_>, link: Link, why: Reason) {
        self.forget(link);
        self.source.gone(ctx, link, why);
        if let Some(handing) = &mut self.handing {
            handing.gone(ctx, link, why);
        }
    }
    /// Forgets a link that this machine closed; the module that closed it has updated its own state.
    pub(crate) fn forget(&mut self, link: Link) {
        self.senders.retain(|_, sender| sender.link != link);
    }
    /// Returns the parent, in this stripe, of this machine or of a machine below it, as far as this machine knows it.
    pub(crate) fn parent_of(&self, id: MachineId) -> Option<MachineId> {
        if let Some((_, way)) = self.sublist.locate(self.id.stripe, id).filter(|(_, way)| !way.0.is_empty()) {
            return way.0.last().map(|step| step.head);
        }
        let above: Vec<MachineId> = self.proof.ancestors().collect();
        above.iter().position(|other| *other == id)?.checked_sub(1).map(|at| above[at])
    }
    /// Confirms the verified artifact to the machine that sent the last chunk.
    pub(crate) fn confirm(&mut self, ctx: &mut Context<'_>) {
        if let Some(link) = self.source.release() {
            ctx.act(Action::Confirm(link, self.id.order));
            if self.senders.values().all(|sender| sender.link != link) {
                ctx.close(link, Reason::Done);
            }
        }
    }
    /// Runs the timers, informs senders whose parts are delegated, and closes links that are no longer needed.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>, banned: &Banned) {
        self.source.run(ctx, banned);
        if let Some(handing) = &mut self.handing {
            handing.run(ctx);
            if handing.is_handed_on() {
                for sender in self.senders.values_mut().filter(|sender| sender.owed) {
                    sender.owed = false;
                    ctx.act(Action::TellPartsAccepted(sender.link));
                }
            }
        }
        self.hang_up(ctx);
    }
    /// Closes the links of senders that wait for nothing and deliver nothing.
    fn hang_up(&mut self, ctx: &mut Context<'_>) {
        let idle = |sender: &Sender| !sender.owed && !self.source.uses(sender.link);
        let links: Vec<Link> = self.senders.values().filter(|sender| idle(sender)).map(|sender| sender.link).collect();
        for link in links {
            self.forget(link);
            ctx.close(link, Reason::Done);
        }
    }
    /// Returns whether every part is delegated but a sender has not been informed.
    pub(crate) fn owes(&self) -> bool {
        self.handing.as_ref().is_some_and(Handing::is_handed_on) && self.senders.values().any(|sender| sender.owed)
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn wake(&self, now: Now, timings: &Timings) -> Option<Now> {
        let handing = self.handing.as_ref().and_then(Handing::wake);
        self.source.wake(now, timings).into_iter().chain(handing).min()
    }
    /// Extends all deadlines by the time during which this machine was not running.
    pub(crate) fn slept(&mut self, by: Duration) {
        self.source.slept(by);
        if let Some(handing) = &mut self.handing {
            handing.slept(by);
        }
    }
}
