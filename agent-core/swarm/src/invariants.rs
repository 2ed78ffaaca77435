//! The invariants of `STATE.md`, as code. Tests check them after every transition; production code never does.

use crate::{
    delegation::Step,
    io::Link,
    order::Order,
    order_state::Life,
    source::{Attempt, Seat, stream::Kind},
    stripe::Stripe,
    swarm_state::Machine,
};
use banyan_proto::{AddresseeList, MachineId, Proof};
use std::collections::BTreeSet;

impl Machine {
    /// Returns the number and description of the first invariant of `STATE.md` that is violated; `None` in a correct
    /// machine. For tests and simulations.
    #[must_use]
    pub fn broken_invariant(&self) -> Option<String> {
        let stripes = || self.orders.values().flat_map(|order| order.stripes().map(move |stripe| (order, stripe)));
        stripes()
            .find_map(|(order, stripe)| self.source_broken(order, stripe))
            .or_else(|| stripes().find_map(|(_, stripe)| handing_broken(stripe)))
            .or_else(|| self.links_broken())
            .or_else(|| self.serving_broken())
            .or_else(|| self.life_broken())
    }
    fn source_broken(&self, order: &Order, stripe: &Stripe) -> Option<String> {
        let source = stripe.source();
        let (held, chunks) = (source.held(), source.chunks());
        if held > chunks || source.is_whole() != matches!(source.seat(), Seat::Whole(_)) {
            return Some(format!("S1: {held} of {chunks} chunks held in state {:?}", source.seat()));
        }
        if !source.is_open() && !matches!(source.seat(), Seat::Empty { .. } | Seat::Whole(_)) {
            return Some(format!("S8: receiving is closed, but the state is {:?}", source.seat()));
        }
        let asked = |attempt: &Attempt| (attempt.peer(), attempt.link());
        let turned_to: Vec<((MachineId, Kind), Link)> = match source.seat() {
            Seat::Empty { .. } | Seat::Whole(_) => Vec::new(),
            Seat::Trying(attempt) => vec![asked(attempt)],
            Seat::Fed(stream) => vec![((stream.peer, stream.kind), stream.link)],
            Seat::Probing(stream, attempt, _) => {
                vec![((stream.peer, stream.kind), stream.link), asked(attempt)]
            }
        };
        for ((peer, kind), link) in turned_to {
            let above = stripe.proof().ancestors().any(|id| id == peer);
            let below = stripe.sublist().ids().any(|id| id == peer);
            let may_wait = match kind {
                Kind::Ancestor => above,
                Kind::Server => peer == self.config.server,
                Kind::Holder => !above,
            };
            if !may_wait || below {
                return Some(format!("S2: pulls from {peer} as {kind:?}, above: {above}, below: {below}"));
            }
            if order.banned().contains(&peer) {
                return Some(format!("S3: still pulls from {peer}, which sent bad bytes"));
            }
            if self.out.links.get(&link).is_none_or(|end| end.peer != peer) {
                return Some(format!("L1: pulls from {peer} over {link:?}, which does not lead to it"));
            }
        }
        None
    }
    fn links_broken(&self) -> Option<String> {
        let mut used = BTreeSet::new();
        for stripe in self.orders.values().flat_map(Order::stripes) {
            for link in stripe.handing().into_iter().flat_map(|handing| handing.tasks()).filter_map(|t| t.step.link()) {
                if !self.out.links.contains_key(&link) || !used.insert(link) {
                    return Some(format!("L2: {link:?} is unknown or leads to two heads"));
                }
            }
        }
        let gone = |(link, _): &(Link, _)| !self.out.links.contains_key(link);
        self.serving.turns().find(gone).map(|(link, _)| format!("L3: serves {link:?}, which is closed"))
    }
    fn serving_broken(&self) -> Option<String> {
        let (active, waiting) = self.serving();
        if active > self.config.max_children || (waiting > 0 && active < self.config.max_children) {
            return Some(format!("T1: {active} served, {waiting} waiting, limit {}", self.config.max_children));
        }
        let mut ends = BTreeSet::new();
        let twice = self.serving.turns().find(|(_, turn)| !ends.insert((turn.end.peer, turn.end.stripe)));
        if let Some((_, turn)) = twice {
            return Some(format!("T2: {} is served twice", turn.end.peer));
        }
        let waits = self.serving.turns().find(|(_, turn)| {
            let order = self.orders.get(&turn.end.stripe.order);
            let stripe = order.and_then(|order| order.stripe(turn.end.stripe.stripe));
            turn.wait && stripe.is_some_and(|stripe| !stripe.source().is_open() && !stripe.source().is_whole())
        });
        if let Some((_, turn)) = waits {
            return Some(format!("T4: {} waits here for chunks that will not arrive", turn.end.peer));
        }
        (self.may_forward.is_err() && active + waiting > 0)
            .then(|| "T3: serves although forwarding is closed".to_owned())
    }
    fn life_broken(&self) -> Option<String> {
        let count = |of: fn(&Life) -> bool| self.orders.values().filter(|order| of(order.life())).count();
        let (installing, ready) =
            (count(|life| matches!(life, Life::Installing(_))), count(|life| matches!(life, Life::Ready(..))));
        if installing > 1 || (ready > 0 && installing == 0) {
            return Some(format!("O1: {installing} installing at once, {ready} waiting"));
        }
        let astray = self.orders.values().find(|order| match order.life() {
            Life::Root | Life::Ended(_) => false,
            Life::Receiving => order.is_whole(),
            _ => !order.is_whole(),
        });
        astray.map(|order| format!("O2: complete: {}, but the state is {:?}", order.is_whole(), order.life()))
    }
}

fn handing_broken(stripe: &Stripe) -> Option<String> {
    let handing = stripe.handing()?;
    let below: BTreeSet<MachineId> = stripe.sublist().ids().skip(1).collect();
    let mut seen = BTreeSet::new();
    for id in handing.tasks().iter().flat_map(|task| task.sublist.ids()) {
        if !below.contains(&id) || !seen.insert(id) {
            return Some(format!("H1: {id} is not below this machine, or is in two parts"));
        }
    }
    let root = |proof: &Proof, list: &AddresseeList| proof.root(stripe.stripe(), list.subtree(stripe.stripe()));
    let own = root(stripe.proof(), stripe.sublist());
    if handing.tasks().iter().any(|task| root(&task.proof, &task.sublist) != own) {
        return Some("H2: a part's proof leads to a different root".to_owned());
    }
    if !handing.is_bounded() {
        return Some("H3: too many dials at once".to_owned());
    }
    let unfinished = handing.tasks().iter().any(|task| !matches!(task.step, Step::Taken(..)));
    if unfinished && handing.wake().is_none() {
        return Some("H4: a part is awaited without a deadline".to_owned());
    }
    stripe.owes().then(|| "H5: every part is delegated, but a sender was not informed".to_owned())
}
