//! What every concern may do: put actions out, open and close links, ask for a little randomness.
//!
//! The table of links says who is at the other end. A link is in it from the moment it is dialled, or first heard of,
//! until it is lost or closed; what happens on any other link is ignored.

use crate::{
    config::Config,
    io::{Action, Link, Now, StripeId},
    pause::Jitter,
};
use banyan_proto::{DeploymentId, MachineId, Reason, api::Event};
use std::collections::{BTreeMap, VecDeque};

/// The other end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) peer: MachineId,
    pub(crate) stripe: StripeId,
}

/// What outlives one call: actions not taken yet, and the links.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) actions: VecDeque<Action>,
    pub(crate) links: BTreeMap<Link, End>,
    /// Closed in this call; each concern still has to forget them.
    pub(crate) closed: Vec<(Link, End)>,
    pub(crate) jitter: Jitter,
    /// This machine takes bytes in slowly: nobody is blamed for being slow.
    pub(crate) takes_slowly: bool,
    next_link: u64,
}

impl Out {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            actions: VecDeque::new(),
            links: BTreeMap::new(),
            closed: Vec::new(),
            jitter: Jitter::new(seed),
            takes_slowly: false,
            next_link: 1,
        }
    }
}

/// Handed down through one call.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a Config,
    pub(crate) out: &'a mut Out,
}

impl Context<'_> {
    pub(crate) fn act(&mut self, action: Action) {
        self.out.actions.push_back(action);
    }
    pub(crate) fn report(&mut self, order: DeploymentId, event: Event) {
        self.act(Action::Report(order, event));
    }
    /// Asks for a connection under a fresh, odd number.
    pub(crate) fn dial(&mut self, peer: MachineId, stripe: StripeId) -> Link {
        let link = Link(self.out.next_link);
        self.out.next_link += 2;
        self.out.links.insert(link, End { peer, stripe });
        self.act(Action::Dial { link, peer, stripe });
        link
    }
    /// Hangs up, unless the link is gone already.
    pub(crate) fn close(&mut self, link: Link, reason: Reason) {
        if let Some(end) = self.out.links.remove(&link) {
            self.out.closed.push((link, end));
            self.act(Action::Close(link, reason));
        }
    }
}
