//! Property: whatever goes wrong in transit, every machine that is alive at the end and can reach the server has
//! installed the release exactly once. Random swarms with random faults; a failing case prints its values and its seed.

use crate::{
    simulated_host::{Character, Host},
    simulated_network::{Fault, Plan, World},
};
use banyan_proto::order::Spread;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Debug, Clone)]
struct Case {
    plan: Plan,
    /// The machines that start with each defect. Numbers wrap around the swarm.
    unreachable: Vec<usize>,
    receive_only: Vec<usize>,
    liars: Vec<(usize, Character)>,
    /// Time in milliseconds, machine, kind of fault, and the time until recovery.
    faults: Vec<(u64, usize, u8, u64)>,
}

fn spreads() -> impl Strategy<Value = Spread> {
    prop_oneof![Just(Spread::CutThrough), Just(Spread::Verified), Just(Spread::Proven), Just(Spread::AfterInstall)]
}

fn cases() -> impl Strategy<Value = Case> {
    let plan = (1usize..20, 1u8..=2, 4u32..80, 5.0..40.0f64, 1u64..150, any::<u64>(), 1usize..4, spreads()).prop_map(
        |(machines, stripes, chunks, rate, latency, seed, max_children, spread)| Plan {
            machines,
            stripes: if spread.withholds() { 1 } else { stripes },
            chunks,
            rate,
            latency: Duration::from_millis(latency),
            seed,
            max_children,
            spread,
            takes_turns: true,
            ..Plan::default()
        },
    );
    let character = prop_oneof![
        Just(Character::Forger),
        Just(Character::Boaster),
        Just(Character::Miser),
        Just(Character::LyingMiser),
        Just(Character::Refuser)
    ];
    let who = 0usize..20;
    (
        plan,
        prop::collection::vec(who.clone(), 0..4),
        prop::collection::vec(who.clone(), 0..4),
        prop::collection::vec((who.clone(), character), 0..3),
        prop::collection::vec((0u64..30_000, who, 0u8..8, 500u64..20_000), 0..8),
    )
        .prop_map(|(plan, unreachable, receive_only, liars, faults)| Case {
            plan,
            unreachable,
            receive_only,
            liars,
            faults,
        })
}

fn play(case: &Case) -> World {
    let mut world = World::new(case.plan.clone());
    let machines = case.plan.machines;
    let agent = |n: &usize| n % machines + 1;
    for n in &case.unreachable {
        world.hosts[agent(n)].unreachable = true;
    }
    for n in &case.receive_only {
        world.fault_at(Duration::ZERO, Fault::Forward(agent(n), false));
    }
    for (n, character) in &case.liars {
        world.hosts[agent(n)].character = *character;
    }
    for (at, n, kind, back) in &case.faults {
        let (at, later) = (Duration::from_millis(*at), Duration::from_millis(at + back));
        let (fault, undone) = match kind {
            0 => (Fault::Kill(agent(n)), Some(Fault::Start(agent(n)))),
            1 => (Fault::Vanish(agent(n)), Some(Fault::Start(agent(n)))),
            2 => (Fault::Kill(agent(n)), None),
            3 => (Fault::Cut(agent(n)), None),
            4 => (Fault::Kill(0), Some(Fault::Start(0))),
            5 => (Fault::Receive(agent(n), false), Some(Fault::Receive(agent(n), true))),
            6 => (Fault::Install(agent(n), false), Some(Fault::Install(agent(n), true))),
            _ => (Fault::Forward(agent(n), false), Some(Fault::Forward(agent(n), true))),
        };
        world.fault_at(at, fault);
        if let Some(undone) = undone {
            world.fault_at(later, undone);
        }
    }
    world.run_until(Duration::from_millis(1), |_| false);
    world.plant();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(200), max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn everyone_alive_gets_it_and_installs_once(case in cases()) {
        let mut world = play(&case);
        // All faults end within a minute; after that, no machine may need longer than the slowest path allows.
        world.run_until(Duration::from_secs(60), |_| false);
        let done = |world: &World| {
            world.everyone(|host| !host.up || host.disk.installs == 1) || is_held_up_by_silent_machines(world)
        };
        prop_assert!(world.run_until(Duration::from_secs(3600), done), "missing: {}", missing(&world));
        for stripe in 0..world.plan.stripes {
            for n in (1..world.hosts.len()).filter(|n| world.hosts[*n].up) {
                prop_assert_eq!(world.held(n, stripe), world.chunks_of(stripe));
            }
        }
    }
}

/// Returns whether machines wait because those that may install first died with their permits. The release may be what
/// killed them, so an administrator decides.
fn is_held_up_by_silent_machines(world: &World) -> bool {
    let count = |what: &dyn Fn(&Host) -> bool| world.hosts[1..].iter().filter(|host| what(host)).count();
    let silent = count(&|host| !host.up && host.disk.has_permit);
    matches!(world.plan.spread, Spread::Proven | Spread::AfterInstall)
        && silent >= count(&|host| host.disk.installs > 0).max(2)
        && world.everyone(|host| {
            // With `after-install`, those below the waiting ones have nothing to wait with yet.
            !host.up
                || host.disk.installs == 1
                || host.waits == Some(banyan_proto::Reason::WaitsForProof)
                || (world.plan.spread == Spread::AfterInstall && host.disk.verified.is_none())
        })
}

fn missing(world: &World) -> String {
    let lacking = (1..world.hosts.len()).filter(|n| world.hosts[*n].up && world.hosts[*n].disk.installs == 0);
    lacking
        .map(|n| {
            let held: Vec<u32> = (0..world.plan.stripes).map(|stripe| world.held(n, stripe)).collect();
            let sources: Vec<_> =
                (0..world.plan.stripes).map(|stripe| world.hosts[n].machine.source(world.stripe(stripe))).collect();
            format!("\n{n} holds {held:?} from {sources:?}\n{}", world.hosts[n].history())
        })
        .collect()
}
