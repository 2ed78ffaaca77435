//! Who of a class takes which position, when some machines cannot be dialled.
//!
//! Of a machine and its child, one must be able to dial the other. So a machine that cannot be dialled needs a parent
//! that can, or the server. Children that can be dialled take the positions below machines that cannot, which keeps the
//! other positions free.

use super::arrange::{Member, orders};
use std::collections::VecDeque;

/// The order in which a class fills one tree, and each one's children in the class. A machine is named by its place in
/// the class.
pub(super) type Order = Vec<(usize, u8)>;
/// The machines that feed the positions below which a class hangs, by tree; `None` for the sender of the whole tree.
pub(super) type Gates = Vec<Vec<Option<usize>>>;

/// A machine of a class at its position.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacedMember {
    /// Its place in the class.
    pub(super) at: usize,
    /// The member above it; `None` for the sender of the whole tree.
    pub(super) parent: Option<usize>,
}

fn can_be_dialled(members: &[Member], parent: Option<usize>) -> bool {
    parent.is_none_or(|parent| members[parent].is_dialable)
}

/// Fills one tree.
pub(super) fn fill(members: &[Member], class: &[usize], order: &Order, gates: &[Option<usize>]) -> Vec<PlacedMember> {
    let is_plain = |&member: &usize| members[member].is_dialable && members[member].is_dialable_outside;
    if class.iter().all(is_plain) && gates.iter().all(|&gate| can_be_dialled(members, gate)) {
        return fill_in_order(class, order, gates);
    }
    let mut filling = PositionFiller::new(members, class, order, gates);
    std::iter::from_fn(|| filling.next()).collect()
}

fn fill_in_order(class: &[usize], order: &Order, gates: &[Option<usize>]) -> Vec<PlacedMember> {
    let mut open: VecDeque<Option<usize>> = gates.iter().copied().collect();
    let mut filled = Vec::new();
    for &(at, children) in order {
        filled.extend(open.pop_front().map(|parent| PlacedMember { at, parent }));
        open.extend((0..children).map(|_| Some(class[at])));
    }
    filled
}

/// A free position. Those nearer to the top have lower numbers.
#[derive(Debug, Clone, Copy)]
struct FreePosition {
    number: usize,
    parent: Option<usize>,
}

/// Those who wait for a position.
#[derive(Debug, Default)]
struct WaitingMembers {
    /// Those with children.
    inner: VecDeque<(usize, u8)>,
    leaves: VecDeque<(usize, u8)>,
}

impl WaitingMembers {
    fn len(&self) -> usize {
        self.inner.len() + self.leaves.len()
    }
    fn pop(&mut self) -> Option<(usize, u8)> {
        self.inner.pop_front().or_else(|| self.leaves.pop_front())
    }
}

struct PositionFiller<'a> {
    members: &'a [Member],
    class: &'a [usize],
    dialable: WaitingMembers,
    others: WaitingMembers,
    /// Free positions below those who can be dialled, and below the others.
    below_dialable: VecDeque<FreePosition>,
    below_others: VecDeque<FreePosition>,
    /// How many positions below those who can be dialled are left over when all the others have one.
    slack: isize,
    number: usize,
}

