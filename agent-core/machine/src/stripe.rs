//! One stripe of one order on this machine: its place in the tree, who offered it, what is handed on, where chunks come
//! from.

use crate::{
    config::Timings,
    context::Context,
    handing::Handing,
    io::{Action, Link, Now, StripeId, TrustedOffer},
    source::{Source, seek::Banned, stream::Kind},
};
use banyan_proto::{AddresseeList, MachineId, Proof, Reason, api::Event, peer::OfferReply};
use std::{collections::BTreeMap, time::Duration};

/// Somebody above who offered this stripe and stands at the other end of a link.
#[derive(Debug, Clone, Copy)]
struct Sender {
    link: Link,
    /// It still has to be told that the parts are handed on.
    owed: bool,
}

#[derive(Debug)]
pub(crate) struct Stripe {
    id: StripeId,
    revision: u32,
    sublist: AddresseeList,
    proof: Proof,
    /// By identity: a sender that offers again over a new link has given the old one up. So there are never more than
    /// this machine has ancestors.
    senders: BTreeMap<MachineId, Sender>,
    /// `None`: this machine receives only, its parts are its senders'.
    handing: Option<Handing>,
    source: Source,
}

/// Ancestors in this stripe, nearest first, without the server.
fn ancestors(proof: &Proof, server: MachineId) -> Vec<MachineId> {
    proof.ancestors().rev().filter(|id| *id != server).collect()
}

impl Stripe {
    /// An offer that is new here. Whoever holds the stripe's content whole needs no source.
    pub(crate) fn new(ctx: &Context<'_>, offer: TrustedOffer, hands_on: bool, receives: bool) -> Self {
        let TrustedOffer { stripe: id, revision, chunks, sublist, proof, held, .. } = offer;
        let source = Source::new(id, ancestors(&proof, ctx.config.server), chunks, held, ctx.now, receives);
        let handing = hands_on.then(|| Handing::new(id, &sublist, &proof, ctx.now));
        Self { id, revision, sublist, proof, senders: BTreeMap::new(), handing, source }
    }
    /// An offer came over a link: answers it, remembers whom to tell, and lets the sender be the source if there is none.
    pub(crate) fn offered(
        &mut self,
        ctx: &mut Context<'_>,
        (link, sender): (Link, MachineId),
        (may_receive, may_forward): (Result<(), Reason>, Result<(), Reason>),
        banned: &Banned,
    ) {
        // Who has everything already has nothing to receive.
        let may_receive = if self.source.is_whole() { Ok(()) } else { may_receive };
        let reply = match (&self.handing, may_receive.and(may_forward)) {
            // Its sender goes round it. The offer stays: when receiving opens, its ancestors are asked for the chunks.
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
            // Heads between the sender and this machine were stepped over.
            let between = self.proof.ancestors().rev().take_while(|id| *id != sender);
            self.source.suspect(ctx, between.filter(|id| *id != server));
            let kind = if sender == server { Kind::Server } else { Kind::Ancestor };
            self.source.offered(ctx, link, sender, kind);
        }
    }
    /// The lists were cut anew: another place in the tree, other parts; what is here stays.
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
    /// Its number within the order.
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
    /// The dialled link stands.
    pub(crate) fn connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        self.source.connected(ctx, link);
        if let Some(handing) = &mut self.handing {
            handing.connected(ctx, link);
        }
    }
    /// The link is gone.
    pub(crate) fn gone(&mut self, ctx: &mut Context<'_>, link: Link, why: Reason) {
        self.forget(link);
        self.source.gone(ctx, link, why);
        if let Some(handing) = &mut self.handing {
            handing.gone(ctx, link, why);
        }
    }
    /// The link was closed from here; whoever closed it knows already.
    pub(crate) fn forget(&mut self, link: Link) {
        self.senders.retain(|_, sender| sender.link != link);
    }
    /// The parent of this machine in this stripe, or of a machine below it, as far as it is known here.
    pub(crate) fn parent_of(&self, id: MachineId) -> Option<MachineId> {
        if let Some((_, way)) = self.sublist.locate(self.id.stripe, id).filter(|(_, way)| !way.0.is_empty()) {
            return way.0.last().map(|step| step.head);
        }
        let above: Vec<MachineId> = self.proof.ancestors().collect();
        above.iter().position(|other| *other == id)?.checked_sub(1).map(|at| above[at])
    }
    /// The artifact is right: tells whoever brought the last chunk.
    pub(crate) fn confirm(&mut self, ctx: &mut Context<'_>) {
        if let Some(link) = self.source.release() {
            ctx.act(Action::Confirm(link, self.id.order));
            if self.senders.values().all(|sender| sender.link != link) {
                ctx.close(link, Reason::Done);
            }
        }
    }
    /// Lets time pass, tells senders what they wait for, and hangs up where nothing more is wanted.
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
    /// Senders that wait for nothing more, over links that bring nothing.
    fn hang_up(&mut self, ctx: &mut Context<'_>) {
        let idle = |sender: &Sender| !sender.owed && !self.source.uses(sender.link);
        let links: Vec<Link> = self.senders.values().filter(|sender| idle(sender)).map(|sender| sender.link).collect();
        for link in links {
            self.forget(link);
            ctx.close(link, Reason::Done);
        }
    }
    /// Whether every sender that can be told has been told, once everything is handed on.
    pub(crate) fn owes(&self) -> bool {
        self.handing.as_ref().is_some_and(Handing::is_handed_on) && self.senders.values().any(|sender| sender.owed)
    }
    /// When something has to be done here though nothing happens.
    pub(crate) fn wake(&self, now: Now, timings: &Timings) -> Option<Now> {
        let handing = self.handing.as_ref().and_then(Handing::wake);
        self.source.wake(now, timings).into_iter().chain(handing).min()
    }
    /// This machine itself did not run for this long.
    pub(crate) fn slept(&mut self, by: Duration) {
        self.source.slept(by);
        if let Some(handing) = &mut self.handing {
            handing.slept(by);
        }
    }
}
