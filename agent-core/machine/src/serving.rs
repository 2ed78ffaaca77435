//! Whose pulls are served, and who waits for a turn (rule P10): at most `max_children` at once, over all orders.
//!
//! A pull that came while all turns are taken stands in the queue; the driver sends heartbeats on it, so the puller knows
//! that we live, and decides itself how long it waits.

use crate::{
    context::{Context, End},
    io::{Action, Link},
};
use banyan_proto::{DeploymentId, Reason, api::Event, peer::PullReply};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most pulls in the queue; further ones are refused as [`Reason::Busy`].
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
    /// Orders for which it has been reported that pulls wait here, until none does.
    reported: BTreeSet<DeploymentId>,
}

impl Serving {
    /// A pull that was found to be in order. It replaces an older one of the same machine for the same stripe.
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
    /// Gives free turns to those who wait longest.
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
                let detail = format!("waiting here for their turn: {}", self.queue.len());
                ctx.report(order, Event::Waits { reason: Reason::Busy, detail });
            }
        }
    }
    /// Everything asked for was sent: the turn is over. Who could not wait is told to look elsewhere for the rest.
    pub(crate) fn sent(&mut self, ctx: &mut Context<'_>, link: Link) {
        if let Some(turn) = self.active.remove(&link)
            && !turn.wait
        {
            refuse(ctx, link, PullReply::NotHere);
        }
    }
    /// The link is gone.
    pub(crate) fn gone(&mut self, link: Link) {
        self.active.remove(&link);
        self.queue.retain(|(other, _)| *other != link);
    }
    /// This machine may not hand on any more.
    pub(crate) fn stop(&mut self, ctx: &mut Context<'_>, reason: Reason) {
        let links: Vec<Link> = self.turns().map(|(link, _)| link).collect();
        self.active.clear();
        self.queue.clear();
        links.into_iter().for_each(|link| refuse(ctx, link, PullReply::Refused { reason }));
    }
    /// Nothing more comes in for this order: whoever waits here for it looks elsewhere.
    pub(crate) fn stop_waiting(&mut self, ctx: &mut Context<'_>, order: DeploymentId, reason: Reason) {
        let waits = |turn: &Turn| turn.end.stripe.order == order && turn.wait;
        let links: Vec<Link> = self.turns().filter(|(_, turn)| waits(turn)).map(|(link, _)| link).collect();
        for link in links {
            self.gone(link);
            refuse(ctx, link, PullReply::Refused { reason });
        }
    }
    /// Those being served, then those waiting.
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
