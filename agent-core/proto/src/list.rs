//! The list of target machines of one stripe: its tree shape, its hash and the proofs about it (rules L1–L6).
//!
//! A list is in pre-order: `T(list) = head, T(first part), T(second part)`. Each entry states the length of the first
//! part below it. So the list contains its own tree, and a reader does not need to know how the planner chose the split
//! points. The hash of a list is a hash tree of the same shape. A sublist with its sibling hashes, O(log n) of them,
//! proves that it was not altered and which machines are its ancestors.

use crate::{Digest, MachineId, limits};
use serde::{Deserialize, Serialize};

/// One machine on a list, and how the machines below it are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressee {
    /// The machine's identity.
    pub id: MachineId,
    /// How many of the machines below belong to the first part; the rest belong to the second part.
    pub first: u32,
}

/// A non-empty list of target machines with its tree. The constructors check the shape, so every value is a well-formed
/// tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Addressee>", into = "Vec<Addressee>")]
pub struct AddresseeList(Vec<Addressee>);

/// The reason why a list is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The list is empty.
    #[error("the list of target machines is empty")]
    Empty,
    /// The list is longer than [`limits::ADDRESSEES`].
    #[error("the list has {0} target machines; at most {max} are allowed", max = limits::ADDRESSEES)]
    TooLong(usize),
    /// A first part is longer than the remaining list.
    #[error("entry {0} of the list of target machines states a first part longer than the list below it")]
    Shape(usize),
    /// The tree nests deeper than [`limits::LIST_DEPTH`].
    #[error("the list of target machines is nested deeper than {max} heads", max = limits::LIST_DEPTH)]
    TooDeep,
}

/// The extent and depth of a subtree within a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// The number of machines in this subtree, including its head.
    size: usize,
    depth: usize,
}

impl TryFrom<Vec<Addressee>> for AddresseeList {
    type Error = ListError;
    fn try_from(entries: Vec<Addressee>) -> Result<Self, ListError> {
        if entries.is_empty() {
            return Err(ListError::Empty);
        }
        if entries.len() > limits::ADDRESSEES {
            return Err(ListError::TooLong(entries.len()));
        }
        spans(&entries)?;
        Ok(Self(entries))
    }
}
impl From<AddresseeList> for Vec<Addressee> {
    fn from(list: AddresseeList) -> Self {
        list.0
    }
}

/// Returns the size and depth of the subtree at each position. It works top-down without recursion.
fn spans(entries: &[Addressee]) -> Result<Vec<Span>, ListError> {
    let mut spans = vec![Span { size: 0, depth: 0 }; entries.len()];
    spans[0] = Span { size: entries.len(), depth: 1 };
    for (at, entry) in entries.iter().enumerate() {
        let Span { size, depth } = spans[at];
        let (first, below) = (entry.first as usize, size - 1);
        if first > below {
            return Err(ListError::Shape(at));
        }
        if depth > limits::LIST_DEPTH {
            return Err(ListError::TooDeep);
        }
        if first > 0 {
            spans[at + 1] = Span { size: first, depth: depth + 1 };
        }
        if below > first {
            spans[at + 1 + first] = Span { size: below - first, depth: depth + 1 };
        }
    }
    Ok(spans)
}

/// One of the two parts below a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The first part of the list below the head.
    First,
    /// The second part of the list below the head.
    Second,
}

/// The size and hash of a subtree, as its parent's hash includes them. `EMPTY` represents a part without machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtree {
    /// The number of machines in the subtree.
    pub size: u32,
    /// The subtree's hash; zero for an empty part.
    pub hash: Digest,
}

impl Subtree {
    /// A part without machines.
    pub const EMPTY: Self = Self { size: 0, hash: Digest([0; 32]) };

    /// Returns the subtree formed by a head and its two parts (rule L3). The hash covers the stripe and both sizes.
    #[must_use]
    pub fn join(stripe: u8, head: MachineId, first: Self, second: Self) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("banyan v1 addressee list");
        hasher.update(&[stripe]).update(&head.0);
        for part in [first, second] {
            hasher.update(&part.size.to_le_bytes()).update(&part.hash.0);
        }
        let size = first.size.saturating_add(second.size).saturating_add(1);
        Self { size, hash: Digest(*hasher.finalize().as_bytes()) }
    }
}

/// One step of a proof, from a subtree to its parent: the parent's head and the sibling subtree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The head of the parent, which is an ancestor of everything below.
    pub head: MachineId,
    /// Which of the parent's two parts contains the subtree.
    pub part: Part,
    /// The parent's other part.
    pub sibling: Subtree,
}

