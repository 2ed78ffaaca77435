//! Tests of the planner: every machine listed once, sites entered once, no machine sending more than one copy on a
//! site.

mod capacities;
mod fluid;
mod halving;
mod random;

use super::*;
use banyan_proto::Address;
use std::collections::{HashMap, HashSet};

const SERVER: MachineId = MachineId([0xff; 16]);

fn machine(number: u32) -> MachineId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    MachineId(id)
}
fn machine_number(id: MachineId) -> usize {
    u32::from_be_bytes([id.0[0], id.0[1], id.0[2], id.0[3]]) as usize
}
fn site(number: u8) -> Site {
    Site::of(&[std::net::SocketAddr::from(([10, 0, number, 1], 1)).into()])
}
fn candidates(sizes: &[u32]) -> Vec<Candidate> {
    let mut all = Vec::new();
    for (number, &size) in sizes.iter().enumerate() {
        for _ in 0..size {
            let number_of_site = u8::try_from(number).unwrap();
            let (id, site) = (machine(all.len() as u32), site(number_of_site));
            all.push(Candidate {
                id,
                site,
                online: true,
                forwards: true,
                reach: Reach::Everyone,
                down: None,
                up: None,
            });
        }
    }
    all
}
/// Asserts that the list has every candidate exactly once below the server.
fn assert_whole(list: &AddresseeList, all: &[Candidate]) {
    assert_eq!(list.head(), SERVER);
    let names: HashSet<MachineId> = list.ids().skip(1).collect();
    assert_eq!(names, all.iter().map(|candidate| candidate.id).collect());
    assert_eq!(list.len(), all.len() + 1);
}
/// Asserts that each list enters each site at most `allowed` times.
fn assert_entered_once(lists: &[AddresseeList], all: &[Candidate], allowed: u32) {
    let site_of: HashMap<MachineId, Site> = all.iter().map(|candidate| (candidate.id, candidate.site)).collect();
    for list in lists {
        let mut entered = HashMap::<Site, u32>::new();
        for (child, parent) in parents(list) {
            if site_of.get(&parent) != Some(&site_of[&child]) {
                *entered.entry(site_of[&child]).or_default() += 1;
            }
        }
        let most = entered.values().max();
        assert!(most <= Some(&allowed), "{} lists: a site is entered {most:?} times", lists.len());
    }
}
fn parents(list: &AddresseeList) -> HashMap<MachineId, MachineId> {
    let mut found = HashMap::new();
    let mut todo = vec![list.clone()];
    while let Some(list) = todo.pop() {
        for part in list.parts().into_iter().flatten() {
            found.insert(part.head(), list.head());
            todo.push(part);
        }
    }
    found
}

#[test]
fn with_two_stripes_nobody_sends_more_than_one_copy_whatever_the_number() {
    for n in 1..=200 {
        let all = candidates(&[n]);
        let plan = plan(SERVER, None, &all, 2).unwrap();
        plan.lists.iter().for_each(|list| assert_whole(list, &all));
        assert!(plan.busiest_copies <= 1.0, "{n} machines: the busiest sends {} copies", plan.busiest_copies);
        assert!(
            (plan.server_copies - 1.0).abs() < f64::EPSILON,
            "{n} machines: the server sends {} copies",
            plan.server_copies
        );
    }
    println!("predicted for 16: {:?}", plan(SERVER, None, &candidates(&[16]), 2).map(|plan| plan.busiest_copies));
}

#[test]
fn one_stripe_is_the_plain_binary_tree_halved_by_the_server_too() {
    let all = candidates(&[7]);
    let plan = plan(SERVER, None, &all, 1).unwrap();
    assert_eq!(plan.lists.len(), 1);
    assert_whole(&plan.lists[0], &all);
    let sizes: Vec<usize> = plan.lists[0].parts().iter().flatten().map(AddresseeList::len).collect();
    assert_eq!(sizes, [4, 3]);
    assert!((plan.server_copies - 2.0).abs() < f64::EPSILON);
    assert!(plan.busiest_copies <= 2.0);
}

#[test]
fn each_site_is_entered_once_in_each_tree() {
    for sizes in [&[5, 3, 8][..], &[1, 1, 1, 1, 1], &[20, 1, 1, 7, 7], &[2; 40], &[100, 1]] {
        let all = candidates(sizes);
        for stripes in 1..=2 {
            let plan = plan(SERVER, None, &all, stripes).unwrap();
            plan.lists.iter().for_each(|list| assert_whole(list, &all));
            assert_entered_once(&plan.lists, &all, if stripes == 1 && sizes.len() == 1 { 2 } else { 1 });
        }
    }
}

#[test]
fn sites_of_one_machine_each_are_paired_like_the_machines_of_one_site() {
    for n in 1..=60 {
        let plan = plan(SERVER, None, &candidates(&vec![1; n]), 2).unwrap();
        assert!(plan.busiest_copies <= 1.0, "{n} sites: {}", plan.busiest_copies);
    }
}

#[test]
fn machines_that_are_away_are_leaves_in_both_trees_as_long_as_there_are_leaves() {
    for n in 2..80_u32 {
        let mut all = candidates(&[n]);
        // Fewer than the leaves of any tree of this size.
        for candidate in all.iter_mut().take(n as usize / 3) {
            candidate.online = false;
        }
        let plan = plan(SERVER, None, &all, 2).unwrap();
        for list in &plan.lists {
            assert_whole(list, &all);
            let parents: HashSet<MachineId> = parents(list).into_values().collect();
            let offline = all.iter().filter(|candidate| !candidate.online);
            let above = offline.filter(|candidate| parents.contains(&candidate.id)).count();
            assert_eq!(above, 0, "{n} machines: machines that are offline have children");
        }
    }
}

