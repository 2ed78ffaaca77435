//! One stripe of one order on this machine: its place in the tree, its senders, the parts it delegates, and its source
//! of chunks.

use crate::{
    config::Timings,
    context::Context,
    delegation::Delegation,
    io::{Action, Link, Now, StripeId, TrustedOffer},
    source::{Source, select_source::BannedPeers, stream::SourceKind},
};
use banyan_proto::{AddresseeList, MachineId, Proof, Reason, api::Event, peer::OfferReply};
use std::{collections::BTreeMap, time::Duration};

/// An ancestor that offered this stripe and is connected over a link.
#[derive(Debug, Clone, Copy)]
struct Sender {
    link: Link,
    /// It must still be informed that the parts are delegated.
    is_owed_answer: bool,
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
    delegation: Option<Delegation>,
    source: Source,
}

/// Returns the ancestors in this stripe without the server, nearest first.
fn ancestors(proof: &Proof, server: MachineId) -> Vec<MachineId> {
    proof.ancestors().rev().filter(|id| *id != server).collect()
}

impl Stripe {
    /// Creates a stripe from its first offer. A stripe whose content is already complete needs no source.
    pub(crate) fn new(ctx: &Context<'_>, offer: TrustedOffer, may_delegate: bool, may_receive: bool) -> Self {
        let TrustedOffer { stripe: id, revision, chunks, sublist, proof, held, .. } = offer;
        let source = Source::new(id, ancestors(&proof, ctx.config.server), chunks, held, ctx.now, may_receive);
        let delegation = may_delegate.then(|| Delegation::new(id, &sublist, &proof, ctx.now));
        Self { id, revision, sublist, proof, senders: BTreeMap::new(), delegation, source }
    }
    /// Processes an offer that arrived over a link: answers it, records the sender, and uses it as the source if there
    /// is none.
    pub(crate) fn on_offer(
        &mut self,
        ctx: &mut Context<'_>,
        link: Link,
        sender: MachineId,
        may_receive: Result<(), Reason>,
        may_forward: Result<(), Reason>,
        banned: &BannedPeers,
    ) {
        // A machine that has everything has nothing left to receive.
        let may_receive = if self.source.is_complete() { Ok(()) } else { may_receive };
        let reply = match (&self.delegation, may_receive.and(may_forward)) {
            // The sender bypasses this machine. The offer is kept: when receiving opens, the ancestors are asked for
            // the chunks.
            (None, Err(reason)) if may_receive.is_err() => OfferReply::Deferred { reason },
            (None, Err(reason)) => OfferReply::ReceivesOnly { reason },
            (None, Ok(())) => {
                self.delegation = Some(Delegation::new(self.id, &self.sublist, &self.proof, ctx.now));
                OfferReply::Accepted
            }
            (Some(_), _) => OfferReply::Accepted,
        };
        let older = self.senders.insert(sender, Sender { link, is_owed_answer: self.delegation.is_some() });
        if let Some(older) = older.filter(|older| older.link != link && !self.source.uses_link(older.link)) {
            ctx.close(older.link, Reason::Done);
        }
        ctx.emit(Action::AnswerOffer(link, reply));
        let server = ctx.config.server;
        if !banned.contains(&sender) && self.proof.ancestors().any(|above| above == sender) {
            // Heads between the sender and this machine were skipped.
            let between = self.proof.ancestors().rev().take_while(|id| *id != sender);
            self.source.back_off_from(ctx, between.filter(|id| *id != server));
            let kind = if sender == server { SourceKind::Server } else { SourceKind::Ancestor };
            self.source.on_offer(ctx, link, sender, kind);
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
        if let Some(old) = self.delegation.take() {
            old.cancel_in_flight(ctx);
            self.delegation = Some(Delegation::new(self.id, &self.sublist, &self.proof, ctx.now));
            self.senders.values_mut().for_each(|sender| sender.is_owed_answer = true);
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
    pub(crate) fn delegation(&self) -> Option<&Delegation> {
        self.delegation.as_ref()
    }
    pub(crate) fn delegation_mut(&mut self) -> Option<&mut Delegation> {
        self.delegation.as_mut()
    }
    /// Handles a dialled link that is now connected.
    pub(crate) fn on_connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        self.source.on_connected(ctx, link);
        if let Some(delegation) = &mut self.delegation {
            delegation.on_connected(ctx, link);
        }
    }
    /// Handles a closed link.
    pub(crate) fn on_link_lost(&mut self, ctx: &mut Context<'_>, link: Link, why: Reason) {
        self.forget_link(link);
        self.source.on_link_lost(ctx, link, why);
        if let Some(delegation) = &mut self.delegation {
            delegation.on_link_lost(ctx, link, why);
        }
    }
    /// Forgets a link that this machine closed; the module that closed it has updated its own state.
    pub(crate) fn forget_link(&mut self, link: Link) {
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
        if let Some(link) = self.source.take_confirm_link() {
            ctx.emit(Action::Confirm(link, self.id.order));
            if self.senders.values().all(|sender| sender.link != link) {
                ctx.close(link, Reason::Done);
            }
        }
    }
    /// Runs the timers, informs senders whose parts are delegated, and closes links that are no longer needed.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>, banned: &BannedPeers) {
        self.source.run(ctx, banned);
        if let Some(delegation) = &mut self.delegation {
            delegation.run(ctx);
            if delegation.is_fully_delegated() {
                for sender in self.senders.values_mut().filter(|sender| sender.is_owed_answer) {
                    sender.is_owed_answer = false;
                    ctx.emit(Action::SendPartsAccepted(sender.link));
                }
            }
        }
        self.close_idle_links(ctx);
    }
    /// Closes the links of senders that wait for nothing and deliver nothing.
    fn close_idle_links(&mut self, ctx: &mut Context<'_>) {
        let idle = |sender: &Sender| !sender.is_owed_answer && !self.source.uses_link(sender.link);
        let links: Vec<Link> = self.senders.values().filter(|sender| idle(sender)).map(|sender| sender.link).collect();
        for link in links {
            self.forget_link(link);
            ctx.close(link, Reason::Done);
        }
    }
    /// Returns whether every part is delegated but a sender has not been informed.
    pub(crate) fn owes_answer(&self) -> bool {
        self.delegation.as_ref().is_some_and(Delegation::is_fully_delegated)
            && self.senders.values().any(|sender| sender.is_owed_answer)
    }
    /// Returns when to act next if no event arrives.
    pub(crate) fn next_wake(&self, now: Now, timings: &Timings) -> Option<Now> {
        let delegation = self.delegation.as_ref().and_then(Delegation::next_wake);
        self.source.next_wake(now, timings).into_iter().chain(delegation).min()
    }
    /// Extends all deadlines by the time during which this machine was not running.
    pub(crate) fn extend_deadlines(&mut self, by: Duration) {
        self.source.extend_deadlines(by);
        if let Some(delegation) = &mut self.delegation {
            delegation.extend_deadlines(by);
        }
    }
}
