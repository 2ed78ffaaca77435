//! Fuzz target: addressee lists and their proofs (rules L1–L6). A modified list must have a different root.

use super::{Check, Verdict, ensure, json};
use crate::corpus::{self, Seed};
use banyan_proto::{AddresseeList, MachineId, Membership, Proof, list::Subtree};

const STRIPE: u8 = 1;
/// How many names of a list are looked up: each look-up hashes the whole list.
const LOOKED_UP: usize = 4;

/// The valid list, its root, and the proof that one machine is on it.
struct Truth {
    lists: Vec<(Subtree, AddresseeList)>,
    root: Subtree,
    machine: MachineId,
    membership: Membership,
}

/// Reads the valid lists, and the membership of the last name on one of them.
pub(super) fn prepare(seeds: &[Seed]) -> Result<Check, String> {
    let list: AddresseeList = corpus::json(seeds, "halved.json")?;
    let machine = list.ids().last().ok_or("an empty list")?;
    let membership: Membership = corpus::json(seeds, "membership.json")?;
    let root = list.subtree(STRIPE);
    ensure(membership.root(STRIPE, machine) == root, "membership.json does not prove halved.json's last name")?;
    let lists = seeds.iter().filter_map(|seed| serde_json::from_slice(&seed.bytes).ok());
    let lists = lists.map(|list: AddresseeList| (list.subtree(STRIPE), list)).collect();
    let truth = Truth { lists, root, machine, membership };
    Ok(Box::new(move |input| truth.check(input)))
}

impl Truth {
    fn check(&self, input: &[u8]) -> Verdict {
        let mut parsed = false;
        if let Some(list) = json::<AddresseeList>(input)? {
            parsed = true;
            self.list(&list)?;
        }
        if let Some(membership) = json::<Membership>(input)? {
            parsed = true;
            let believed = membership.root(STRIPE, self.machine) == self.root;
            ensure(!believed || membership == self.membership, "a different membership has the same root")?;
            // The same claim must be false for an ancestor and for another stripe.
            for head in membership.proof.ancestors() {
                ensure(membership.root(STRIPE, head) != self.root, "a membership proves a second machine")?;
            }
            ensure(membership.root(0, self.machine) != self.root, "a membership proves a second stripe")?;
        }
        if let Some(proof) = json::<Proof>(input)? {
            parsed = true;
            let root = proof.root(STRIPE, Subtree::EMPTY);
            ensure(root.size as usize >= proof.0.len(), "a list is shorter than the path through it")?;
        }
        Ok(parsed)
    }
    fn list(&self, list: &AddresseeList) -> Result<(), String> {
        let root = list.subtree(STRIPE);
        for (known, honest) in &self.lists {
            ensure(root != *known || list == honest, "a different list has the same root")?;
        }
        ensure(root.size as usize == list.len(), "a root's size differs from its list")?;
        ensure(list.subtree(0) != root, "two stripes have the same root")?;
        let step_by = list.len().div_ceil(LOOKED_UP);
        for id in list.ids().step_by(step_by) {
            let (below, proof) = list.locate(STRIPE, id).ok_or("a name of the list is not found on it")?;
            ensure(below.head() == id, "a different machine was found")?;
            ensure(proof.root(STRIPE, below.subtree(STRIPE)) == root, "a sublist does not prove itself")?;
            ensure(below.membership(STRIPE, &proof).root(STRIPE, id) == root, "a member does not prove itself")?;
        }
        let handed: usize = list.hand_on(STRIPE).iter().map(|(_, part, _)| part.len()).sum();
        ensure(handed + 1 == list.len(), "a name is lost when the list is split")?;
        for (_, part, step) in list.hand_on(STRIPE) {
            let proof = Proof::default().then(step);
            ensure(
                proof.root(STRIPE, part.subtree(STRIPE)) == root,
                "a sublist for the next machine does not prove itself",
            )?;
        }
        Ok(())
    }
}
