//! Handing on: every part of this machine's sublist is offered until its head has taken it, and remembered until the
//! head has handed its own parts on (rules P2–P5).
//!
//! A head that cannot be reached, defers or refuses is stepped over: its parts become ours. It is not tried again from
//! here: when it is back it hears of the order at its next check-in and asks the server for help, or finds the accepted
//! offer on its disk. A head that had taken its part and went away before it handed on is dialled again, at once and
//! then after pauses, and stepped over when that fails. So is one that stays but does not hand on in time.

use crate::{
    context::Context,
    io::{Action, Link, Now, StripeId},
};
use banyan_proto::{AddresseeList, Proof, Reason, api::Event, peer::OfferReply};
use std::time::Duration;

/// Most dials and unanswered offers of one stripe at once: many dead heads must not become a storm of connections.
const IN_FLIGHT: usize = 32;
/// How often a head may go away after having taken its part, or be late, before it is stepped over.
const LOSSES: u32 = 3;

/// What is being waited for with one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// For the time to dial it.
    Due(Now),
    /// For the connection, until then.
    Dialling(Link, Now),
    /// For its answer, until then.
    Offered(Link, Now),
    /// For it to hand its parts on; asked again then.
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

/// A part this machine is responsible for.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) sublist: AddresseeList,
    pub(crate) proof: Proof,
    pub(crate) step: Step,
    /// How often the head went away after having taken its part, or was late.
    losses: u32,
}

/// The parts of one stripe that this machine is responsible for. A part leaves when its head has handed on.
#[derive(Debug)]
pub(crate) struct Handing {
    id: StripeId,
    tasks: Vec<Task>,
}

impl Handing {
    /// Takes on the parts of this sublist, found at `proof`.
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
    /// Whether every part has been taken by a head.
    pub(crate) fn is_handed_on(&self) -> bool {
        self.tasks.iter().all(|task| matches!(task.step, Step::Taken(..)))
    }
    fn find(&mut self, link: Link) -> Option<usize> {
        self.tasks.iter().position(|task| task.step.link() == Some(link))
    }
    /// The dialled link stands.
    pub(crate) fn connected(&mut self, ctx: &mut Context<'_>, link: Link) {
        let Some(task) = self.find(link).map(|at| &mut self.tasks[at]) else { return };
        if matches!(task.step, Step::Dialling(..)) {
            task.step = Step::Offered(link, ctx.now + ctx.config.timings.offer);
            let (sublist, proof) = (task.sublist.clone(), task.proof.clone());
            ctx.act(Action::Offer { link, stripe: self.id, sublist, proof });
        }
    }
    /// The head answered.
    pub(crate) fn answered(&mut self, ctx: &mut Context<'_>, link: Link, reply: &OfferReply) {
        let Some(at) = self.find(link).filter(|at| matches!(self.tasks[*at].step, Step::Offered(..))) else { return };
        match reply {
            // A leaf has nothing to hand on.
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
    /// The head has handed its parts on.
    pub(crate) fn parts_accepted(&mut self, link: Link) {
        if let Some(at) = self.find(link)
            && matches!(self.tasks[at].step, Step::Taken(..))
        {
            self.tasks.swap_remove(at);
        }
    }
    /// The link is gone.
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
    /// Lets time pass: dials who is due, steps over who is overdue.
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
                // Slow, or gone without a word. It may be pulling over the old link, which stays as it is.
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
    /// Whether no more is in flight than may be.
    pub(crate) fn is_bounded(&self) -> bool {
        self.in_flight() <= IN_FLIGHT
    }
    /// When something has to be done here though nothing happens.
    pub(crate) fn wake(&self) -> Option<Now> {
        let full = self.in_flight() >= IN_FLIGHT;
        let wake = |task: &Task| match task.step {
            Step::Due(at) => (!full).then_some(at),
            Step::Dialling(_, deadline) | Step::Offered(_, deadline) | Step::Taken(_, deadline) => Some(deadline),
        };
        self.tasks.iter().filter_map(wake).min()
    }
    /// This machine itself did not run for this long: that is nobody else's silence.
    pub(crate) fn slept(&mut self, by: Duration) {
        for task in &mut self.tasks {
            if let Step::Dialling(_, deadline) | Step::Offered(_, deadline) | Step::Taken(_, deadline) = &mut task.step
            {
                *deadline += by;
            }
        }
    }
    /// The lists were cut anew: gives up what nobody has taken yet. Heads that took their parts keep their links, they
    /// may be pulling over them.
    pub(crate) fn revised(self, ctx: &mut Context<'_>) {
        for task in self.tasks {
            if let Step::Dialling(link, _) | Step::Offered(link, _) = task.step {
                ctx.close(link, Reason::Done);
            }
        }
    }
}
