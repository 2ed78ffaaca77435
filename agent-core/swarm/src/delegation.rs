//! Delegation: offers every part of this machine's sublist until its head has taken it. The part is remembered until
//! its head has delegated its own parts (rules P2–P5).
//!
//! A head that cannot be reached, defers or refuses is skipped: this machine takes over its parts. This machine does
//! not try the head again. When the head returns, it learns of the order at its next check-in and asks the server for
//! help, or finds the accepted offer on its disk. A head that took its part and disconnected before delegating is
//! redialled, first at once and then after pauses. It is skipped when that fails. A head that stays connected but does
//! not delegate in time is handled in the same way.

use crate::{
    context::Context,
    io::{Action, Link, Now, StripeId},
};
use banyan_proto::{AddresseeList, Proof, Reason, api::Event, peer::OfferReply};
use std::time::Duration;

/// The most dials and unanswered offers of one stripe at once, so that many dead heads do not cause a flood of
/// connections.
const IN_FLIGHT: usize = 32;
/// How often a head may disconnect after taking its part, or be late, before it is skipped.
const LOSSES: u32 = 3;

/// The progress of one part: what this machine waits for from its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Waiting for the time to dial the head.
    Due(Now),
    /// Waiting for the connection, until the deadline.
    Dialling(Link, Now),
    /// Waiting for the answer to the offer, until the deadline.
    Offered(Link, Now),
    /// Waiting for the head to delegate its parts; asked again at the deadline.
    Taken(Link, Now),
}

impl Step {
    pub(crate) fn link(&self) -> Option<Link> {
        match self {
            Self::Due(_) => None,
            Self::Dialling(link, _) | Self::Offered(link, _) | Self::Taken(link, _) => Some(*link),
        }
    }
}

/// A part that this machine is responsible for.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) sublist: AddresseeList,
    pub(crate) proof: Proof,
    pub(crate) step: Step,
    /// How often the head disconnected after taking its part, or was late.
    losses: u32,
}

/// The parts of one stripe that this machine is responsible for. A part is removed once its head has delegated it.
#[derive(Debug)]
pub(crate) struct Handing {
    id: StripeId,
    tasks: Vec<Task>,
}

