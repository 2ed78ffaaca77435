//! Lists for the swarm: halved, and with paired positions for two stripes.

use banyan_proto::{AddresseeList, MachineId};

/// Returns the identifier of machine `n`; the server is number 0.
pub(crate) fn id(n: usize) -> MachineId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(n as u64 + 1).to_be_bytes());
    MachineId(bytes)
}

/// Returns the number of the machine with this identifier.
pub(crate) fn number(id: MachineId) -> usize {
    u64::from_be_bytes(id.0[..8].try_into().unwrap()) as usize - 1
}

/// Builds one list for each stripe: the server, then `machines` machines in halves. With one stripe the server halves
/// like every machine; with two it has one head in each.
pub(crate) fn lists(machines: usize, stripes: u8) -> Vec<AddresseeList> {
    let half = |rest: std::ops::Range<usize>| rest.len().div_ceil(2);
    let single = |rest: std::ops::Range<usize>| if rest.start == 1 { rest.len() } else { half(rest) };
    let order: Vec<usize> = (0..=machines).collect();
    let build = |order: &[usize], split: &dyn Fn(std::ops::Range<usize>) -> usize| {
        AddresseeList::build(&order.iter().map(|n| id(*n)).collect::<Vec<_>>(), split).unwrap()
    };
    if stripes == 1 {
        return vec![build(&order, &half)];
    }
    let first = build(&order, &single);
    // Positions that feed two machines in the first order go to machines that feed none in the second.
    let children = |n: usize| first.locate(0, id(n)).unwrap().0.parts().iter().flatten().count();
    let mut feeding: Vec<usize> = (1..=machines).collect();
    feeding.sort_by_key(|n| std::cmp::Reverse(children(*n)));
    let mut position: Vec<usize> = (1..=machines).collect();
    position.sort_by_key(|n| children(*n));
    let mut second = order;
    for (machine, at) in feeding.into_iter().zip(position) {
        second[at] = machine;
    }
    vec![first, build(&second, &single)]
}

/// Returns the machines that `machine` feeds in this list.
pub(crate) fn children(list: &AddresseeList, machine: usize) -> Vec<usize> {
    let (sublist, _) = list.locate(0, id(machine)).unwrap();
    sublist.parts().iter().flatten().map(|part| number(part.head())).collect()
}

#[test]
fn paired_lists_share_the_load() {
    for machines in 1..40 {
        let lists = lists(machines, 2);
        for machine in 1..=machines {
            let fed: usize = lists.iter().map(|list| children(list, machine).len()).sum();
            assert!(fed <= 2, "machine {machine} of {machines} feeds {fed} half stripes");
        }
        assert!(lists.iter().all(|list| children(list, 0).len() == 1));
    }
}
