//! The planner without capacities, for comparison: it halves one site's list, and gives each machine as few children in
//! the second tree as it has many in the first.

use super::{super::Candidate, SERVER};
use banyan_proto::{AddresseeList, MachineId, list::Addressee};

pub(super) fn plan(candidates: &[Candidate]) -> Vec<AddresseeList> {
    let mut sorted = candidates.to_vec();
    sorted.sort_by_key(|candidate| !candidate.online);
    let names: Vec<MachineId> = sorted.iter().map(|candidate| candidate.id).collect();
    let first = halved(&names);
    let children = children(&first);
    let mut busy_first: Vec<usize> = (0..names.len()).collect();
    busy_first.sort_by_key(|&at| std::cmp::Reverse(children[at]));
    let mut idle_first: Vec<usize> = (0..names.len()).collect();
    idle_first.sort_by_key(|&at| children[at]);
    let mut second = names.clone();
    for (&machine, &position) in busy_first.iter().zip(&idle_first) {
        second[position] = names[machine];
    }
    vec![first, halved(&second)]
}

fn halved(names: &[MachineId]) -> AddresseeList {
    let mut entries = vec![Addressee { id: SERVER, first: names.len() as u32 }];
    entries.extend(names.iter().map(|&id| Addressee { id, first: 0 }));
    let mut todo: Vec<std::ops::Range<usize>> = std::iter::once(1..entries.len()).collect();
    while let Some(range) = todo.pop() {
        if range.is_empty() {
            continue;
        }
        let rest = range.start + 1..range.end;
        let first = rest.len().div_ceil(2);
        entries[range.start].first = first as u32;
        todo.extend([rest.start..rest.start + first, rest.start + first..rest.end]);
    }
    entries.try_into().unwrap()
}

/// Returns how many children each machine has, without the server, in the order of the list.
fn children(list: &AddresseeList) -> Vec<usize> {
    let mut found = Vec::new();
    let mut todo = vec![list.clone()];
    while let Some(list) = todo.pop() {
        let parts: Vec<AddresseeList> = list.parts().into_iter().flatten().collect();
        found.push(parts.len());
        todo.extend(parts.into_iter().rev());
    }
    found.split_off(1)
}
