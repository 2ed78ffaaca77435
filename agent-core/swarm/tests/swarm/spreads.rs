//! Every spread ends, with every number of stripes and machines and whatever fails: each machine that is alive has
//! installed the release, has failed, or says that the release failed elsewhere. A failing case prints its seed.

use crate::{
    address_lists::children,
    simulated_network::{Fault, Plan, World},
};
use banyan_proto::{Reason, order::Spread};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Failure {
    Nothing,
    /// The first head dies in the middle of the transfer and does not return.
    DeadHead,
    /// A machine in the middle of the tree dies in the middle of the transfer and does not return.
    DeadMiddle,
    /// The first head dies while it installs, and returns after a minute.
    DiesInstalling,
    /// The release fails its check on every machine.
    ProbeFailsEverywhere,
    /// The release fails its check on the first head only.
    ProbeFailsAtHead,
    /// The first head refuses to install; nothing is wrong with the release.
    InstallRefused,
    /// The user of the first head does not let it install for ten minutes.
    InstallPutOff,
    /// The server restarts in the middle of the transfer.
    ServerRestarts,
    /// Every machine and the server restart while machines install.
    EveryoneRestarts,
}

const FAILURES: [Failure; 10] = [
    Failure::Nothing,
    Failure::DeadHead,
    Failure::DeadMiddle,
    Failure::DiesInstalling,
    Failure::ProbeFailsEverywhere,
    Failure::ProbeFailsAtHead,
    Failure::InstallRefused,
    Failure::InstallPutOff,
    Failure::ServerRestarts,
    Failure::EveryoneRestarts,
];

const SPREADS: [(Spread, u8); 6] = [
    (Spread::CutThrough, 1),
    (Spread::CutThrough, 2),
    (Spread::Proven, 1),
    (Spread::Proven, 2),
    (Spread::Verified, 1),
    (Spread::AfterInstall, 1),
];

/// The parameters of one case; printed when it fails.
#[derive(Debug, Clone, Copy)]
struct Case {
    spread: Spread,
    stripes: u8,
    machines: usize,
    failure: Failure,
    seed: u64,
}

impl Case {
    fn start(self) -> World {
        let Self { spread, stripes, machines, failure, seed } = self;
        let mut world = World::new(Plan { machines, stripes, spread, seed, chunks: 24, rate: 40.0, ..Plan::default() });
        let head = children(&world.lists[0], 0)[0];
        let middle = children(&world.lists[0], head).first().copied().unwrap_or(head);
        let half = world.file_time() / 2;
        let installing = world.file_time() + Duration::from_millis(200);
        match failure {
            Failure::Nothing => {}
            Failure::DeadHead => world.fault_at(half, Fault::Kill(head)),
            Failure::DeadMiddle => world.fault_at(half, Fault::Vanish(middle)),
            Failure::DiesInstalling => {
                world.fault_at(installing, Fault::Vanish(head));
                world.fault_at(installing + Duration::from_secs(60), Fault::Start(head));
            }
            Failure::ProbeFailsEverywhere => {
                world.hosts.iter_mut().for_each(|host| host.outcome = Err(Reason::ProbeFailed));
            }
            Failure::ProbeFailsAtHead => world.hosts[head].outcome = Err(Reason::ProbeFailed),
            Failure::InstallRefused => world.hosts[head].outcome = Err(Reason::NeedsAdministrator),
            Failure::InstallPutOff => {
                world.fault_at(Duration::ZERO, Fault::Install(head, false));
                world.fault_at(Duration::from_secs(600), Fault::Install(head, true));
            }
            Failure::ServerRestarts => {
                world.fault_at(half, Fault::Kill(0));
                world.fault_at(half + Duration::from_secs(12), Fault::Start(0));
            }
            Failure::EveryoneRestarts => {
                for n in 0..=machines {
                    world.fault_at(installing, Fault::Kill(n));
                    world.fault_at(installing + Duration::from_millis(900 + 70 * n as u64), Fault::Start(n));
                }
            }
        }
        world.run_until(Duration::from_millis(1), |_| false);
        world.plant();
        world
    }
}

/// Returns whether nothing more happens without an administrator, and every machine says why.
fn is_over(world: &World) -> bool {
    let failed =
        world.hosts.iter().any(|host| matches!(host.disk.outcome, Some(Err(reason)) if reason.tells_against_release()));
    world.everyone(|host| {
        !host.up || host.disk.outcome.is_some() || (failed && host.waits == Some(Reason::FailedElsewhere))
    })
}

#[test]
fn no_spread_hangs_whatever_fails() {
    for (spread, stripes) in SPREADS {
        for machines in (1..=17).chain([24, 31, 32, 33, 40]) {
            for failure in FAILURES {
                let case =
                    Case { spread, stripes, machines, failure, seed: 1000 * machines as u64 + u64::from(stripes) };
                let mut world = case.start();
                let lasts = if failure == Failure::InstallPutOff { 660 } else { 240 };
                let over = world.run_until(Duration::from_secs(lasts), |world| {
                    is_over(world) && world.now > Duration::from_secs(1)
                });
                assert!(over, "{case:?} hangs: {}", unfinished(&world));
                check_outcomes(&world, case);
            }
        }
    }
}

fn check_outcomes(world: &World, case: Case) {
    let ran = world.hosts.iter().filter(|host| host.disk.outcome.is_some()).count();
    let failed = world.hosts.iter().filter(|host| matches!(host.disk.outcome, Some(Err(_)))).count();
    let alive = world.hosts.iter().skip(1).filter(|host| host.up).count();
    match case.failure {
        Failure::ProbeFailsEverywhere if case.spread == Spread::Proven => {
            assert!(failed <= 2, "{case:?}: {failed} machines ran a broken release");
        }
        Failure::ProbeFailsEverywhere if case.spread == Spread::AfterInstall => {
            assert!(failed <= 2, "{case:?}: {failed} machines ran a broken release");
        }
        Failure::ProbeFailsEverywhere | Failure::ProbeFailsAtHead => {
            assert!(case.spread == Spread::Proven || case.spread == Spread::AfterInstall || ran == alive, "{case:?}");
        }
        _ => assert_eq!(ran, alive, "{case:?}: {}", unfinished(world)),
    }
}

fn unfinished(world: &World) -> String {
    let lacking = (1..world.hosts.len()).filter(|n| world.hosts[*n].up && world.hosts[*n].disk.outcome.is_none());
    lacking
        .map(|n| {
            let held: Vec<u32> = (0..world.plan.stripes).map(|stripe| world.held(n, stripe)).collect();
            format!("\n{n} holds {held:?}, waits for {:?}\n{}", world.hosts[n].waits, world.hosts[n].history())
        })
        .collect()
}

/// A withheld stripe does not move while the other one is withheld, too, until machines give up waiting: this is why the
/// server refuses two stripes.
#[test]
fn two_stripes_stand_still_with_a_spread_that_withholds() {
    for spread in [Spread::Verified, Spread::AfterInstall] {
        let mut world = Case { spread, stripes: 2, machines: 7, failure: Failure::Nothing, seed: 1 }.start();
        assert!(!world.run_until(Duration::from_secs(30), World::all_installed), "{spread:?} may take two stripes");
    }
}
