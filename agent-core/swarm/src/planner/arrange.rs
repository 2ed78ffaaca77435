//! Arranges machines of one site, or sites, in one tree for each stripe.
//!
//! Machines form classes of similar capacity. The fastest class is on top. Each slower class is a block that hangs
//! below one machine of a faster class in each tree, so no machine waits for a slower one.
//!
//! With two stripes a block is paired: half of its machines have two children in the first tree and none in the second,
//! the other half the reverse. So everyone sends one copy. One machine of the block is left over: it has no children
//! within the block, and feeds what hangs below.
//!
//! Machines that do not forward, or not at the rate at which they can receive, are leaves in both trees wherever a
//! faster machine has upload to spare. If that is too little, some machines send more than a copy (`balance`).
//!
//! Of a machine and its child, one can dial the other (`fill`). Machines that cannot be dialled and for which there is no
//! such place are leaves, too.

use super::{
    balance::{Fastest, mixed_pair},
    fill::{Gates, Order, fill, without_surplus},
    positions::{Child, Placed, Positions},
};
use std::collections::VecDeque;

/// A machine, or a site that is entered at one machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// What it can receive, in bytes a second.
    pub(super) down: u64,
    /// What it can send, in bytes a second.
    pub(super) up: u64,
    /// Whether these rates were measured.
    pub(super) known: bool,
    /// Whether it is known to receive no faster. Others may only have had slow senders.
    pub(super) is_at_limit: bool,
    /// Whether it is expected to receive now.
    pub(super) online: bool,
    /// Whether it may forward.
    pub(super) forwards: bool,
    /// Whether the other members can dial it.
    pub(super) is_dialable: bool,
    /// Whether machines elsewhere can dial it.
    pub(super) is_dialable_outside: bool,
    /// The number of machines that are online in it.
    pub(super) size: usize,
}

/// One stripe's tree of members.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    /// The members below the sender of the whole tree.
    pub(super) roots: Vec<usize>,
    /// The children of each member, at most two.
    pub(super) children: Vec<Vec<usize>>,
    /// The members below which something outside hangs. They have fewer than two children for each time they appear.
    pub(super) exits: Vec<usize>,
}

impl Tree {
    /// Returns the tree of a single member.
    pub(super) fn single(exits: usize) -> Self {
        Self { roots: vec![0], children: vec![vec![]], exits: vec![0; exits] }
    }
}

/// What is outside of the trees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside<'a> {
    /// The number of members that the sender feeds in each tree.
    pub(super) entries: usize,
    /// What the sender can send over all trees, in bytes a second.
    pub(super) up: u64,
    /// The number of positions to keep free in each tree.
    pub(super) exits: &'a [usize],
    /// Whether the sender can feed another member, if no other suits.
    pub(super) has_second_entry: bool,
}

/// Arranges the members. `factor` is the ratio of the fastest to the slowest machine of a class.
pub(super) fn arrange(members: &[Member], outside: Outside<'_>, factor: f64) -> Vec<Tree> {
    let Outside { entries, up, exits, has_second_entry } = outside;
    let empty = Tree { children: vec![vec![]; members.len()], ..Tree::default() };
    let mut arrangement = Arrangement {
        members: members.to_vec(),
        trees: vec![empty; exits.len()],
        positions: Positions::new(members.len(), exits.len()),
        planned: vec![2; members.len()],
    };
    let (mut forwarders, mut others) = arrangement.split();
    let is_outlet = exits.iter().any(|&exits| exits > 0);
    arrangement.balance(&mut forwarders, &others, factor, is_outlet);
    let mut gates = vec![vec![Gate { parent: None, rate: up / 2 }; entries]; exits.len()];
    let mut is_first = true;
    while !forwarders.is_empty() {
        let mut class = arrangement.next_class(&mut forwarders, factor, is_first);
        if !is_first {
            arrangement.adopt_narrow_uplinks(&mut class);
        }
        let feeds = is_outlet || !forwarders.is_empty();
        let (class, surplus) = without_surplus(&arrangement.members, class, &gate_parents(&gates), feeds);
        arrangement.take_as_leaves(&surplus, &mut others);
        let Some(rate) = class.iter().map(|&member| arrangement.pace(member)).min() else { continue };
        let rate = arrangement.block(&class, &gates, rate, feeds);
        if is_first {
            let is_last = class.len() == members.len();
            arrangement.keep_exits(exits, rate, is_last);
            is_first = false;
        }
        let next = forwarders.first().map_or(0, |&member| arrangement.pace(member));
        gates = arrangement.open_gates(next, Child::Undialable);
        arrangement.adopt(&mut others, rate);
        arrangement.adopt(&mut forwarders, rate);
    }
    for (tree, gates) in gates.into_iter().enumerate() {
        gates.into_iter().for_each(|gate| arrangement.close(tree, gate));
    }
    arrangement.place_rest(&others, exits, has_second_entry);
    arrangement.trees
}

