//! The upload slots: which pulls are served and which wait (rule P10), at most `max_children` at once over all orders.
//!
//! A pull that arrives while all slots are taken is queued. The driver sends heartbeats on it, so that the puller knows
//! this machine is alive and can decide how long to wait.

use crate::{
    context::{Context, LinkInfo},
    io::{Action, Link},
};
use banyan_proto::{OrderId, Reason, api::Event, peer::PullReply};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most pulls in the queue; further ones are refused with [`Reason::Busy`].
const MAX_QUEUED: usize = 256;

/// A pull that may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PullRequest {
    pub(crate) info: LinkInfo,
    pub(crate) from: u32,
    pub(crate) wait: bool,
}

#[derive(Debug, Default)]
pub(crate) struct UploadSlots {
    active: BTreeMap<Link, PullRequest>,
    queue: VecDeque<(Link, PullRequest)>,
    /// Orders for which queued pulls have been reported; cleared when the queue is empty.
    reported: BTreeSet<OrderId>,
}

impl UploadSlots {
    /// Queues an accepted pull. It replaces an older one by the same machine for the same stripe.
    pub(crate) fn enqueue(&mut self, ctx: &mut Context<'_>, link: Link, pull: PullRequest) {
        let older = self.pulls().find(|(_, other)| other.info == pull.info).map(|(other, _)| other);
        if let Some(older) = older {
            self.remove_link(older);
            if older != link {
                refuse_pull(ctx, older, PullReply::NotHere);
            }
        }
        if self.queue.len() >= MAX_QUEUED {
            return refuse_pull(ctx, link, PullReply::Refused { reason: Reason::Busy });
        }
        self.queue.push_back((link, pull));
    }
    /// Gives free slots to the pulls that have waited longest.
    pub(crate) fn run(&mut self, ctx: &mut Context<'_>) {
        while self.active.len() < ctx.config.max_children
            && let Some((link, pull)) = self.queue.pop_front()
        {
            self.active.insert(link, pull);
            ctx.emit(Action::Serve { link, stripe: pull.info.stripe, from: pull.from, wait: pull.wait });
        }
        if self.queue.is_empty() {
            self.reported.clear();
        }
        for order in self.queue.iter().map(|(_, pull)| pull.info.stripe.order) {
            if self.reported.insert(order) {
                let detail = format!("pulls waiting for a slot: {}", self.queue.len());
                ctx.report(order, Event::Waits { reason: Reason::Busy, detail });
            }
        }
    }
    /// Frees the slot after everything requested was sent. A peer that may not wait is refused, so that it looks
    /// elsewhere for the rest.
    pub(crate) fn on_sent(&mut self, ctx: &mut Context<'_>, link: Link) {
        if let Some(pull) = self.active.remove(&link)
            && !pull.wait
        {
            refuse_pull(ctx, link, PullReply::NotHere);
        }
    }
    /// Removes the pulls of a closed link.
    pub(crate) fn remove_link(&mut self, link: Link) {
        self.active.remove(&link);
        self.queue.retain(|(other, _)| *other != link);
    }
    /// Stops serving everything because this machine may no longer forward.
    pub(crate) fn refuse_all(&mut self, ctx: &mut Context<'_>, reason: Reason) {
        let links: Vec<Link> = self.pulls().map(|(link, _)| link).collect();
        self.active.clear();
        self.queue.clear();
        links.into_iter().for_each(|link| refuse_pull(ctx, link, PullReply::Refused { reason }));
    }
    /// Refuses pulls that wait for chunks of this order, because receiving is closed and no more will arrive.
    pub(crate) fn refuse_waiting(&mut self, ctx: &mut Context<'_>, order: OrderId, reason: Reason) {
        let waits = |pull: &PullRequest| pull.info.stripe.order == order && pull.wait;
        let links: Vec<Link> = self.pulls().filter(|(_, pull)| waits(pull)).map(|(link, _)| link).collect();
        for link in links {
            self.remove_link(link);
            refuse_pull(ctx, link, PullReply::Refused { reason });
        }
    }
    /// Returns the pulls being served, followed by the queued ones.
    pub(crate) fn pulls(&self) -> impl Iterator<Item = (Link, PullRequest)> + '_ {
        self.active.iter().map(|(link, pull)| (*link, *pull)).chain(self.queue.iter().copied())
    }
    pub(crate) fn served_count(&self) -> usize {
        self.active.len()
    }
    pub(crate) fn queued_count(&self) -> usize {
        self.queue.len()
    }
}

pub(crate) fn refuse_pull(ctx: &mut Context<'_>, link: Link, reply: PullReply) {
    ctx.emit(Action::RefusePull(link, reply));
}