/// The path from the root of a list down to one subtree, root first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(pub Vec<Step>);

impl Proof {
    /// Calculates the root that this proof leads to from `subtree` (rule L4). Compare the result with the order's root.
    #[must_use]
    pub fn root(&self, stripe: u8, subtree: Subtree) -> Subtree {
        self.0.iter().rev().fold(subtree, |below, step| match step.part {
            Part::First => Subtree::join(stripe, step.head, below, step.sibling),
            Part::Second => Subtree::join(stripe, step.head, step.sibling, below),
        })
    }
    /// Returns the heads above the subtree, the root's head (the server) first.
    pub fn ancestors(&self) -> impl DoubleEndedIterator<Item = MachineId> + '_ {
        self.0.iter().map(|step| step.head)
    }
    /// Returns this proof extended by one step at the bottom.
    #[must_use]
    pub fn then(&self, step: Step) -> Self {
        Self(self.0.iter().copied().chain([step]).collect())
    }
}

/// Proof that a machine is on the list, with its ancestors: the hashes of its two parts and the path from the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The two parts below the machine.
    pub parts: [Subtree; 2],
    /// The path from the root.
    pub proof: Proof,
}

impl Membership {
    /// Calculates the root that this membership of machine `id` leads to.
    #[must_use]
    pub fn root(&self, stripe: u8, id: MachineId) -> Subtree {
        self.proof.root(stripe, Subtree::join(stripe, id, self.parts[0], self.parts[1]))
    }
}

