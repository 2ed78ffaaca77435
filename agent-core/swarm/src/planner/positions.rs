//! The free positions below machines that are already in the trees, and what each of them can still carry.
//!
//! A position is one of the two children that a machine can have in one tree. Rates are in bytes a second.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

/// The largest number of children over all trees while there is a choice. With two stripes, three children are 1.5
/// copies.
const CHILDREN: u16 = 3;

/// The children over all trees that are one copy with two stripes.
const COPY: u16 = 2;

/// A machine in the trees.
#[derive(Debug, Clone, Default)]
struct Place {
    forwards: bool,
    online: bool,
    is_dialable: bool,
    up: u64,
    /// What no planned child uses of `up`.
    spare: u64,
    /// The planned rate at which each stripe arrives.
    receives: [u64; 2],
    /// The free positions in each tree.
    free: [u8; 2],
    /// How many machines it serves over all trees.
    children: u16,
    /// How many of the children belong to the machine's own class.
    peers: u16,
    /// Rises with the distance from the top, in the tree in which the machine has children.
    number: usize,
    /// The machine that serves this one's children in each tree: this one, or the nearest above that forwards; `None`
    /// for the sender of the whole tree.
    feeders: [Option<usize>; 2],
}

/// A machine as it is put into the trees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) forwards: bool,
    pub(super) online: bool,
    /// Whether the other machines can dial it.
    pub(super) is_dialable: bool,
    pub(super) up: u64,
    /// The planned rate at which each stripe arrives.
    pub(super) receives: [u64; 2],
    /// The children within its class, by tree.
    pub(super) peers: [u8; 2],
    /// The planned rate of each of these children.
    pub(super) rate: u64,
    /// Rises with the distance from the top, in the tree in which the machine has children.
    pub(super) number: usize,
    /// The parent in each tree; `None` for the sender of the whole tree.
    pub(super) parents: [Option<usize>; 2],
}

/// Who takes a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// Its sender can dial it.
    Dialable,
    /// It must dial its sender.
    Undialable,
}

/// How good a position is: the highest is the best.
type Score = (u8, u64, Reverse<u16>, Reverse<u16>, usize);

/// All free positions. Scores only fall, so a heap whose entries are checked when they come up stays right.
pub(super) struct Positions {
    places: Vec<Option<Place>>,
    placed: usize,
    /// The number of free positions, by tree.
    open: Vec<usize>,
    /// By tree: positions by the rate that they carry without taking anything from planned children; first those of
    /// machines that send less than a copy, then the others.
    spare: Vec<[Heaps; 2]>,
    /// By tree: positions by the rate that they carry when all children of the machine share equally.
    shared: Vec<Heaps>,
}

/// Positions whose senders cannot be dialled, and those whose senders can.
type Heaps = [BinaryHeap<(Score, usize)>; 2];