/// A position that is kept for the next class.
#[derive(Debug, Clone, Copy)]
struct Gate {
    /// The machine that feeds it; `None` for the sender of the whole tree.
    parent: Option<usize>,
    rate: u64,
}

/// Returns the machines that feed the kept positions, by tree.
fn gate_parents(gates: &[Vec<Gate>]) -> Gates {
    gates.iter().map(|gates| gates.iter().map(|gate| gate.parent).collect()).collect()
}

struct Arrangement {
    members: Vec<Member>,
    trees: Vec<Tree>,
    positions: Positions,
    /// How many children the member is to have over both trees: one if it sends little, three if others send too little.
    planned: Vec<u8>,
}

impl Arrangement {
    /// Returns the rate at which the member can receive each stripe.
    fn intake(&self, member: usize) -> u64 {
        self.members[member].down / self.trees.len() as u64
    }
    /// Returns the rate at which the member can receive each stripe and send it to its children.
    fn pace(&self, member: usize) -> u64 {
        self.intake(member).min(self.members[member].up / u64::from(self.planned[member]))
    }
    /// Decides who of the fastest class sends more or less than one copy, because others send too little.
    fn balance(&mut self, forwarders: &mut [usize], others: &[usize], factor: f64, is_outlet: bool) {
        if self.trees.len() < 2 {
            return;
        }
        let (class, slower) = forwarders.split_at(self.similar(forwarders, factor, true));
        let Some(rate) = class.iter().map(|&member| self.pace(member)).min() else { return };
        let least = (self.top(forwarders, true) as f64 / factor).ceil() as u64;
        let fastest = Fastest { members: &self.members, class, slower, others, rate };
        if let Some(ones) = fastest.with_one_child(least, is_outlet) {
            ones.into_iter().for_each(|member| self.planned[member] = 1);
        } else {
            let first = class.len() - fastest.count_with_three();
            class[first..].iter().for_each(|&member| self.planned[member] = 3);
        }
        self.sort_forwarders(forwarders);
    }
    /// Returns the pace by which the fastest members form a class. The first class goes by the second fastest machine, so
    /// that no machine heads both trees by what it claims.
    fn top(&self, forwarders: &[usize], is_first: bool) -> u64 {
        let top = forwarders.get(usize::from(is_first)).or(forwarders.first());
        top.map_or(0, |&member| self.pace(member))
    }
    /// Returns how many of the fastest members form a class. Members with three children are a class of their own.
    fn similar(&self, forwarders: &[usize], factor: f64, is_first: bool) -> usize {
        let top = self.top(forwarders, is_first) as f64;
        let has_three = |member: usize| self.planned[member] == 3;
        let is_first = forwarders.first().is_some_and(|&member| has_three(member));
        let is_similar = |member: usize| self.pace(member) as f64 * factor >= top && has_three(member) == is_first;
        forwarders.iter().take_while(|&&member| is_similar(member)).count()
    }
    /// Returns those who forward, fastest first, and the others.
    fn split(&self) -> (Vec<usize>, Vec<usize>) {
        let all = || 0..self.members.len();
        let is_online = |&at: &usize| self.members[at].online;
        let is_forwarder = |at: &usize| is_online(at) && self.members[*at].forwards;
        let mut first: Vec<usize> = all().filter(is_forwarder).collect();
        if first.is_empty() {
            first = all().filter(is_online).collect();
        }
        if first.is_empty() {
            first = all().collect();
        }
        self.sort_forwarders(&mut first);
        let mut is_first = vec![false; self.members.len()];
        first.iter().for_each(|&at| is_first[at] = true);
        let mut others: Vec<usize> = all().filter(|&at| !is_first[at]).collect();
        self.sort_others(&mut others);
        (first, others)
    }
    fn sort_forwarders(&self, forwarders: &mut [usize]) {
        forwarders.sort_by_key(|&at| std::cmp::Reverse((self.pace(at), self.members[at].known, self.members[at].size)));
    }
    /// Sorts those who become leaves: those who are online first, the fastest first.
    fn sort_others(&self, others: &mut [usize]) {
        others.sort_by_key(|&at| std::cmp::Reverse((self.members[at].online, self.intake(at))));
    }
    /// Makes leaves of members that have no place among those who forward, because nobody can dial them.
    fn take_as_leaves(&mut self, surplus: &[usize], others: &mut Vec<usize>) {
        if !surplus.is_empty() {
            surplus.iter().for_each(|&member| self.members[member].forwards = false);
            others.extend(surplus);
            self.sort_others(others);
        }
    }
    /// Takes the fastest class out. Measured machines are first in it, those before the others that may be faster than
    /// was measured: near the top, that shows.
    fn next_class(&self, forwarders: &mut Vec<usize>, factor: f64, is_first: bool) -> Vec<usize> {
        let similar = self.similar(forwarders, factor, is_first);
        let mut class: Vec<usize> = forwarders.drain(..similar).collect();
        class.sort_by_key(|&at| (!self.members[at].known, self.members[at].is_at_limit));
        class
    }
    fn link(&mut self, tree: usize, parent: Option<usize>, child: usize) {
        match parent {
            Some(parent) => self.trees[tree].children[parent].push(child),
            None => self.trees[tree].roots.push(child),
        }
    }
    /// Adds a class below `gates`, with the trees that its pairing gives. Returns the rate at which it receives.
    fn block(&mut self, class: &[usize], gates: &[Vec<Gate>], rate: u64, feeds: bool) -> u64 {
        let gate_parents = gate_parents(gates);
        let sends_one: Vec<bool> = class.iter().map(|&member| self.planned[member] == 1).collect();
        let mixed = sends_one.contains(&true).then(|| mixed_pair(&sends_one, feeds)).flatten();
        let orders = mixed.unwrap_or_else(|| orders(class.len(), &gate_parents, feeds));
        let mut peers = vec![[0; 2]; class.len()];
        let mut parents = vec![[None; 2]; class.len()];
        let rate = gates.iter().flatten().map(|gate| gate.rate).min().unwrap_or(rate).min(rate);
        for (tree, order) in orders.iter().enumerate() {
            for placed in fill(&self.members, class, order, &gate_parents[tree]) {
                self.link(tree, placed.parent, class[placed.at]);
                parents[placed.at][tree] = placed.parent;
            }
            order.iter().for_each(|&(at, children)| peers[at][tree] = children);
        }
        let before = self.positions.placed();
        for &(at, _) in &orders[0] {
            let number = before + at;
            let Member { up, online, forwards, is_dialable, .. } = self.members[class[at]];
            let (peers, parents, receives) = (peers[at], parents[at], [rate; 2]);
            let placed = Placed { forwards, online, is_dialable, up, receives, peers, rate, number, parents };
            self.positions.add(class[at], placed);
        }
        rate
    }
    /// Returns the best position at this rate. If none has that much to spare, the children of one share.
    fn best(&mut self, tree: usize, rate: u64, child: Child) -> Option<(usize, u64)> {
        match self.positions.spare(tree, rate, child) {
            Some((parent, _)) => Some((parent, rate)),
            None => self.positions.shared(tree, child).map(|(parent, share)| (parent, share.min(rate))),
        }
    }
    fn child(&self, member: usize) -> Child {
        if self.members[member].is_dialable { Child::Dialable } else { Child::Undialable }
    }
    /// Keeps positions for what hangs below. The last free one stays for the members that are not placed yet.
    fn keep_exits(&mut self, exits: &[usize], rate: u64, is_last: bool) {
        for (tree, &exits) in exits.iter().enumerate() {
            while self.trees[tree].exits.len() < exits && (is_last || self.positions.open(tree) > 1) {
                // Whoever comes there may be a machine that nobody can dial.
                let Some((parent, rate)) = self.best(tree, rate, Child::Undialable) else { break };
                self.positions.take(parent, tree, rate);
                self.trees[tree].exits.push(parent);
            }
        }
    }
    /// Keeps one position in each tree for the next class, or for a member.
    fn open_gates(&mut self, rate: u64, child: Child) -> Vec<Vec<Gate>> {
        let mut gates = Vec::new();
        for tree in 0..self.trees.len() {
            let best = self.best(tree, rate, child);
            gates.push(best.map(|(parent, rate)| self.open(tree, parent, rate)).into_iter().collect());
        }
        gates
    }
    /// Makes leaves of those who can receive at about this rate, but not forward at it, while there is upload to spare.
    fn adopt(&mut self, waiting: &mut Vec<usize>, rate: u64) {
        let mut is_any = true;
        waiting.retain(|&member| {
            is_any = is_any && self.has_spare(rate - rate / 4, Child::Dialable);
            if !is_any {
                return true;
            }
            let own = if self.members[member].forwards { self.pace(member) } else { 0 };
            let (wanted, enough) = (self.intake(member).min(rate), (rate - rate / 4).max(own + own / 4));
            !(self.members[member].online && wanted >= enough && self.adopt_one(member, wanted, enough))
        });
    }
    /// Makes leaves of those in a class who receive much faster as leaves than they could forward.
    fn adopt_narrow_uplinks(&mut self, class: &mut Vec<usize>) {
        class.retain(|&member| {
            let (wanted, enough) = (self.intake(member), self.pace(member).saturating_mul(3) / 2);
            !(wanted >= enough && self.adopt_one(member, wanted, enough))
        });
    }
    /// Makes a leaf of the member if both trees have a position for it that carries `enough`.
    fn adopt_one(&mut self, member: usize, wanted: u64, enough: u64) -> bool {
        let parents = self.spare_parents(wanted, enough, self.child(member));
        parents.map(|parents| self.leaf(member, &parents)).is_some()
    }
    /// Takes a position in each tree that carries at least `enough`; takes none if one of the trees has none.
    fn spare_parents(&mut self, wanted: u64, enough: u64, child: Child) -> Option<Vec<Gate>> {
        if !self.has_spare(enough, child) {
            return None;
        }
        let mut parents: Vec<Gate> = Vec::new();
        for tree in 0..self.trees.len() {
            let Some((parent, spare)) = self.positions.spare(tree, enough, child) else {
                parents.iter().enumerate().for_each(|(tree, &gate)| self.close(tree, gate));
                return None;
            };
            parents.push(self.open(tree, parent, spare.min(wanted)));
        }
        Some(parents)
    }
    fn has_spare(&mut self, rate: u64, child: Child) -> bool {
        (0..self.trees.len()).all(|tree| self.positions.spare(tree, rate, child).is_some())
    }
    fn open(&mut self, tree: usize, parent: usize, rate: u64) -> Gate {
        self.positions.take(parent, tree, rate);
        Gate { parent: Some(parent), rate }
    }
    fn close(&mut self, tree: usize, gate: Gate) {
        if let Some(parent) = gate.parent {
            self.positions.release(parent, tree, gate.rate);
        }
    }
    fn leaf(&mut self, member: usize, parents: &[Gate]) {
        let (mut receives, mut above) = ([0; 2], [None; 2]);
        for (tree, gate) in parents.iter().enumerate() {
            (receives[tree], above[tree]) = (gate.rate, gate.parent);
            self.link(tree, gate.parent, member);
        }
        let Member { up, online, forwards, is_dialable, .. } = self.members[member];
        let (peers, rate, parents, number) = ([0; 2], 0, above, self.positions.placed());
        self.positions
            .add(member, Placed { forwards, online, is_dialable, up, receives, peers, rate, number, parents });
    }
    /// Adds those who are left: first those who receive now, then those who are offline and cost nothing.
    fn place_rest(&mut self, others: &[usize], exits: &[usize], has_second_entry: bool) {
        let mut below_sender = Vec::new();
        let (online, offline): (Vec<usize>, Vec<usize>) =
            others.iter().partition(|&&member| self.members[member].online);
        for member in online {
            let wanted = self.intake(member);
            if has_second_entry && !self.members[member].is_dialable && !self.has_place_for_undialable() {
                below_sender.push(member);
                continue;
            }
            let parents = self.open_gates(wanted, self.child(member)).into_iter().flatten().collect::<Vec<_>>();
            self.leaf(member, &parents);
        }
        for tree in 0..self.trees.len() {
            self.hang_below_sender(tree, &below_sender);
        }
        for (tree, &exits) in exits.iter().enumerate() {
            let missing = exits - self.trees[tree].exits.len();
            self.hang_offline(tree, &offline, missing);
        }
    }
    /// Returns whether, in each tree, a member that can be dialled sends less than 1.5 copies.
    fn has_place_for_undialable(&mut self) -> bool {
        (0..self.trees.len()).all(|tree| self.positions.has_light_sender(tree, Child::Undialable))
    }
    /// Hangs members that nobody can dial below the sender of the whole tree, and below each other: that sender serves
    /// them all.
    fn hang_below_sender(&mut self, tree: usize, members: &[usize]) {
        let mut open = VecDeque::from([None]);
        for &member in members {
            self.link(tree, open.pop_front().flatten(), member);
            open.extend([Some(member); 2]);
        }
    }
    /// Spreads those who are offline over the leaves, so that senders find out about them side by side. Keeps the exits
    /// that are missing.
    fn hang_offline(&mut self, tree: usize, offline: &[usize], missing: usize) {
        let mut open: Vec<usize> = (0..self.members.len()).filter(|&at| self.positions.is_placed(at)).collect();
        open.sort_by_key(|&at| std::cmp::Reverse(self.positions.free(at, tree)));
        let twice = |at: &usize| (*at, self.positions.free(*at, tree));
        let free: Vec<(usize, u8)> = open.iter().map(twice).collect();
        let once = free.iter().filter(|(_, free)| *free > 0);
        let again = free.iter().filter(|(_, free)| *free > 1);
        let mut positions: VecDeque<usize> = once.chain(again).map(|&(at, _)| at).collect();
        for &member in offline {
            if let Some(parent) = positions.pop_front() {
                self.link(tree, Some(parent), member);
            }
            positions.extend([member, member]);
        }
        self.trees[tree].exits.extend(positions.into_iter().take(missing));
    }
}