impl Handing {
    /// Takes responsibility for the parts of `sublist`, which is found at `proof`.
    pub(crate) fn new(id: StripeId, sublist: &AddresseeList, proof: &Proof, now: Now) -> Self {
        let mut handing = Self { id, tasks: Vec::new() };
        handing.take_on(sublist, proof, now);
        handing
    }
    fn take_on(&mut self, sublist: &AddresseeList, proof: &Proof, now: Now) {
        let parts = sublist.hand_on(self.id.stripe).into_iter();
        self.tasks.extend(parts.map(|(_, sublist, step)| Task {
            sublist,
            proof: proof.then(step),
            step: Step::Due(now),
            losses: 0,
        }));
    }
    pub(crate) fn tasks(&self) -> &[Task] {
        &self.tasks
    }
    /// Returns whether every part has been taken by a head.
    pub(crate) fn is_handed_on(&self) -> bool {
        self.tasks.iter().all(|task| matches!(task.step, Step::Taken(..)))
    }
    fn find(&mut self, link: Link) -> Option<usize> {
        self.tasks.iter().position(|task| task.step.link() == Some(link))
    }
    /// Sends the offer over a dialled link that is now connected.
    pub(crate) fn connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        let Some(task) = self.find(link).map(|at| &mut self.tasks[at]) else { return };
        if matches!(task.step, Step::Dialling(..)) {
            task.step = Step::Offered(link, ctx.now + ctx.config.timings.offer);
            let (sublist, proof) = (task.sublist.clone(), task.proof.clone());
            ctx.act(Action::Offer { link, stripe: self.id, sublist, proof });
        }
    }
    /// Processes the head's answer to the offer.
    pub(crate) fn answered(&mut self, ctx: &mut Context<'_>, link: Link, reply: &OfferReply) {
        let Some(at) = self.find(link).filter(|at| matches!(self.tasks[*at].step, Step::Offered(..))) else { return };
        match reply {
            // A leaf has nothing to delegate.
            OfferReply::Accepted if self.tasks[at].sublist.len() == 1 => drop(self.tasks.swap_remove(at)),
            OfferReply::Accepted if self.tasks[at].losses > LOSSES => self.step_over(ctx, at, Reason::Busy),
            OfferReply::Accepted => self.tasks[at].step = Step::Taken(link, ctx.now + ctx.config.timings.handed),
            OfferReply::ReceivesOnly { .. } => {
                let task = self.tasks.swap_remove(at);
                self.take_on(&task.sublist, &task.proof, ctx.now);
            }
            OfferReply::Deferred { reason } | OfferReply::Refused { reason, .. } => {
                ctx.close(link, Reason::Done);
                self.step_over(ctx, at, *reason);
            }
        }
    }
    /// Removes a part whose head has delegated its own parts.
    pub(crate) fn parts_accepted(&mut self, link: Link) {
        if let Some(at) = self.find(link)
            && matches!(self.tasks[at].step, Step::Taken(..))
        {
            self.tasks.swap_remove(at);
        }
    }
    /// Handles a closed link: redials a head that had taken its part, or skips it.
    pub(crate) fn gone(&mut self, ctx: &mut Context<'_>, link: Link, why: Reason) {
        let Some(at) = self.find(link) else { return };
        let task = &mut self.tasks[at];
        if matches!(task.step, Step::Taken(..)) && task.losses < LOSSES {
            task.step = Step::Due(ctx.now + ctx.config.timings.redial * task.losses);
            task.losses += 1;
        } else {
            self.step_over(ctx, at, why);
        }
    }
    fn step_over(&mut self, ctx: &mut Context<'_>, at: usize, reason: Reason) {
        let task = self.tasks.swap_remove(at);
        let machine = task.sublist.head();
        ctx.report(self.id.order, Event::SteppedOver { stripe: self.id.stripe, machine, reason });
        self.take_on(&task.sublist, &task.proof, ctx.now);
    }
    /// Handles timeouts: skips overdue heads and dials the heads that are due.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>) {
        let overdue = |task: &Task| match task.step {
            Step::Dialling(link, deadline) | Step::Offered(link, deadline) if ctx.now >= deadline => Some(link),
            _ => None,
        };
        let overdue: Vec<Link> = self.tasks.iter().filter_map(overdue).collect();
        for link in overdue {
            ctx.close(link, Reason::Unreachable);
            self.gone(ctx, link, Reason::Unreachable);
        }
        for task in &mut self.tasks {
            if let Step::Taken(_, deadline) = task.step
                && ctx.now >= deadline
            {
                // The head is slow, or gone without notice. It may still be pulling over the old link, so that link
                // stays open.
                task.step = Step::Due(ctx.now);
                task.losses += 1;
            }
        }
        let mut free = IN_FLIGHT.saturating_sub(self.in_flight());
        for task in &mut self.tasks {
            if free > 0
                && let Step::Due(at) = task.step
                && at <= ctx.now
            {
                free -= 1;
                let link = ctx.dial(task.sublist.head(), self.id);
                task.step = Step::Dialling(link, ctx.now + ctx.config.timings.dial);
            }
        }
    }
    fn in_flight(&self) -> usize {
        self.tasks.iter().filter(|task| matches!(task.step, Step::Dialling(..) | Step::Offered(..))).count()
    }
    /// Returns whether the number of dials and offers in flight is within the limit.
    pub(crate) fn is_bounded(&self) -> bool {
        self.in_flight() <= IN_FLIGHT
    }
    /// Returns when this part has to act next if no event arrives.
    pub(crate) fn wake(&self) -> Option<Now> {
        let full = self.in_flight() >= IN_FLIGHT;
        let wake = |task: &Task| match task.step {
            Step::Due(at) => (!full).then_some(at),
            Step::Dialling(_, deadline) | Step::Offered(_, deadline) | Step::Taken(_, deadline) => Some(deadline),
        };
        self.tasks.iter().filter_map(wake).min()
    }
    /// Extends all deadlines by the time during which this machine itself was not running.
    pub(crate) fn slept(&mut self, by: Duration) {
        for task in &mut self.tasks {
            if let Step::Dialling(_, deadline) | Step::Offered(_, deadline) | Step::Taken(_, deadline) = &mut task.step
            {
                *deadline += by;
            }
        }
    }
    /// Closes the dials and offers in flight because the lists were replanned. Links of heads that took their parts
    /// stay open, since they may be pulling over them.
    pub(crate) fn revised(self, ctx: &mut Context<'_>) {
        for task in self.tasks {
            if let Step::Dialling(link, _) | Step::Offered(link, _) = task.step {
                ctx.close(link, Reason::Done);
            }
        }
    }
}
