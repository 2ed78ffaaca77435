//! One stripe's list of an order, with an index of each machine's position, ancestors and subtree hash.

use banyan_proto::{AddresseeList, MachineId, Proof, list::Subtree};
use std::collections::HashMap;

/// An indexed list.
pub(crate) struct StripeTree {
    stripe: u8,
    list: AddresseeList,
    subtrees: Vec<Subtree>,
    position: HashMap<MachineId, usize>,
    /// The position of each machine's planned sender; the root's is its own.
    parent: Vec<usize>,
    ids: Vec<MachineId>,
}

impl StripeTree {
    pub(crate) fn new(stripe: u8, list: AddresseeList) -> Self {
        let subtrees = list.subtrees(stripe);
        let ids: Vec<MachineId> = list.ids().collect();
        let position = ids.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        let mut parent = vec![0; ids.len()];
        // A machine is the child of the nearest head before it whose subtree still contains it.
        let mut above: Vec<usize> = Vec::new();
        for (at, parent) in parent.iter_mut().enumerate() {
            while above.last().is_some_and(|&head| at >= head + subtrees[head].size as usize) {
                above.pop();
            }
            *parent = above.last().copied().unwrap_or(0);
            above.push(at);
        }
        Self { stripe, list, subtrees, position, parent, ids }
    }
    pub(crate) fn list(&self) -> &AddresseeList {
        &self.list
    }
    /// Returns the size and hash of the whole list.
    pub(crate) fn root(&self) -> Subtree {
        self.subtrees[0]
    }
    /// Returns the size and hash of the subtree that this machine heads.
    pub(crate) fn subtree(&self, id: MachineId) -> Option<Subtree> {
        self.position.get(&id).map(|&at| self.subtrees[at])
    }
    /// Returns whether `above` is an ancestor of `below`.
    pub(crate) fn is_ancestor(&self, above: MachineId, below: MachineId) -> bool {
        let (Some(&above), Some(&below)) = (self.position.get(&above), self.position.get(&below)) else { return false };
        above < below && below < above + self.subtrees[above].size as usize
    }
    /// Returns the planned sender of this machine.
    pub(crate) fn planned_sender(&self, id: MachineId) -> Option<MachineId> {
        self.position.get(&id).filter(|&&at| at > 0).map(|&at| self.ids[self.parent[at]])
    }
    /// Returns the number of hops from the server.
    pub(crate) fn depth(&self, id: MachineId) -> u32 {
        let mut at = self.position.get(&id).copied().unwrap_or(0);
        let mut depth = 0;
        while at > 0 {
            at = self.parent[at];
            depth += 1;
        }
        depth
    }
    /// Returns the sublist that a machine heads, and its proof.
    pub(crate) fn locate(&self, id: MachineId) -> Option<(AddresseeList, Proof)> {
        self.list.locate(self.stripe, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_and_ancestors_are_those_of_the_lists_own_halving() {
        let ids: Vec<MachineId> = (0..40).map(|n| MachineId([n; 16])).collect();
        let list = AddresseeList::build(&ids, |rest| rest.len().div_ceil(2)).unwrap();
        let tree = StripeTree::new(1, list.clone());
        for &id in &ids {
            let (sublist, proof) = list.locate(1, id).unwrap();
            assert_eq!(tree.subtree(id), Some(sublist.subtree(1)));
            let ancestors: Vec<MachineId> = proof.ancestors().collect();
            assert_eq!(tree.planned_sender(id), ancestors.last().copied());
            assert_eq!(tree.depth(id) as usize, ancestors.len());
            for &other in &ids {
                assert_eq!(tree.is_ancestor(other, id), ancestors.contains(&other), "{other:?} above {id:?}");
            }
        }
        assert!(!tree.is_ancestor(MachineId([99; 16]), ids[3]));
    }
}