/// Returns the order in which a class of `len` fills each tree below these gates.
pub(super) fn orders(len: usize, gates: &Gates, feeds: bool) -> Vec<Order> {
    match &gates[..] {
        [entries] => vec![plain(len, entries.len())],
        _ => paired(len, gates.iter().flatten().any(Option::is_none), feeds),
    }
}

/// Returns the order in which a class of `len` fills one tree, and each one's children in the class. A machine is named
/// by its place in the class.
fn plain(len: usize, entries: usize) -> Order {
    let edges = len.saturating_sub(entries);
    let children = |at: usize| match at {
        at if at < edges / 2 => 2,
        at if at == edges / 2 && edges % 2 == 1 => 1,
        _ => 0,
    };
    (0..len).map(|at| (at, children(at))).collect()
}

/// Returns the same for both trees of a pair. With `feeds`, the machine that is left over is near the top.
fn paired(len: usize, is_first: bool, feeds: bool) -> Vec<Order> {
    if len == 2 && is_first {
        // Each machine heads one tree.
        return vec![vec![(0, 1), (1, 0)], vec![(1, 1), (0, 0)]];
    }
    let left_over = (len - 1).min(2);
    let single = len.is_multiple_of(2).then(|| if len == 2 { 0 } else { len - 1 });
    let halves: Vec<usize> = (0..len).filter(|&at| at != left_over && Some(at) != single).collect();
    let half = |parity: usize| halves.iter().copied().skip(parity).step_by(2);
    let tree = |parity: usize| {
        let mut order: Vec<(usize, u8)> = half(parity).map(|at| (at, 2)).collect();
        order.extend(single.map(|at| (at, 1)));
        order.extend(half(1 - parity).map(|at| (at, 0)).collect::<Vec<_>>().into_iter().rev());
        let near_top = if feeds && order.len() > 8 { 3 } else { order.len() };
        order.insert(near_top, (left_over, 0));
        order
    };
    vec![tree(0), tree(1)]
}