#[test]
fn the_largest_lists_stay_flat_enough_for_the_protocol() {
    let many: Vec<u32> = (0..250).map(|number| 1 + (number * 37) % 130).collect();
    assert!(plan(SERVER, None, &candidates(&many), 2).is_ok());
    let mut doubling: Vec<u32> = (0..14).map(|power| 1 << power).collect();
    assert!(plan(SERVER, None, &candidates(&doubling), 2).is_ok());
    doubling.reverse();
    assert!(plan(SERVER, None, &candidates(&doubling), 2).is_ok());
}

#[test]
fn a_site_is_the_subnet_of_the_first_address_that_leads_somewhere() {
    let at = |text: &str| text.parse::<Address>().unwrap();
    assert_eq!(Site::of(&[at("10.1.2.3:1")]), Site::of(&[at("10.1.2.99:2")]));
    assert_ne!(Site::of(&[at("10.1.2.3:1")]), Site::of(&[at("10.1.3.3:1")]));
    assert_eq!(Site::of(&[at("127.0.0.1:1"), at("10.1.2.3:1")]), Site::of(&[at("10.1.2.4:1")]));
    assert_eq!(Site::of(&[at("[2001:db8:0:1::1]:1")]), Site::of(&[at("[2001:db8:0:1:ffff::2]:1")]));
    assert_eq!(Site::of(&[at("[::ffff:10.1.2.3]:1")]), Site::of(&[at("10.1.2.3:1")]));
}

/// Counts the machines that cannot dial their parent and that their parent cannot dial.
fn cut_off(lists: &[AddresseeList], all: &[Candidate]) -> usize {
    let of: HashMap<MachineId, &Candidate> = all.iter().map(|candidate| (candidate.id, candidate)).collect();
    let is_cut_off = |(child, parent): &(MachineId, MachineId)| {
        let (Some(child), Some(parent)) = (of.get(child), of.get(parent)) else { return false };
        let can_be_dialled = |machine: &Candidate| match machine.reach {
            Reach::Everyone => true,
            Reach::OwnSite => child.site == parent.site,
            Reach::Nobody => false,
        };
        !can_be_dialled(child) && !can_be_dialled(parent)
    };
    lists.iter().map(|list| parents(list).into_iter().filter(is_cut_off).count()).sum()
}

#[test]
fn of_a_machine_and_its_parent_one_can_dial_the_other() {
    let mut random = random::Random(7);
    for n in 2..120_u32 {
        for stripes in 1..=2 {
            let mut all = candidates(&[n]);
            let mut left = n / 2;
            while left > 0 {
                let at = (random.next() * f64::from(n)) as usize;
                left -= u32::from(std::mem::replace(&mut all[at].reach, Reach::Nobody) == Reach::Everyone);
            }
            let plan = plan(SERVER, None, &all, stripes).unwrap();
            plan.lists.iter().for_each(|list| assert_whole(list, &all));
            assert_eq!(cut_off(&plan.lists, &all), 0, "{n} machines, {stripes} stripes");
            let most = if stripes == 2 { 1.0 } else { 2.0 };
            assert!(plan.busiest_copies <= most, "{n} machines: the busiest sends {} copies", plan.busiest_copies);
        }
    }
}

#[test]
fn one_machine_that_can_be_dialled_does_not_serve_all_the_others() {
    for n in 4..60_u32 {
        let mut all = candidates(&[n]);
        all.iter_mut().skip(1).for_each(|candidate| candidate.reach = Reach::Nobody);
        let lists = plan(SERVER, None, &all, 2).unwrap().lists;
        lists.iter().for_each(|list| assert_whole(list, &all));
        // A machine that nobody can dial receives from the next ancestor that it can dial.
        let serves = |list: &AddresseeList| {
            let parents = parents(list);
            let source = |machine: MachineId| {
                let above = std::iter::successors(parents.get(&machine).copied(), |above| parents.get(above).copied());
                above.into_iter().find(|above| *above == SERVER || *above == all[0].id)
            };
            all.iter().skip(1).filter(|candidate| source(candidate.id) == Some(all[0].id)).count()
        };
        let served: usize = lists.iter().map(serves).sum();
        assert!(served <= 3, "{n} machines: it serves {served}");
    }
}

#[test]
fn machines_that_only_their_own_site_can_dial_are_neighbours_there() {
    for sizes in [&[6, 6][..], &[12, 3, 3], &[30, 8, 9, 1, 1]] {
        let mut all = candidates(sizes);
        // Every machine can dial those of the first site.
        let open = all[0].site;
        all.iter_mut().filter(|candidate| candidate.site != open).for_each(|one| one.reach = Reach::OwnSite);
        let plan = plan(SERVER, None, &all, 2).unwrap();
        plan.lists.iter().for_each(|list| assert_whole(list, &all));
        assert_entered_once(&plan.lists, &all, 1);
        let surplus = sizes.len().saturating_sub(3);
        assert!(cut_off(&plan.lists, &all) <= 2 * surplus, "{sizes:?}: {}", cut_off(&plan.lists, &all));
    }
}

#[test]
fn the_largest_networks_of_machines_that_cannot_be_dialled_are_planned() {
    let mut all = candidates(&[19_000]);
    all.iter_mut().skip(1).for_each(|candidate| candidate.reach = Reach::Nobody);
    assert_whole(&plan(SERVER, None, &all, 2).unwrap().lists[0], &all);
    all.iter_mut().skip(1).step_by(2).for_each(|candidate| candidate.reach = Reach::Everyone);
    assert_eq!(cut_off(&plan(SERVER, None, &all, 2).unwrap().lists, &all), 0);
}
