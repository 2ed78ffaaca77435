//! Delegation: offers every part of this machine's sublist until its head has taken it. The part is remembered until
//! its head has delegated its own parts (rules P2–P5).
//!
//! A head that cannot be reached, defers or refuses is skipped: this machine takes over its parts. This machine does
//! not try the head again. When the head returns, it learns of the order at its next check-in and asks the server for
//! help, or finds the accepted offer on its disk. A head that took its part and disconnected before delegating is
//! redialled, first at once and then after pauses. It is skipped when that fails. A head that stays connected but does
//! not delegate in time is handled in the same way.
//!
//! A head that cannot be dialled has its offer from the server and dials this machine. It gets the offer over that
//! connection, and from then on counts like every other head.

use crate::{
    context::Context,
    io::{Action, Link, Now, StripeId},
};
use banyan_proto::{AddresseeList, MachineId, Proof, Reason, api::Event, peer::OfferReply};
use std::time::Duration;

/// The most dials and unanswered offers of one stripe at once, so that many dead heads do not cause a flood of
/// connections.
const MAX_IN_FLIGHT: usize = 32;
/// How often a head may disconnect after taking its part, or be late, before it is skipped.
const MAX_LOSSES: u32 = 3;

/// The progress of one part: what this machine waits for from its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartState {
    /// Waiting for the time to dial the head.
    Due(Now),
    /// Waiting for the connection, until the deadline.
    Dialling(Link, Now),
    /// Waiting for the answer to the offer, until the deadline.
    Offered(Link, Now),
    /// Waiting for the head to delegate its parts; asked again at the deadline.
    Taken(Link, Now),
}

impl PartState {
    pub(crate) fn link(&self) -> Option<Link> {
        match self {
            Self::Due(_) => None,
            Self::Dialling(link, _) | Self::Offered(link, _) | Self::Taken(link, _) => Some(*link),
        }
    }
}

/// A part that this machine is responsible for.
#[derive(Debug)]
pub(crate) struct DelegatedPart {
    pub(crate) sublist: AddresseeList,
    pub(crate) proof: Proof,
    pub(crate) state: PartState,
    /// How often the head disconnected after taking its part, or was late.
    losses: u32,
}

/// The parts of one stripe that this machine is responsible for. A part is removed once its head has delegated it.
#[derive(Debug)]
pub(crate) struct Delegation {
    id: StripeId,
    parts: Vec<DelegatedPart>,
}

