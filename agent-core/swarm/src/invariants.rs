//! The invariants of `STATE.md`, as code. Tests check them after every transition; production code never does.

use crate::{
    delegation::PartState,
    io::{InstallLane, Link},
    order::Order,
    order_state::OrderState,
    source::{Candidate, SourceState, stream::SourceKind},
    stripe::Stripe,
    swarm_state::SwarmState,
};
use banyan_proto::{AddresseeList, MachineId, Proof};
use std::collections::BTreeSet;

impl SwarmState {
    /// Returns the number and description of the first invariant of `STATE.md` that is violated; `None` in a correct
    /// machine. For tests and simulations.
    #[must_use]
    pub fn broken_invariant(&self) -> Option<String> {
        let stripes = || self.orders.values().flat_map(|order| order.stripes().map(move |stripe| (order, stripe)));
        stripes()
            .find_map(|(order, stripe)| self.source_broken(order, stripe))
            .or_else(|| stripes().find_map(|(_, stripe)| delegation_broken(stripe)))
            .or_else(|| self.links_broken())
            .or_else(|| self.upload_slots_broken())
            .or_else(|| self.order_state_broken())
    }
    fn source_broken(&self, order: &Order, stripe: &Stripe) -> Option<String> {
        let source = stripe.source();
        let (held, chunks) = (source.held(), source.chunks());
        if held > chunks || source.is_complete() != matches!(source.state(), SourceState::Complete(_)) {
            return Some(format!("S1: {held} of {chunks} chunks held in state {:?}", source.state()));
        }
        if !source.is_open() && !matches!(source.state(), SourceState::Searching { .. } | SourceState::Complete(_)) {
            return Some(format!("S8: receiving is closed, but the state is {:?}", source.state()));
        }
        let asked: Vec<(Candidate, Link)> = match source.state() {
            SourceState::Searching { .. } | SourceState::Complete(_) => Vec::new(),
            SourceState::Connecting(attempt) => vec![(attempt.candidate(), attempt.link())],
            SourceState::Streaming(stream) => vec![(stream.candidate(), stream.link)],
            SourceState::Probing(stream, attempt, _) => {
                vec![(stream.candidate(), stream.link), (attempt.candidate(), attempt.link())]
            }
        };
        for (Candidate { peer, kind }, link) in asked {
            let above = stripe.proof().ancestors().any(|id| id == peer);
            let below = stripe.sublist().ids().any(|id| id == peer);
            let may_wait = match kind {
                SourceKind::Ancestor => above,
                SourceKind::Server => peer == self.config.server,
                SourceKind::Holder => !above,
                // The server names it; what it says of its own source shows whether there is a circle.
                SourceKind::Named => peer != self.config.me,
            };
            if !may_wait || (below && kind != SourceKind::Named) {
                return Some(format!("S2: pulls from {peer} as {kind:?}, above: {above}, below: {below}"));
            }
            if order.banned().contains(&peer) {
                return Some(format!("S3: still pulls from {peer}, which sent bad bytes"));
            }
            if self.effects.links.get(&link).is_none_or(|info| info.peer != peer) {
                return Some(format!("L1: pulls from {peer} over {link:?}, which does not lead to it"));
            }
        }
        None
    }
    fn links_broken(&self) -> Option<String> {
        let mut used = BTreeSet::new();
        for stripe in self.orders.values().flat_map(Order::stripes) {
            for link in stripe
                .delegation()
                .into_iter()
                .flat_map(|delegation| delegation.parts())
                .filter_map(|part| part.state.link())
            {
                if !self.effects.links.contains_key(&link) || !used.insert(link) {
                    return Some(format!("L2: {link:?} is unknown or leads to two heads"));
                }
            }
        }
        let gone = |(link, _): &(Link, _)| !self.effects.links.contains_key(link);
        self.upload_slots.pulls().find(gone).map(|(link, _)| format!("L3: serves {link:?}, which is closed"))
    }
    fn upload_slots_broken(&self) -> Option<String> {
        let (active, waiting) = (self.upload_slots.served_count(), self.upload_slots.queued_count());
        if active > self.config.max_children || (waiting > 0 && active < self.config.max_children) {
            return Some(format!("T1: {active} served, {waiting} waiting, limit {}", self.config.max_children));
        }
        let mut ends = BTreeSet::new();
        let twice = self.upload_slots.pulls().find(|(_, pull)| !ends.insert((pull.info.peer, pull.info.stripe)));
        if let Some((_, pull)) = twice {
            return Some(format!("T2: {} is served twice", pull.info.peer));
        }
        let waits = self.upload_slots.pulls().find(|(_, pull)| {
            let order = self.orders.get(&pull.info.stripe.order);
            let stripe = order.and_then(|order| order.stripe(pull.info.stripe.stripe));
            pull.wait && stripe.is_some_and(|stripe| !stripe.source().is_open() && !stripe.source().is_complete())
        });
        if let Some((_, pull)) = waits {
            return Some(format!("T4: {} waits here for chunks that will not arrive", pull.info.peer));
        }
        (self.may_forward.is_err() && active + waiting > 0)
            .then(|| "T3: serves although forwarding is closed".to_owned())
    }
    fn order_state_broken(&self) -> Option<String> {
        for lane in [InstallLane::Own, InstallLane::System] {
            let count = |of: fn(&OrderState) -> bool| {
                self.orders.values().filter(|order| order.lane() == lane && of(order.state())).count()
            };
            let (installing, ready) = (
                count(|state| matches!(state, OrderState::Installing(_))),
                count(|state| matches!(state, OrderState::Ready(..))),
            );
            if installing > 1 || (ready > 0 && installing == 0) {
                return Some(format!("O1: {installing} installing at once, {ready} waiting"));
            }
        }
        let astray = self.orders.values().find(|order| match order.state() {
            OrderState::Root | OrderState::Ended(_) => false,
            OrderState::Receiving => order.is_complete(),
            _ => !order.is_complete(),
        });
        astray.map(|order| format!("O2: complete: {}, but the state is {:?}", order.is_complete(), order.state()))
    }
}

fn delegation_broken(stripe: &Stripe) -> Option<String> {
    let delegation = stripe.delegation()?;
    let below: BTreeSet<MachineId> = stripe.sublist().ids().skip(1).collect();
    let mut seen = BTreeSet::new();
    for id in delegation.parts().iter().flat_map(|part| part.sublist.ids()) {
        if !below.contains(&id) || !seen.insert(id) {
            return Some(format!("H1: {id} is not below this machine, or is in two parts"));
        }
    }
    let root = |proof: &Proof, list: &AddresseeList| proof.root(stripe.stripe(), list.subtree(stripe.stripe()));
    let own = root(stripe.proof(), stripe.sublist());
    if delegation.parts().iter().any(|part| root(&part.proof, &part.sublist) != own) {
        return Some("H2: a part's proof leads to a different root".to_owned());
    }
    if !delegation.is_bounded() {
        return Some("H3: too many dials at once".to_owned());
    }
    let unfinished = delegation.parts().iter().any(|part| !matches!(part.state, PartState::Taken(..)));
    if unfinished && delegation.next_wake().is_none() {
        return Some("H4: a part is awaited without a deadline".to_owned());
    }
    stripe.owes_answer().then(|| "H5: every part is delegated, but a sender was not informed".to_owned())
}