impl Positions {
    pub(super) fn new(machines: usize, trees: usize) -> Self {
        let (spare, shared) = (vec![<[Heaps; 2]>::default(); trees], vec![Heaps::default(); trees]);
        Self { places: vec![None; machines], placed: 0, open: vec![0; trees], spare, shared }
    }
    /// Returns how many machines are placed.
    pub(super) fn placed(&self) -> usize {
        self.placed
    }
    pub(super) fn is_placed(&self, machine: usize) -> bool {
        self.places[machine].is_some()
    }
    /// Adds a machine with its free positions.
    pub(super) fn add(&mut self, machine: usize, placed: Placed) {
        let peers: u8 = placed.peers.iter().sum();
        self.placed += 1;
        let feeders = match placed.forwards && placed.online {
            true => [Some(machine); 2],
            false => [0, 1].map(|tree| placed.parents[tree].and_then(|parent| self.feeder(parent, tree))),
        };
        self.places[machine] = Some(Place {
            forwards: placed.forwards,
            online: placed.online,
            is_dialable: placed.is_dialable,
            up: placed.up,
            spare: placed.up.saturating_sub(placed.rate.saturating_mul(u64::from(peers))),
            receives: placed.receives,
            free: placed.peers.map(|peers| 2 - peers),
            children: u16::from(peers),
            peers: u16::from(peers),
            number: placed.number,
            feeders,
        });
        for tree in 0..self.spare.len() {
            self.open[tree] += usize::from(2 - placed.peers[tree]);
            self.offer(machine, tree);
        }
    }
    fn feeder(&self, machine: usize, tree: usize) -> Option<usize> {
        self.places[machine].as_ref().and_then(|place| place.feeders[tree])
    }
    fn offer(&mut self, machine: usize, tree: usize) {
        let feeder = self.feeder(machine, tree).and_then(|feeder| self.places[feeder].as_ref());
        let heaps = usize::from(feeder.is_none_or(|feeder| feeder.is_dialable));
        for (beyond, spare) in self.spare[tree].iter_mut().enumerate() {
            spare[heaps].extend(spare_score(&self.places, machine, tree, beyond).map(|score| (score, machine)));
        }
        if let Some(score) = shared_score(&self.places, machine, tree) {
            self.shared[tree][heaps].push((score, machine));
        }
    }
    /// Returns a machine whose free position carries at least `wanted` without taking from its planned children, and
    /// what it carries. Machines that send less than a copy come first, then those that nobody can dial: other positions
    /// stay free for children that must dial their sender.
    pub(super) fn spare(&mut self, tree: usize, wanted: u64, child: Child) -> Option<(usize, u64)> {
        let places = &self.places;
        self.spare[tree].iter_mut().enumerate().find_map(|(beyond, heaps)| {
            child.heaps(heaps).iter_mut().find_map(|heap| {
                let found = best(heap, |machine| spare_score(places, machine, tree, beyond));
                found.map(|(score, machine)| (machine, score.1)).filter(|&(_, rate)| rate >= wanted)
            })
        })
    }
    /// Returns the machine whose free position carries the most when its children share equally, and the rate. There is
    /// always one, once a machine is placed. It may not suit the child: the next sender above serves the child then.
    pub(super) fn shared(&mut self, tree: usize, child: Child) -> Option<(usize, u64)> {
        let places = &self.places;
        let found = |heaps: &mut [BinaryHeap<(Score, usize)>]| {
            let best = heaps.iter_mut().filter_map(|heap| best(heap, |machine| shared_score(places, machine, tree)));
            best.max_by_key(|&(score, machine)| (score, std::cmp::Reverse(machine)))
        };
        let suitable = found(child.heaps(&mut self.shared[tree]));
        let found = suitable.or_else(|| found(&mut self.shared[tree]));
        found.map(|(score, machine)| (machine, score.1))
    }
    /// Returns whether there is a position below a machine that sends to fewer than three and suits the child.
    pub(super) fn has_light_sender(&mut self, tree: usize, child: Child) -> bool {
        let places = &self.places;
        child.heaps(&mut self.shared[tree]).iter_mut().any(|heap| {
            let found = best(heap, |machine| shared_score(places, machine, tree));
            found.is_some_and(|((tier, ..), _)| tier == LIGHT)
        })
    }
    /// Uses a free position for a child that takes this rate.
    pub(super) fn take(&mut self, machine: usize, tree: usize, rate: u64) {
        if let Some(place) = &mut self.places[machine] {
            place.free[tree] -= 1;
            self.open[tree] -= 1;
        }
        let Some(feeder) = self.feeder(machine, tree) else { return };
        let Some(place) = &mut self.places[feeder] else { return };
        place.children = place.children.saturating_add(1);
        place.spare = place.spare.saturating_sub(rate);
        if place.children == COPY {
            (0..self.spare.len()).for_each(|tree| self.offer(feeder, tree));
        }
    }
    /// Gives a position back that was taken at this rate.
    pub(super) fn release(&mut self, machine: usize, tree: usize, rate: u64) {
        if let Some(place) = &mut self.places[machine] {
            place.free[tree] += 1;
            self.open[tree] += 1;
        }
        let feeder = self.feeder(machine, tree);
        if let Some(feeder) = feeder.and_then(|feeder| self.places[feeder].as_mut()) {
            feeder.children = feeder.children.saturating_sub(1);
            feeder.spare = feeder.spare.saturating_add(rate);
        }
        for tree in 0..self.spare.len() {
            self.offer(machine, tree);
            feeder.into_iter().for_each(|feeder| self.offer(feeder, tree));
        }
    }
    /// Returns the number of free positions in this tree.
    pub(super) fn open(&self, tree: usize) -> usize {
        self.open[tree]
    }
    /// Returns the free positions of this machine in this tree.
    pub(super) fn free(&self, machine: usize, tree: usize) -> u8 {
        self.places[machine].as_ref().map_or(0, |place| place.free[tree])
    }
}

impl Child {
    /// Returns the heaps with positions for it.
    fn heaps(self, heaps: &mut Heaps) -> &mut [BinaryHeap<(Score, usize)>] {
        match self {
            Self::Dialable => heaps,
            Self::Undialable => &mut heaps[1..],
        }
    }
}

/// Returns the best entry that still has its score. Entries whose score fell go back with the new one.
fn best(heap: &mut BinaryHeap<(Score, usize)>, score: impl Fn(usize) -> Option<Score>) -> Option<(Score, usize)> {
    while let Some(mut top) = heap.peek_mut() {
        match score(top.1) {
            Some(now) if now == top.0 => return Some(*top),
            Some(now) => top.0 = now,
            None => drop(PeekMut::pop(top)),
        }
    }
    None
}

fn spare_score(places: &[Option<Place>], machine: usize, tree: usize, beyond: usize) -> Option<Score> {
    let place = places[machine].as_ref()?;
    let children = if beyond == 0 { 0..COPY } else { COPY..CHILDREN };
    let has_room = place.forwards && place.online && place.free[tree] > 0 && children.contains(&place.children);
    let rate = place.spare.min(place.receives[tree]);
    let score = (0, rate, Reverse(place.children), Reverse(place.peers), usize::MAX - place.number);
    (has_room && rate > 0).then_some(score)
}

/// The tier of machines that send to fewer than three.
const LIGHT: u8 = 3;

/// Machines that send nothing are last, since their senders serve what is below them. Of these the one nearest the top
/// is first, so that the tree stays flat.
fn shared_score(places: &[Option<Place>], machine: usize, tree: usize) -> Option<Score> {
    let place = places[machine].as_ref()?;
    let feeder = place.feeders[tree].and_then(|feeder| places[feeder].as_ref());
    let share = feeder.map_or(place.receives[tree], |feeder| {
        (feeder.up / (u64::from(feeder.children) + 1)).min(place.receives[tree])
    });
    let (tier, number) = match (place.online, place.forwards) {
        (true, true) if place.children < CHILDREN => (LIGHT, place.number),
        (true, true) => (2, place.number),
        (true, false) => (1, usize::MAX - place.number),
        (false, _) => (0, usize::MAX - place.number),
    };
    let score = (tier, share, Reverse(place.peers), Reverse(place.children), number);
    (place.free[tree] > 0).then_some(score)
}
