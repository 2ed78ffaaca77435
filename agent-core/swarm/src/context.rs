//! The side effects available to every part of the state machine: emit actions, open and close links, draw randomness.
//!
//! The link table records the peer of each link. An entry exists from the moment a link is dialled or first used until
//! it is lost or closed. Events on any other link are ignored.

use crate::{
    config::Config,
    io::{Action, Link, Now, StripeId},
    retry_delay::Jitter,
};
use banyan_proto::{MachineId, OrderId, Reason, api::Event};
use std::collections::{BTreeMap, VecDeque};

/// The machine at the other end of a link, and the stripe that the link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub(crate) peer: MachineId,
    pub(crate) stripe: StripeId,
}

/// The state that outlives one call: the pending actions and the link table.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) actions: VecDeque<Action>,
    pub(crate) links: BTreeMap<Link, LinkInfo>,
    /// Links closed during this call, which the other modules still have to forget.
    pub(crate) closed: Vec<(Link, LinkInfo)>,
    pub(crate) jitter: Jitter,
    /// This machine receives slowly on purpose, so no source is blamed for being slow.
    pub(crate) receives_slowly: bool,
    next_link: u64,
}

impl Effects {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            actions: VecDeque::new(),
            links: BTreeMap::new(),
            closed: Vec::new(),
            jitter: Jitter::new(seed),
            receives_slowly: false,
            next_link: 1,
        }
    }
}

/// The time, the configuration and the outputs of one call.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a Config,
    pub(crate) effects: &'a mut Effects,
}

impl Context<'_> {
    pub(crate) fn emit(&mut self, action: Action) {
        self.effects.actions.push_back(action);
    }
    pub(crate) fn report(&mut self, order: OrderId, event: Event) {
        self.emit(Action::Report(order, event));
    }
    /// Requests a connection and returns its new, odd link number.
    pub(crate) fn dial(&mut self, peer: MachineId, stripe: StripeId) -> Link {
        let link = Link(self.effects.next_link);
        self.effects.next_link += 2;
        self.effects.links.insert(link, LinkInfo { peer, stripe });
        self.emit(Action::Dial { link, peer, stripe });
        link
    }
    /// Closes the link unless it is already gone.
    pub(crate) fn close(&mut self, link: Link, reason: Reason) {
        if let Some(info) = self.effects.links.remove(&link) {
            self.effects.closed.push((link, info));
            self.emit(Action::Close(link, reason));
        }
    }
}