impl Delegation {
    /// Takes responsibility for the parts of `sublist`, which is found at `proof`.
    pub(crate) fn new(id: StripeId, sublist: &AddresseeList, proof: &Proof, now: Now) -> Self {
        let mut delegation = Self { id, parts: Vec::new() };
        delegation.add_parts(sublist, proof, now);
        delegation
    }
    fn add_parts(&mut self, sublist: &AddresseeList, proof: &Proof, now: Now) {
        let split = sublist.hand_on(self.id.stripe).into_iter();
        self.parts.extend(split.map(|(_, sublist, step)| DelegatedPart {
            sublist,
            proof: proof.then(step),
            state: PartState::Due(now),
            losses: 0,
        }));
    }
    pub(crate) fn parts(&self) -> &[DelegatedPart] {
        &self.parts
    }
    /// Returns whether every part has been taken by a head.
    pub(crate) fn is_fully_delegated(&self) -> bool {
        self.parts.iter().all(|part| matches!(part.state, PartState::Taken(..)))
    }
    fn find(&mut self, link: Link) -> Option<usize> {
        self.parts.iter().position(|part| part.state.link() == Some(link))
    }
    /// Sends the offer over a dialled link that is now connected.
    pub(crate) fn on_connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        let Some(part) = self.find(link).map(|at| &mut self.parts[at]) else { return };
        if matches!(part.state, PartState::Dialling(..)) {
            part.state = PartState::Offered(link, ctx.now + ctx.config.timings.offer_timeout);
            let (sublist, proof) = (part.sublist.clone(), part.proof.clone());
            ctx.emit(Action::Offer { link, stripe: self.id, sublist, proof });
        }
    }
    /// Sends the offer over a link on which its head asks for chunks: the head has its offer from the server, and is here
    /// before it was dialled. Many heads cannot be dialled at all.
    pub(crate) fn on_pull(&mut self, ctx: &mut Context<'_>, link: Link, from: MachineId) {
        let is_due = |part: &DelegatedPart| matches!(part.state, PartState::Due(_) | PartState::Dialling(..));
        let waits = |part: &&mut DelegatedPart| part.sublist.head() == from && is_due(part);
        let Some(part) = self.parts.iter_mut().find(waits) else { return };
        if let PartState::Dialling(dialled, _) = part.state {
            ctx.close(dialled, Reason::Done);
        }
        part.state = PartState::Offered(link, ctx.now + ctx.config.timings.offer_timeout);
        let (sublist, proof) = (part.sublist.clone(), part.proof.clone());
        ctx.emit(Action::Offer { link, stripe: self.id, sublist, proof });
    }
    /// Processes the head's answer to the offer.
    pub(crate) fn on_offer_answer(&mut self, ctx: &mut Context<'_>, link: Link, reply: &OfferReply) {
        let Some(at) = self.find(link).filter(|at| matches!(self.parts[*at].state, PartState::Offered(..))) else {
            return;
        };
        match reply {
            // A leaf has nothing to delegate.
            OfferReply::Accepted if self.parts[at].sublist.len() == 1 => drop(self.parts.swap_remove(at)),
            OfferReply::Accepted if self.parts[at].losses > MAX_LOSSES => self.skip_head(ctx, at, Reason::Busy),
            OfferReply::Accepted => {
                self.parts[at].state = PartState::Taken(link, ctx.now + ctx.config.timings.delegation_timeout);
            }
            OfferReply::ReceivesOnly { .. } => {
                let part = self.parts.swap_remove(at);
                self.add_parts(&part.sublist, &part.proof, ctx.now);
            }
            OfferReply::Deferred { reason } | OfferReply::Refused { reason, .. } => {
                ctx.close(link, Reason::Done);
                self.skip_head(ctx, at, *reason);
            }
        }
    }
    /// Removes a part whose head has delegated its own parts.
    pub(crate) fn on_parts_accepted(&mut self, link: Link) {
        if let Some(at) = self.find(link)
            && matches!(self.parts[at].state, PartState::Taken(..))
        {
            self.parts.swap_remove(at);
        }
    }
    /// Handles a closed link: redials a head that had taken its part, or skips it.
    pub(crate) fn on_link_lost(&mut self, ctx: &mut Context<'_>, link: Link, why: Reason) {
        let Some(at) = self.find(link) else { return };
        let part = &mut self.parts[at];
        if matches!(part.state, PartState::Taken(..)) && part.losses < MAX_LOSSES {
            part.state = PartState::Due(ctx.now + ctx.config.timings.redial_delay * part.losses);
            part.losses += 1;
        } else {
            self.skip_head(ctx, at, why);
        }
    }
    fn skip_head(&mut self, ctx: &mut Context<'_>, at: usize, reason: Reason) {
        let part = self.parts.swap_remove(at);
        let machine = part.sublist.head();
        ctx.report(self.id.order, Event::SteppedOver { stripe: self.id.stripe, machine, reason });
        self.add_parts(&part.sublist, &part.proof, ctx.now);
    }
    /// Handles timeouts: skips overdue heads and dials the heads that are due.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>) {
        let overdue = |part: &DelegatedPart| match part.state {
            PartState::Dialling(link, deadline) | PartState::Offered(link, deadline) if ctx.now >= deadline => {
                Some(link)
            }
            _ => None,
        };
        let overdue: Vec<Link> = self.parts.iter().filter_map(overdue).collect();
        for link in overdue {
            ctx.close(link, Reason::Unreachable);
            self.on_link_lost(ctx, link, Reason::Unreachable);
        }
        for part in &mut self.parts {
            if let PartState::Taken(_, deadline) = part.state
                && ctx.now >= deadline
            {
                // The head is slow, or gone without notice. It may still be pulling over the old link, so that link
                // stays open.
                part.state = PartState::Due(ctx.now);
                part.losses += 1;
            }
        }
        let mut free = MAX_IN_FLIGHT.saturating_sub(self.in_flight());
        for part in &mut self.parts {
            if free > 0
                && let PartState::Due(at) = part.state
                && at <= ctx.now
            {
                free -= 1;
                let link = ctx.dial(part.sublist.head(), self.id);
                part.state = PartState::Dialling(link, ctx.now + ctx.config.timings.dial_timeout);
            }
        }
    }
    fn in_flight(&self) -> usize {
        self.parts.iter().filter(|part| matches!(part.state, PartState::Dialling(..) | PartState::Offered(..))).count()
    }
    /// Returns whether the number of dials and offers in flight is within the limit.
    pub(crate) fn is_bounded(&self) -> bool {
        self.in_flight() <= MAX_IN_FLIGHT
    }
    /// Returns when this part has to act next if no event arrives.
    pub(crate) fn next_wake(&self) -> Option<Now> {
        let full = self.in_flight() >= MAX_IN_FLIGHT;
        let wake = |part: &DelegatedPart| match part.state {
            PartState::Due(at) => (!full).then_some(at),
            PartState::Dialling(_, deadline) | PartState::Offered(_, deadline) | PartState::Taken(_, deadline) => {
                Some(deadline)
            }
        };
        self.parts.iter().filter_map(wake).min()
    }
    /// Extends all deadlines by the time during which this machine itself was not running.
    pub(crate) fn extend_deadlines(&mut self, by: Duration) {
        for part in &mut self.parts {
            if let PartState::Dialling(_, deadline) | PartState::Offered(_, deadline) | PartState::Taken(_, deadline) =
                &mut part.state
            {
                *deadline += by;
            }
        }
    }
    /// Closes the dials and offers in flight because the lists were replanned. Links of heads that took their parts
    /// stay open, since they may be pulling over them.
    pub(crate) fn cancel_in_flight(self, ctx: &mut Context<'_>) {
        for part in self.parts {
            if let PartState::Dialling(link, _) | PartState::Offered(link, _) = part.state {
                ctx.close(link, Reason::Done);
            }
        }
    }
}
