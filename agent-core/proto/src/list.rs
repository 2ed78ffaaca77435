//! The addressee list of one stripe, its halving, its hash and the proofs about it (rules L1–L6).
//!
//! A list is written in the order in which it is handed down: `T(list) = head, T(first part), T(second part)`. Each entry
//! says how long the first part below it is, so the list carries its own tree and no reader has to know how the planner
//! chose the split points. The hash of a list is a hash tree of that very shape, so that a sublist with the hashes
//! beside its way up (O(log n) of them) proves that nobody trimmed, grew or reshaped it, and who its ancestors are.

use crate::{Digest, MachineId, limits};
use serde::{Deserialize, Serialize};

/// One name on a list, and how the names below it are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressee {
    /// Who.
    pub id: MachineId,
    /// How many of the names below go to the first part; all others go to the second.
    pub first: u32,
}

/// A non-empty list of addressees with its tree. Construction checks the shape, so every value is a well-formed tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Addressee>", into = "Vec<Addressee>")]
pub struct AddresseeList(Vec<Addressee>);

/// A list that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No names.
    #[error("an addressee list without names")]
    Empty,
    /// More names than [`limits::ADDRESSEES`].
    #[error("an addressee list of {0} names; the most is {max}", max = limits::ADDRESSEES)]
    TooLong(usize),
    /// A part is longer than what is left.
    #[error("the name at position {0} claims a first part longer than the names below it")]
    Shape(usize),
    /// The tree nests deeper than [`limits::LIST_DEPTH`].
    #[error("the addressee list nests deeper than {max} heads", max = limits::LIST_DEPTH)]
    TooDeep,
}

/// Where, in a list, the names below a head go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Names in this subtree, its head included.
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

/// The size and depth of the subtree at each position, top-down without recursion.
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

/// Which of the two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The first part of the rest.
    First,
    /// The second part of the rest.
    Second,
}

/// A subtree as its parent hashes it: how many names and their hash. `EMPTY` stands for a part without names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtree {
    /// Names in it.
    pub size: u32,
    /// Its hash; zero for an empty part.
    pub hash: Digest,
}

impl Subtree {
    /// A part without names.
    pub const EMPTY: Self = Self { size: 0, hash: Digest([0; 32]) };

    /// The subtree made of a head and its two parts (rule L3): stripe and both sizes are hashed in.
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

/// One step of a proof, from a subtree to its parent: who heads the parent and what stands beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The head of the parent: an ancestor of everything below.
    pub head: MachineId,
    /// Which of the parent's parts the way goes through.
    pub part: Part,
    /// The other part.
    pub sibling: Subtree,
}

/// The way from the root of the list down to one subtree, root first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(pub Vec<Step>);

impl Proof {
    /// The root that this proof leads to, when it starts at `subtree` (rule L4). Compare it with the order's.
    #[must_use]
    pub fn root(&self, stripe: u8, subtree: Subtree) -> Subtree {
        self.0.iter().rev().fold(subtree, |below, step| match step.part {
            Part::First => Subtree::join(stripe, step.head, below, step.sibling),
            Part::Second => Subtree::join(stripe, step.head, step.sibling, below),
        })
    }
    /// The heads above, the root's (the server) first.
    pub fn ancestors(&self) -> impl DoubleEndedIterator<Item = MachineId> + '_ {
        self.0.iter().map(|step| step.head)
    }
    /// This proof with one more step below.
    #[must_use]
    pub fn then(&self, step: Step) -> Self {
        Self(self.0.iter().copied().chain([step]).collect())
    }
}

/// Proof that one machine is on the list, and who its ancestors are: its own two parts by hash, and the way up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The parts below the machine.
    pub parts: [Subtree; 2],
    /// The way from the root.
    pub proof: Proof,
}

impl Membership {
    /// The root this membership of `id` leads to.
    #[must_use]
    pub fn root(&self, stripe: u8, id: MachineId) -> Subtree {
        self.proof.root(stripe, Subtree::join(stripe, id, self.parts[0], self.parts[1]))
    }
}

impl AddresseeList {
    /// Builds a list from names in planned order; `split(range)` says how many of the names after the head go first
    /// (it is clamped to what there is). `names[0]` is the head.
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
    /// The machine that receives this list and hands the rest on.
    #[must_use]
    pub fn head(&self) -> MachineId {
        self.0[0].id
    }
    /// How many names, the head included; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a list is never empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// All names, head first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = MachineId> + '_ {
        self.0.iter().map(|entry| entry.id)
    }
    /// The two parts of the names below the head; `None` for a part without names (rule L2).
    #[must_use]
    pub fn parts(&self) -> [Option<Self>; 2] {
        let (first, second) = self.0[1..].split_at(self.0[0].first as usize);
        [first, second].map(|part| (!part.is_empty()).then(|| Self(part.to_vec())))
    }
    /// Size and hash of the whole list and of the subtree at each position, in list order.
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
    /// Size and hash of this list.
    #[must_use]
    pub fn subtree(&self, stripe: u8) -> Subtree {
        self.subtrees(stripe)[0]
    }
    /// What the head hands on: each part with the step that extends the proof of this list to it.
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
    /// The subtree that `id` heads, and the way to it from the root of this list; `None` if `id` is not on it.
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
    /// The proof that the head of this list, found at `proof`, is on the order's list.
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
            // What is not even a tree is refused when it is read.
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
