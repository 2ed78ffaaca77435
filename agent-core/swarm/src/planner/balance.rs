//! Who sends more or less than one copy, when some machines send too little for their class.
//!
//! With two stripes, two children are one copy. If a machine can send only one stripe at the rate at which it receives,
//! it has one child. Others make up for that, and for those that do not forward: they have three children, each of
//! which receives a third of the rate less. So as few machines as possible are below those.

use super::{arrange::Member, fill::Order};

/// The fastest class, and the members beside it.
pub(super) struct Fastest<'a> {
    pub(super) members: &'a [Member],
    pub(super) class: &'a [usize],
    /// Those who forward and are slower, the fastest first.
    pub(super) slower: &'a [usize],
    /// Those who do not forward, and those who are offline.
    pub(super) others: &'a [usize],
    /// The rate of each stripe in the class, in bytes a second.
    pub(super) rate: u64,
}

impl Fastest<'_> {
    fn intake(&self, member: usize) -> u64 {
        self.members[member].down / 2
    }
    /// Returns the rate at which those below a member with three children receive each stripe.
    fn shared_rate(&self) -> u64 {
        self.rate - self.rate / 3
    }
    /// Returns whether the member can receive about as fast as the class.
    fn is_receiver(&self, member: usize) -> bool {
        self.members[member].online && self.intake(member) >= self.rate - self.rate / 4
    }
    /// Returns the members that forward and receive as fast as the class, but send too little to be in it.
    fn short(&self) -> Vec<usize> {
        let is_short = |&member: &usize| self.is_receiver(member) && self.members[member].up < 2 * self.shared_rate();
        self.slower.iter().copied().filter(is_short).collect()
    }
    /// Returns how many children the class can have beyond one copy of each member.
    fn spare(&self) -> u64 {
        let children = |&member: &usize| (self.members[member].up / self.rate.max(1)).clamp(2, 3);
        self.class.iter().map(|member| children(member) - 2).sum()
    }
    /// Returns whether every member is one machine, and no whole site.
    fn has_no_sites(&self) -> bool {
        let all = self.class.iter().chain(self.slower).chain(self.others);
        all.into_iter().all(|&member| self.members[member].size <= 1)
    }
    /// Returns the members that can be in the class if they have one child each; `None` if others send too little, too,
    /// or if that needs too many members with three. `least`: the least rate of a stripe in the class, in bytes a second.
    /// `is_outlet`: whether something outside hangs below the class.
    pub(super) fn with_one_child(&self, least: u64, is_outlet: bool) -> Option<Vec<usize>> {
        let short = self.short();
        let fits = |&member: &usize| self.intake(member).min(self.members[member].up) >= least;
        let is_dialable =
            |&member: &usize| self.members[member].is_dialable && self.members[member].is_dialable_outside;
        let feeds = is_outlet || short.len() < self.slower.len();
        let with_three = if feeds { short.len() } else { short.len().saturating_sub(2) };
        let is_enough = with_three <= self.class.len() / 2 && self.spare() == 0;
        let has_leaves = self.others.iter().any(|&member| self.is_receiver(member));
        let can_all = short.iter().all(fits) && self.class.iter().chain(&short).all(is_dialable);
        (!short.is_empty() && is_enough && !has_leaves && can_all && self.has_no_sites()).then_some(short)
    }
    /// Returns how many members of the class must have three children, so that those who send too little are leaves.
    pub(super) fn count_with_three(&self) -> usize {
        let short = self.short();
        let leaves = self.others.iter().filter(|&&member| self.is_receiver(member)).count();
        // The last one that is placed can have no children.
        let sending = short.iter().filter(|&&member| self.members[member].up >= self.shared_rate()).count();
        let needed = 2 * (leaves + short.len()) - sending.saturating_sub(1);
        let missing = needed.saturating_sub(usize::try_from(self.spare()).unwrap_or(usize::MAX));
        // The member that is left over in its class has two children at the full rate, or three.
        let count = if missing > 2 { missing.saturating_sub(3).max(1) } else { 0 };
        if count + 2 <= self.class.len() && self.has_no_sites() { count } else { 0 }
    }
}

/// Returns whether each member finds a position below one before it, and no position is left.
fn is_whole_tree(order: &Order) -> bool {
    let mut open = 1;
    order.iter().all(|&(_, children)| {
        let has_position = open > 0;
        open += usize::from(children);
        open = open.saturating_sub(1);
        has_position
    }) && open == 0
}

/// Returns the order in which a class fills both trees, if some of its members have one child over both trees. As many
/// of the others as it takes have three; what hangs below these is near the leaves. Returns `None` if the numbers do not
/// fit.
pub(super) fn mixed_pair(sends_one: &[bool], feeds: bool) -> Option<Vec<Order>> {
    let all = || 0..sends_one.len();
    let mut twos: Vec<usize> = all().filter(|&at| !sends_one[at]).collect();
    let left_over = if feeds { Some(twos.remove(twos.len().checked_sub(1)?.min(2))) } else { None };
    let half = |parity: usize| -> Vec<usize> { twos.iter().copied().skip(parity).step_by(2).collect() };
    // What the members with two children lack in each tree.
    let edges = sends_one.len() - 1;
    let halves = [half(0), half(1)];
    let mut lacks = [0, 1].map(|tree| edges.saturating_sub(2 * halves[tree].len()));
    let mut ones: [Vec<usize>; 2] = Default::default();
    let mut leaves = Vec::new();
    for at in all().filter(|&at| sends_one[at]) {
        let tree = usize::from(lacks[1] > lacks[0]);
        if lacks[tree] == 0 {
            leaves.push(at);
            continue;
        }
        lacks[tree] -= 1;
        ones[tree].push(at);
    }
    let extra = [0, 1].map(|tree| lacks[tree].min(halves[1 - tree].len()));
    let tree = |tree: usize| {
        let (own, other) = (&halves[tree], &halves[1 - tree]);
        // The last ones of each half have three children.
        let plain = own.len() - extra[1 - tree].min(own.len());
        let mut order: Vec<(usize, u8)> = own[..plain].iter().map(|&at| (at, 2)).collect();
        order.extend(ones[tree].iter().map(|&at| (at, 1)));
        order.extend(own[plain..].iter().map(|&at| (at, 2)));
        if 2 * own.len() > edges
            && let Some((_, children)) = order.last_mut()
        {
            *children -= 1;
        }
        let (without, with) = other.split_at(other.len() - extra[tree]);
        order.extend(with.iter().map(|&at| (at, 1)));
        order.extend(without.iter().rev().chain(&ones[1 - tree]).chain(&leaves).map(|&at| (at, 0)));
        if let Some(at) = left_over {
            order.insert(order.len().min(3), (at, 0));
        }
        order
    };
    let orders = vec![tree(0), tree(1)];
    orders.iter().all(is_whole_tree).then_some(orders)
}