impl AddresseeList {
    /// Builds a list from machines in planned order; `names[0]` is the head. For each range below a head,
    /// `split(range)` returns how many of its machines belong to the first part. Values above the length of the range
    /// are reduced to that length.
    ///
    /// # Errors
    /// See [`ListError`].
    pub fn build(names: &[MachineId], split: impl Fn(std::ops::Range<usize>) -> usize) -> Result<Self, ListError> {
        let mut entries: Vec<Addressee> = names.iter().map(|&id| Addressee { id, first: 0 }).collect();
        let mut todo: Vec<std::ops::Range<usize>> = std::iter::once(0..names.len()).collect();
        while let Some(range) = todo.pop() {
            if range.is_empty() {
                continue;
            }
            let rest = range.start + 1..range.end;
            let first = split(rest.clone()).min(rest.len());
            entries[range.start].first = u32::try_from(first).unwrap_or(u32::MAX);
            todo.extend([rest.start..rest.start + first, rest.start + first..rest.end]);
        }
        entries.try_into()
    }
    /// Returns the machine that receives this list and forwards the rest.
    #[must_use]
    pub fn head(&self) -> MachineId {
        self.0[0].id
    }
    /// Returns the number of machines, including the head; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a list is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Returns all machines, head first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = MachineId> + '_ {
        self.0.iter().map(|entry| entry.id)
    }
    /// Returns the two parts below the head; `None` for a part without machines (rule L2).
    #[must_use]
    pub fn parts(&self) -> [Option<Self>; 2] {
        let (first, second) = self.0[1..].split_at(self.0[0].first as usize);
        [first, second].map(|part| (!part.is_empty()).then(|| Self(part.to_vec())))
    }
    /// Returns the size and hash of the subtree at each position, in list order. The first entry is the whole list.
    #[must_use]
    pub fn subtrees(&self, stripe: u8) -> Vec<Subtree> {
        let spans = spans(&self.0).unwrap_or_default();
        let mut found = vec![Subtree::EMPTY; self.0.len()];
        for at in (0..self.0.len()).rev() {
            let entry = self.0[at];
            let (first, below) = (entry.first as usize, spans[at].size - 1);
            let part = |start: usize, size: usize| if size == 0 { Subtree::EMPTY } else { found[start] };
            let parts = (part(at + 1, first), part(at + 1 + first, below - first));
            found[at] = Subtree::join(stripe, entry.id, parts.0, parts.1);
        }
        found
    }
    /// Returns the size and hash of this list.
    #[must_use]
    pub fn subtree(&self, stripe: u8) -> Subtree {
        self.subtrees(stripe)[0]
    }
    /// Returns the parts that the head forwards, each with the step that extends this list's proof to it.
    #[must_use]
    pub fn hand_on(&self, stripe: u8) -> Vec<(Part, Self, Step)> {
        let [first, second] = self.parts();
        let subtree = |part: &Option<Self>| part.as_ref().map_or(Subtree::EMPTY, |list| list.subtree(stripe));
        let (hash_first, hash_second) = (subtree(&first), subtree(&second));
        let step = |part, sibling| Step { head: self.head(), part, sibling };
        [
            first.map(|list| (Part::First, list, step(Part::First, hash_second))),
            second.map(|list| (Part::Second, list, step(Part::Second, hash_first))),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
    /// Returns the subtree that `id` heads, with the path to it from the root of this list; `None` if `id` is not on
    /// the list.
    #[must_use]
    pub fn locate(&self, stripe: u8, id: MachineId) -> Option<(Self, Proof)> {
        let target = self.ids().position(|other| other == id)?;
        let subtrees = self.subtrees(stripe);
        let sub = |start: usize, size: usize| if size == 0 { Subtree::EMPTY } else { subtrees[start] };
        let (mut at, mut proof) = (0, Proof::default());
        while at != target {
            let size = subtrees[at].size as usize;
            let first = self.0[at].first as usize;
            let second_at = at + 1 + first;
            let (part, sibling, next) = if target < second_at {
                (Part::First, sub(second_at, size - 1 - first), at + 1)
            } else {
                (Part::Second, sub(at + 1, first), second_at)
            };
            proof.0.push(Step { head: self.0[at].id, part, sibling });
            at = next;
        }
        let size = subtrees[at].size as usize;
        Some((Self(self.0[at..at + size].to_vec()), proof))
    }
    /// Returns proof that the head of this list, located at `proof`, is on the order's list.
    #[must_use]
    pub fn membership(&self, stripe: u8, proof: &Proof) -> Membership {
        let parts = self.parts().map(|part| part.map_or(Subtree::EMPTY, |list| list.subtree(stripe)));
        Membership { parts, proof: proof.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(n: u8) -> Vec<MachineId> {
        (0..n).map(|i| MachineId([i; 16])).collect()
    }
    fn halved(n: u8) -> AddresseeList {
        AddresseeList::build(&ids(n), |rest| rest.len().div_ceil(2)).unwrap()
    }

    #[test]
    fn every_sublist_proves_itself_against_the_root() {
        for n in 1..40 {
            let list = halved(n);
            let root = list.subtree(1);
            assert_eq!(root.size, u32::from(n));
            for id in list.ids() {
                let (sub, proof) = list.locate(1, id).unwrap();
                assert_eq!(sub.head(), id);
                assert_eq!(proof.root(1, sub.subtree(1)), root);
                assert_eq!(sub.membership(1, &proof).root(1, id), root);
                assert_ne!(proof.root(0, sub.subtree(0)), root, "another stripe");
            }
        }
    }

    #[test]
    fn handing_on_keeps_the_proof_and_loses_nobody() {
        let list = halved(23);
        let root = list.subtree(0);
        let mut todo = vec![(list, Proof::default())];
        let mut reached = Vec::new();
        while let Some((list, proof)) = todo.pop() {
            assert_eq!(proof.root(0, list.subtree(0)), root);
            reached.push(list.head());
            todo.extend(list.hand_on(0).into_iter().map(|(_, part, step)| (part, proof.then(step))));
        }
        reached.sort();
        assert_eq!(reached, ids(23));
    }

    #[test]
    fn a_list_trimmed_grown_swapped_or_reshaped_has_another_root() {
        let list = halved(16);
        let (sub, proof) = list.locate(0, MachineId([1; 16])).unwrap();
        let root = list.subtree(0);
        let entries: Vec<Addressee> = sub.into();
        let mut changed = [entries.clone(), entries.clone(), entries.clone(), entries.clone()];
        changed[0].pop();
        changed[1].push(Addressee { id: MachineId([99; 16]), first: 0 });
        changed[2].swap(1, 2);
        changed[3][0].first -= 1;
        for entries in changed {
            // Entries that do not form a tree are already refused by the constructor.
            if let Ok(list) = AddresseeList::try_from(entries) {
                assert_ne!(proof.root(0, list.subtree(0)), root);
            }
        }
    }

    #[test]
    fn shapes_that_are_no_tree_are_refused() {
        let one = |first| Addressee { id: MachineId([0; 16]), first };
        assert_eq!(AddresseeList::try_from(vec![]), Err(ListError::Empty));
        assert_eq!(AddresseeList::try_from(vec![one(1)]), Err(ListError::Shape(0)));
        assert_eq!(AddresseeList::try_from(vec![one(1), one(1)]), Err(ListError::Shape(1)));
        assert_eq!(AddresseeList::try_from(vec![one(0); 100]), Err(ListError::TooDeep));
        assert_eq!(AddresseeList::try_from(vec![one(0); 100_000]), Err(ListError::TooLong(100_000)));
    }
}