impl<'a> PositionFiller<'a> {
    fn new(members: &'a [Member], class: &'a [usize], order: &Order, gates: &[Option<usize>]) -> Self {
        let mut filling = Self {
            members,
            class,
            dialable: WaitingMembers::default(),
            others: WaitingMembers::default(),
            below_dialable: VecDeque::new(),
            below_others: VecDeque::new(),
            slack: slack(members, class, order, gates),
            number: 0,
        };
        for &(at, children) in order {
            let waiting = if members[class[at]].is_dialable { &mut filling.dialable } else { &mut filling.others };
            let queue = if children > 0 { &mut waiting.inner } else { &mut waiting.leaves };
            queue.push_back((at, children));
        }
        gates.iter().for_each(|&gate| filling.open(gate));
        filling
    }
    fn open(&mut self, parent: Option<usize>) {
        self.number += 1;
        let free = FreePosition { number: self.number, parent };
        let queue = match can_be_dialled(self.members, parent) {
            true => &mut self.below_dialable,
            false => &mut self.below_others,
        };
        queue.push_back(free);
    }
    fn next(&mut self) -> Option<PlacedMember> {
        let is_first = |free: &FreePosition, others: &VecDeque<FreePosition>| {
            others.front().is_none_or(|other| free.number < other.number)
        };
        let takes_other = self.below_others.front().is_some_and(|free| is_first(free, &self.below_dialable));
        let suits = self.dialable.len() > 0 || self.below_dialable.is_empty();
        let (parent, (at, children)) = if takes_other && suits || self.below_dialable.is_empty() {
            let free = self.below_others.pop_front()?;
            (free.parent, self.dialable.pop().or_else(|| self.others.pop())?)
        } else {
            let free = self.below_dialable.pop_front()?;
            (free.parent, self.pick_below_dialable(free.parent)?)
        };
        (0..children).for_each(|_| self.open(Some(self.class[at])));
        Some(PlacedMember { at, parent })
    }
    /// Picks a machine for a position below one that can be dialled, or below the sender of the whole tree.
    fn pick_below_dialable(&mut self, parent: Option<usize>) -> Option<(usize, u8)> {
        if self.slack > 0 && parent.is_none() && !self.dialable.inner.is_empty() {
            self.slack -= 1;
            // The first machine of a site should be one that machines elsewhere can dial.
            let is_outside = |&(at, _): &(usize, u8)| self.members[self.class[at]].is_dialable_outside;
            let first = self.dialable.inner.iter().position(is_outside).unwrap_or(0);
            return self.dialable.inner.remove(first);
        }
        if let Some(inner) = self.others.inner.pop_front() {
            return Some(inner);
        }
        if self.slack > 0
            && let Some(inner) = self.dialable.inner.pop_front()
        {
            self.slack -= 1;
            return Some(inner);
        }
        self.others.leaves.pop_front().or_else(|| {
            self.slack -= 1;
            self.dialable.pop()
        })
    }
}

/// Returns how many positions below machines that can be dialled are left over in one tree when all the others have one.
fn slack(members: &[Member], class: &[usize], order: &Order, gates: &[Option<usize>]) -> isize {
    let gates = gates.iter().filter(|&&gate| can_be_dialled(members, gate)).count() as isize;
    let of = |&(at, children): &(usize, u8)| match members[class[at]].is_dialable {
        true => isize::from(children),
        false => -1,
    };
    gates + order.iter().map(of).sum::<isize>()
}

/// Orders a class so that enough of those who can be dialled have children in each tree. Returns the class, and the
/// machines for which that is impossible: the slowest of those who cannot be dialled.
pub(super) fn without_surplus(
    members: &[Member],
    class: Vec<usize>,
    gates: &Gates,
    feeds: bool,
) -> (Vec<usize>, Vec<usize>) {
    let (dialable, mut others): (Vec<usize>, Vec<usize>) =
        class.iter().partition(|&&member| members[member].is_dialable);
    if dialable.is_empty() || others.is_empty() {
        return (class, Vec::new());
    }
    let mut surplus = others.split_off(others.len().min(2 * dialable.len()));
    loop {
        let class = mixed(&dialable, &others, gates.len());
        let orders = orders(class.len(), gates, feeds);
        let fits = orders.iter().zip(gates).all(|(order, gates)| slack(members, &class, order, gates) >= 0);
        if fits || others.is_empty() {
            return (class, surplus);
        }
        surplus.extend(others.pop());
    }
}

/// Mixes both kinds. With two trees, each kind has as many machines with children in one tree as in the other, and the
/// machine that has no children in the class is one that cannot be dialled.
fn mixed(dialable: &[usize], others: &[usize], trees: usize) -> Vec<usize> {
    let len = dialable.len() + others.len();
    let (mut dialable, mut others) = (dialable.iter().copied(), others.iter().copied());
    if trees < 2 || len < 4 {
        return dialable.chain(others).collect();
    }
    let left_over = others.next();
    let single = if len.is_multiple_of(2) { dialable.next() } else { None };
    let mut class = Vec::with_capacity(len);
    loop {
        // Neighbours are in different halves of the pair.
        let before = class.len();
        class.extend(dialable.by_ref().take(2));
        class.extend(others.by_ref().take(2));
        if class.len() == before {
            break;
        }
    }
    class.splice(2..2, left_over);
    class.extend(single);
    class
}
