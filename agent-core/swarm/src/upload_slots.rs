//! The upload slots: which pulls are served and which wait (rule P10), at most `max_children` at once over all orders.
//!
//! A pull that arrives while all slots are taken is queued. The driver sends heartbeats on it, so that the puller knows
//! this machine is alive and can decide how long to wait.

use crate::{
    context::{Context, End},
    io::{Action, Link},
};
use banyan_proto::{OrderId, Reason, api::Event, peer::PullReply};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most pulls in the queue; further ones are refused with [`Reason::Busy`].
const QUEUE: usize = 256;

/// A pull that may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) end: End,
    pub(crate) from: u32,
    pub(crate) wait: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Serving {
    active: BTreeMap<Link, Turn>,
    queue: VecDeque<(Link, Turn)>,
    /// Orders for which queued pulls have been reported; cleared when the queue is empty.
    reported: BTreeSet<OrderId>,
}

impl Serving {
    /// Queues an accepted pull. It replaces an older one by the same machine for the same stripe.
    pub(crate) fn pulled(&mut self, ctx: &mut Context<'_>, link: Link, turn: Turn) {
        let older = self.turns().find(|(_, other)| other.end == turn.end).map(|(other, _)| other);
        if let Some(older) = older {
            self.gone(older);
            if older != link {
                refuse(ctx, older, PullReply::NotHere);
            }
        }
        if self.queue.len() >= QUEUE {
            return refuse(ctx, link, PullReply::Refused { reason: Reason::Busy });
        }
        self.queue.push_back((link, turn));
    }
    /// Gives free slots to the pulls that have waited longest.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>) {
        while self.active.len() < ctx.config.max_children
            && let Some((link, turn)) = self.queue.pop_front()
        {
            self.active.insert(link, turn);
            ctx.act(Action::Serve { link, stripe: turn.end.stripe, from: turn.from, wait: turn.wait });
        }
        if self.queue.is_empty() {
            self.reported.clear();
        }
        for order in self.queue.iter().map(|(_, turn)| turn.end.stripe.order) {
            if self.reported.insert(order) {
                let detail = format!("pulls waiting for a slot: {}", self.queue.len());
                ctx.report(order, Event::Waits { reason: Reason::Busy, detail });
            }
        }
    }
    /// Frees the slot after everything requested was sent. A peer that may not wait is told to look elsewhere for the
    /// rest.
    pub(crate) fn sent(&mut self, ctx: &mut Context<'_>, link: Link) {
        if let Some(turn) = self.active.remove(&link)
            && !turn.wait
        {
            refuse(ctx, link, PullReply::NotHere);
        }
    }
    /// Removes the pulls of a closed link.
    pub(crate) fn gone(&mut self, link: Link) {
        self.active.remove(&link);
        self.queue.retain(|(other, _)| *other != link);
    }
    /// Stops serving everything because this machine may no longer forward.
    pub(crate) fn stop(&mut self, ctx: &mut Context<'_>, reason: Reason) {
        let links: Vec<Link> = self.turns().map(|(link, _)| link).collect();
        self.active.clear();
        self.queue.clear();
        links.into_iter().for_each(|link| refuse(ctx, link, PullReply::Refused { reason }));
    }
    /// Refuses pulls that wait for chunks of this order, because receiving is closed and no more will arrive.
    pub(crate) fn stop_waiting(&mut self, ctx: &mut Context<'_>, order: OrderId, reason: Reason) {
        let waits = |turn: &Turn| turn.end.stripe.order == order && turn.wait;
        let links: Vec<Link> = self.turns().filter(|(_, turn)| waits(turn)).map(|(link, _)| link).collect();
        for link in links {
            self.gone(link);
            refuse(ctx, link, PullReply::Refused { reason });
        }
    }
    /// Returns the pulls being served, followed by the queued ones.
    pub(crate) fn turns(&self) -> impl Iterator<Item = (Link, Turn)> + '_ {
        self.active.iter().map(|(link, turn)| (*link, *turn)).chain(self.queue.iter().copied())
    }
    pub(crate) fn active(&self) -> usize {
        self.active.len()
    }
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }
}

pub(crate) fn refuse(ctx: &mut Context<'_>, link: Link, reply: PullReply) {
    ctx.act(Action::RefusePull(link, reply));
}
