//! Plans for networks whose links differ, against the fluid bound and against the planner without capacities.

use super::{
    SERVER, assert_entered_once, assert_whole, candidates, fluid::Network, halving, machine, machine_number, parents,
    random::Random,
};
use crate::planner::{Candidate, Site, plan};
use banyan_proto::{AddresseeList, MeasuredRate, Reach};

/// Finishing times divided by each machine's own bound.
#[derive(Debug)]
struct Ratios {
    fast_median: f64,
    fast_worst: f64,
    median: f64,
    worst: f64,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ratios of the machines; those at or above the median of all downlinks are the fast ones.
fn ratios(network: &Network, lists: &[AddresseeList]) -> Ratios {
    let usual = median(&mut network.down.clone());
    let times = network.times(lists);
    let mut all: Vec<f64> = (0..times.len()).map(|at| times[at] / network.bound(at)).collect();
    let mut fast: Vec<f64> = (0..times.len()).filter(|&at| network.down[at] >= usual).map(|at| all[at]).collect();
    Ratios {
        fast_median: median(&mut fast),
        fast_worst: fast[fast.len() - 1],
        median: median(&mut all),
        worst: all[all.len() - 1],
    }
}

fn bytes(mbit: f64) -> Option<u64> {
    Some((mbit * 125_000.0) as u64)
}
/// A measured rate that is also the most.
fn exactly(mbit: f64) -> Option<MeasuredRate> {
    bytes(mbit).map(|at_least| MeasuredRate { at_least, at_most: Some(at_least), is_rough: false })
}
fn known(network: &Network) -> Vec<Candidate> {
    let mut all = candidates(&[network.down.len() as u32]);
    for (candidate, (&down, &up)) in all.iter_mut().zip(network.down.iter().zip(&network.up)) {
        (candidate.down, candidate.up, candidate.forwards) = (exactly(down), exactly(up), up > 0.0);
    }
    all
}

/// Prints both planners' ratios and the copies that the busiest machine sends; returns those of the plan that knows.
fn compare(name: &str, network: &Network) -> Ratios {
    let all = known(network);
    let new = plan(SERVER, bytes(network.server), &all, 2).unwrap();
    let (before, after) = (ratios(network, &halving::plan(&all)), ratios(network, &new.lists));
    for (planner, ratios) in [("halving", before), ("capacities", after)] {
        let Ratios { fast_median, fast_worst, median, worst } = ratios;
        println!("{name:32} {planner:10} fast {fast_median:5.2} {fast_worst:6.2}   all {median:5.2} {worst:6.2}");
    }
    println!("{name:32} the busiest machine sends {:.1} copies", new.busiest_copies);
    ratios(network, &new.lists)
}

/// The first `slow.0` machines of `n` at rate `slow.1`, the others and the server at 20.
fn slow_of(n: usize, slow: (usize, f64)) -> Network {
    let rates: Vec<f64> = (0..n).map(|at| if at < slow.0 { slow.1 } else { 20.0 }).collect();
    Network { server: 20.0, down: rates.clone(), up: rates }
}

#[test]
fn nobody_waits_for_one_or_more_slow_machines() {
    for (count, rate) in [(0, 20.0), (1, 10.0), (1, 2.0), (2, 5.0), (4, 2.0), (8, 5.0)] {
        let ratios = compare(&format!("{count} of 16 at {rate}"), &slow_of(16, (count, rate)));
        assert!(ratios.worst < 1.05, "{count} at {rate}: {ratios:?}");
    }
}

#[test]
fn machines_that_do_not_forward_are_fed_by_others() {
    let mut network = slow_of(16, (0, 20.0));
    network.up[..4].fill(0.0);
    let ratios = compare("4 of 16 do not forward", &network);
    assert!(ratios.worst < 1.25, "{ratios:?}");
}

#[test]
fn machines_with_three_children_are_near_the_leaves() {
    let mut network = slow_of(16, (0, 20.0));
    network.up[..4].fill(0.0);
    let plan = plan(SERVER, bytes(20.0), &known(&network), 2).unwrap();
    let times = network.times(&plan.lists);
    let at_full_rate = times.iter().filter(|time| **time < 1.05 / 20.0).count();
    assert!(at_full_rate >= 7, "{at_full_rate}: {times:?}");
    assert!(plan.busiest_copies <= 1.5, "{}", plan.busiest_copies);
}

#[test]
fn machines_that_send_half_a_copy_hold_up_few_others() {
    for count in 1..=6 {
        let mut network = slow_of(16, (0, 20.0));
        network.up[..count].fill(10.0);
        let plan = plan(SERVER, bytes(20.0), &known(&network), 2).unwrap();
        let times = network.times(&plan.lists);
        let at_full_rate = times.iter().filter(|time| **time < 1.05 / 20.0).count();
        // Each sender of 1.5 copies holds up three, each of them in one stripe.
        let least = 16 - 3 * count.saturating_sub(2);
        assert!(at_full_rate >= least, "{count}: {at_full_rate}: {times:?}");
        assert!(times.iter().all(|time| *time < 1.55 / 20.0), "{count}: {times:?}");
        assert!(plan.busiest_copies <= 1.5, "{count}: {}", plan.busiest_copies);
    }
}

/// A rate that a check has shown.
fn checked(mbit: f64) -> Option<MeasuredRate> {
    exactly(mbit).map(|rate| MeasuredRate { is_rough: true, ..rate })
}

#[test]
fn checks_of_equal_links_change_nothing() {
    for seed in 1..=50 {
        let mut random = Random(seed);
        let mut all = candidates(&[16]);
        let lists = plan(SERVER, None, &all, 2).unwrap().lists;
        for candidate in &mut all {
            let mut noisy = || checked(20.0 * (0.85 + 0.25 * random.next()));
            (candidate.down, candidate.up) = (noisy(), noisy());
        }
        assert_eq!(plan(SERVER, None, &all, 2).unwrap().lists, lists, "seed {seed}");
    }
}

#[test]
fn machines_that_a_check_shows_to_be_slow_are_below_the_others() {
    let slow_rates = |mbit: f64| -> Vec<f64> { (0..16).map(|at| if at < 8 { 5.0 } else { mbit }).collect() };
    let network = Network { server: 200.0, down: slow_rates(200.0), up: slow_rates(200.0) };
    // The fast links carry more than a check shows.
    let fast = Some(MeasuredRate { at_least: bytes(50.0).unwrap(), at_most: None, is_rough: true });
    let mut all = candidates(&[16]);
    for (at, candidate) in all.iter_mut().enumerate() {
        candidate.down = if at < 8 { checked(4.5 + at as f64 / 8.0) } else { fast };
        candidate.up = candidate.down;
    }
    let plan = plan(SERVER, None, &all, 2).unwrap();
    let ratios = ratios(&network, &plan.lists);
    assert!(ratios.fast_worst < 1.1 && ratios.worst < 1.3, "{ratios:?}");
}

#[test]
fn narrow_uplinks_are_used_to_the_full() {
    let network = Network { server: 20.0, down: vec![20.0; 16], up: vec![5.0; 16] };
    let ratios = compare("all 20 down, 5 up", &network);
    assert!(ratios.worst < 1.26, "{ratios:?}");
}

/// Prints and returns the median and the worst ratio of 200 random networks for (fast machines, all machines).
fn random_networks(name: &str, mut network: impl FnMut(&mut Random) -> Network) -> [f64; 4] {
    let mut results = Vec::new();
    for planner in ["halving", "capacities"] {
        let (mut fast, mut all, mut fast_worst, mut worst) = (vec![], vec![], (0.0, 0), (0.0, 0));
        for seed in 1..=200 {
            let network = network(&mut Random(seed));
            let candidates = known(&network);
            let lists = match planner {
                "halving" => halving::plan(&candidates),
                _ => plan(SERVER, bytes(network.server), &candidates, 2).unwrap().lists,
            };
            let ratios = ratios(&network, &lists);
            fast.push(ratios.fast_median);
            all.push(ratios.median);
            fast_worst = if ratios.fast_worst > fast_worst.0 { (ratios.fast_worst, seed) } else { fast_worst };
            worst = if ratios.worst > worst.0 { (ratios.worst, seed) } else { worst };
        }
        let (fast, all) = (median(&mut fast), median(&mut all));
        println!(
            "{name:32} {planner:10} fast {fast:5.2} {:6.2} (seed {})   all {all:5.2} {:6.2} (seed {})",
            fast_worst.0, fast_worst.1, worst.0, worst.1
        );
        results = vec![fast, fast_worst.0, all, worst.0];
    }
    results.try_into().unwrap()
}

#[test]
fn random_networks_with_equal_links_in_both_directions_stay_near_the_bound() {
    let [fast, fast_worst, all, worst] = random_networks("200 x 16, down = up", |random| {
        let rates: Vec<f64> = (0..16).map(|_| random.rate()).collect();
        Network { server: 20.0, down: rates.clone(), up: rates }
    });
    assert!(fast < 1.05 && fast_worst < 1.25 && all < 1.05 && worst < 1.25);
}

#[test]
fn random_networks_with_unrelated_uplinks_stay_near_the_bound() {
    let [fast, fast_worst, all, worst] = random_networks("200 x 16, down and up unrelated", |random| {
        let down: Vec<f64> = (0..16).map(|_| random.rate()).collect();
        Network { server: 20.0, down, up: (0..16).map(|_| random.rate()).collect() }
    });
    assert!(fast < 1.05 && fast_worst < 6.0 && all < 1.05 && worst < 6.0);
}

#[test]
fn random_networks_with_a_fast_server_use_what_the_machines_can_send() {
    let [fast, fast_worst, all, worst] = random_networks("the same, server at 200", |random| {
        let down: Vec<f64> = (0..16).map(|_| random.rate()).collect();
        Network { server: 200.0, down, up: (0..16).map(|_| random.rate()).collect() }
    });
    assert!(fast < 1.7 && fast_worst < 14.0 && all < 1.15 && worst < 14.0);
}

#[test]
fn no_machine_is_below_a_slower_one_of_its_site() {
    for seed in 1..=100 {
        let mut random = Random(seed);
        let rates: Vec<f64> = (0..40).map(|_| random.rate()).collect();
        let mut fastest = rates.clone();
        fastest.sort_by(f64::total_cmp);
        let network = Network { server: 200.0, down: rates.clone(), up: rates };
        let plan = plan(SERVER, bytes(200.0), &known(&network), 2).unwrap();
        for (child, parent) in plan.lists.iter().flat_map(parents).filter(|&(_, parent)| parent != SERVER) {
            let (child, parent) = (network.up[machine_number(child)], network.up[machine_number(parent)]);
            // The fastest machine counts as the second fastest.
            assert!(
                parent * 1.3 > child.min(fastest[38]),
                "seed {seed}: a machine at {child} is below one at {parent}"
            );
        }
        assert!(plan.busiest_copies <= 1.0, "seed {seed}: {}", plan.busiest_copies);
    }
}

#[test]
fn machines_that_do_not_forward_are_leaves_as_long_as_there_are_leaves() {
    for count in 0..8 {
        let mut network = slow_of(16, (0, 20.0));
        network.up[..count].fill(0.0);
        let plan = plan(SERVER, bytes(20.0), &known(&network), 2).unwrap();
        for parent in plan.lists.iter().flat_map(parents).map(|(_, parent)| parent) {
            let forwards = parent == SERVER || network.up[machine_number(parent)] > 0.0;
            assert!(forwards, "{count}: a machine that does not forward has children");
        }
    }
    let mut network = slow_of(16, (0, 20.0));
    network.up[..13].fill(0.0);
    let ratios = compare("13 of 16 do not forward", &network);
    assert!(ratios.worst < 1.5, "{ratios:?}");
}

#[test]
fn unknown_machines_have_few_machines_below_them() {
    let mut all = known(&slow_of(32, (0, 20.0)));
    for candidate in &mut all[..8] {
        (candidate.down, candidate.up) = (None, None);
    }
    for list in plan(SERVER, None, &all, 2).unwrap().lists {
        for candidate in &all[..8] {
            let below = parents(&list).into_values().filter(|&parent| parent == candidate.id).count();
            let (sublist, _) = list.locate(0, candidate.id).unwrap();
            assert!(sublist.len() <= 3, "an unknown machine has {below} children and {} below", sublist.len() - 1);
        }
    }
}

#[test]
fn a_rate_that_a_slow_sender_limited_does_not_make_a_machine_slow() {
    let mut all = known(&slow_of(16, (0, 20.0)));
    let plan_of = |all: &[Candidate]| plan(SERVER, None, all, 2).unwrap().lists;
    let lists = plan_of(&all);
    for candidate in &mut all[..4] {
        let limited =
            |rate: MeasuredRate| MeasuredRate { at_least: rate.at_least / 10, at_most: None, is_rough: false };
        (candidate.down, candidate.up) = (candidate.down.map(limited), candidate.up.map(limited));
    }
    assert_eq!(plan_of(&all), lists);
}

#[test]
fn a_machine_that_claims_too_much_heads_one_tree_at_most() {
    let mut all = known(&slow_of(16, (4, 2.0)));
    let claim = Some(MeasuredRate { at_least: u64::MAX, at_most: None, is_rough: false });
    (all[0].down, all[0].up) = (claim, claim);
    let plan = plan(SERVER, None, &all, 2).unwrap();
    let heads: Vec<_> = plan.lists.iter().flat_map(|list| list.parts().into_iter().flatten()).collect();
    assert!(heads.iter().filter(|list| list.head() == all[0].id).count() <= 1);
}

#[test]
fn any_mix_of_machines_gives_whole_lists_and_enters_each_site_once() {
    for seed in 1..=300 {
        let mut random = Random(seed);
        let sizes: Vec<u32> =
            (0..1 + (random.next() * 12.0) as usize).map(|_| 1 + (random.next() * 9.0) as u32).collect();
        let mut all = candidates(&sizes);
        let kinds = random.next();
        for candidate in &mut all {
            candidate.online = random.next() > kinds * 0.6;
            candidate.forwards = random.next() > kinds * 0.6;
            candidate.down = (random.next() > 0.3).then(|| exactly(random.rate()).unwrap());
            candidate.up = (random.next() > 0.3).then(|| exactly(random.rate() * random.next()).unwrap());
        }
        for stripes in 1..=2 {
            let plan = plan(SERVER, bytes(20.0), &all, stripes).unwrap();
            plan.lists.iter().for_each(|list| assert_whole(list, &all));
            assert_entered_once(&plan.lists, &all, if stripes == 1 && sizes.len() == 1 { 2 } else { 1 });
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test prints how long planning takes")]
fn the_longest_lists_are_planned() {
    for sizes in [&[19_999][..], &vec![80; 249], &vec![2; 9_999], &vec![1; 19_999]] {
        let mut random = Random(7);
        let mut all = Vec::new();
        for (number, &size) in sizes.iter().enumerate() {
            let at = std::net::SocketAddr::from(([10, (number >> 8) as u8, number as u8, 1], 1));
            for _ in 0..size {
                let (down, up) = (exactly(random.rate()), exactly(random.rate()));
                let (online, forwards) = (random.next() > 0.2, random.next() > 0.1);
                let (id, site) = (machine(all.len() as u32), Site::of(&[at.into()]));
                all.push(Candidate { id, site, online, forwards, reach: Reach::Everyone, down, up });
            }
        }
        let started = std::time::Instant::now();
        let plan = plan(SERVER, None, &all, 2).unwrap();
        let took = started.elapsed();
        println!("{} sites of {}: {took:?}, depth {}", sizes.len(), sizes[0], depth(&plan.lists[0]));
        assert!(plan.lists.iter().all(|list| list.len() == all.len() + 1));
    }
}

fn depth(list: &AddresseeList) -> usize {
    let mut deepest = 0;
    let mut todo = vec![(list.clone(), 1)];
    while let Some((list, depth)) = todo.pop() {
        deepest = deepest.max(depth);
        todo.extend(list.parts().into_iter().flatten().map(|part| (part, depth + 1)));
    }
    deepest
}
