//! Verifies rings on 31 machines: a good release passes ring after ring, also if the server is killed between two of
//! them; a release whose check fails after the installation halts in the first ring, and every machine keeps the previous
//! version. Rings work with every spread, and a server that is killed at any moment changes nothing.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, DeploymentStatus, RingVerdict, Stage},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

const MACHINES: usize = 31;

fn installed(status: &DeploymentStatus) -> usize {
    status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count()
}

fn deploy(network: &TestNetwork, release: &str, rings: &str, more: &[&str]) -> String {
    let text = network.banyan(&[&["deploy", release, "--to", "all", "--json", "--rings", rings], more].concat());
    let answer: serde_json::Value = serde_json::from_str(&text).expect("deploy --json gives JSON");
    answer["id"].as_str().expect("deploy gives an id").to_owned()
}

#[test]
fn a_good_release_passes_all_rings_and_a_failing_one_halts_in_the_first() {
    let mut network = TestNetwork::start(MACHINES);
    network.publish("hello", "1.0", 400_000, Behaviour::Works);
    let good = deploy(&network, "hello@1.0", "1,25%,all", &["--soak", "3s"]);
    // Everyone has the content long before the last ring opens.
    network.wait_for_status(&good, "every machine has the content", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Verified)
    });
    let status = network.wait_for_status(&good, "the second ring is open", |status| {
        matches!(status.rings[1].verdict, RingVerdict::Undecided(_))
    });
    let sizes: Vec<u32> = status.rings.iter().map(|ring| ring.totals.done + ring.totals.open).collect();
    assert_eq!(sizes, [1, 7, 23], "{:#?}", status.rings);
    assert!(installed(&status) <= 8, "machines of the last ring have installed: {status:#?}");
    assert!(!status.orders.is_empty() && status.server_sent > 0, "the bytes do not wait for a ring");
    network.kill_server();
    network.start_server();
    let text = network.banyan(&["status", &good]);
    assert!(text.contains("ring 1 of 3: passed") && text.contains("ring 3 of 3: waits"), "{text}");
    let status =
        network.wait_for_status(&good, "all rings have passed", |status| status.state == DeploymentState::Finished);
    assert_eq!(installed(&status), MACHINES, "{status:#?}");
    for which in 0..MACHINES {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"), "m{which}");
        assert_eq!(network.log_of(which).matches("already=false").count(), 1, "m{which} installed more than once");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
    let copies = status.server_sent as f64 / status.size as f64;
    println!("31 machines in three rings: the server sent {copies:.2} copies");

    network.publish("hello", "2.0", 400_000, Behaviour::Broken);
    let bad = deploy(&network, "hello@2.0", "1,25%,all", &["--soak", "3s"]);
    let status =
        network.wait_for_status(&bad, "the deployment is halted", |status| status.state == DeploymentState::Halted);
    let halt = status.halt.as_ref().expect("the status says why");
    assert_eq!((halt.ring, halt.failed, halt.reason), (Some(1), 1, Some(Reason::ProbeFailed)), "{halt:?}");
    assert_eq!(status.totals.failed, 1, "{status:#?}");
    let text = network.banyan(&["status", &bad]);
    assert!(text.contains("ring 1 of 3: failed") && text.contains("probe-failed"), "{text}");
    // Everyone else waits, and nobody has another version than before.
    let waits = |reason| matches!(reason, Some(Reason::Halted | Reason::FailedElsewhere));
    let status = network.wait_for_status(&bad, "everyone else waits", |status| {
        status.addressees.iter().all(|machine| {
            machine.stage == Stage::Failed || (machine.stage < Stage::Installing && waits(machine.reason))
        })
    });
    assert_eq!(status.totals.failed, 1, "{status:#?}");
    for which in 0..MACHINES {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"), "m{which}");
    }
}

/// Asserts that no machine installed before those of the ring before it.
fn assert_in_order(status: &DeploymentStatus) {
    let of_ring = |ring: u32| status.addressees.iter().filter(move |machine| machine.ring == ring);
    for ring in &status.rings {
        let first = of_ring(ring.ring).filter_map(|machine| machine.installed_after).min();
        let before = of_ring(ring.ring - 1).filter_map(|machine| machine.installed_after).max();
        if let (Some(first), Some(before)) = (first, before) {
            assert!(before <= first, "ring {} installed too early: {status:#?}", ring.ring);
        }
    }
}

#[test]
fn rings_work_with_every_spread() {
    let network = TestNetwork::start(5);
    for (version, spread) in [("1.0", "cut-through"), ("1.1", "proven"), ("1.2", "verified"), ("1.3", "after-install")]
    {
        network.publish("hello", version, 400_000, Behaviour::Works);
        let id = deploy(&network, &format!("hello@{version}"), "1,50%,all", &["--soak", "0", "--spread", spread]);
        let status =
            network.wait_for_status(&id, "all rings have passed", |status| status.state == DeploymentState::Finished);
        assert_eq!(installed(&status), 5, "{spread}: {status:#?}");
        assert_in_order(&status);
    }
}

/// Random times after which a test kills the server. The seed is printed; `BANYAN_SEED` sets it.
struct RandomDelays(u64);

impl RandomDelays {
    fn new() -> Self {
        let given = std::env::var("BANYAN_SEED").ok().map(|seed| seed.parse().expect("BANYAN_SEED is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("BANYAN_SEED={seed}");
        Self(seed)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        most.mul_f64(f64::from((self.0 >> 32) as u32) / f64::from(u32::MAX))
    }
}

/// Kills the server at this many random moments of runs with four rings. Asserts that each run ends as it would without.
fn kill_the_server(times: u32) {
    let mut network = TestNetwork::start(8);
    let mut delays = RandomDelays::new();
    let (mut kills, mut runs) = (0, 0);
    while kills < times {
        runs += 1;
        let release = format!("1.{runs}");
        network.publish("hello", &release, 400_000, Behaviour::Works);
        let id = deploy(&network, &format!("hello@{release}"), "1,25%,50%,all", &["--soak", "1s"]);
        // Machines wait longer after each failed connection. So a run gets at most three kills, and then ends in peace.
        for _ in 0..3.min(times - kills) {
            std::thread::sleep(delays.up_to(Duration::from_secs(4)));
            network.kill_server();
            network.start_server();
            kills += 1;
        }
        let status =
            network.wait_for_status(&id, "all rings have passed", |status| status.state == DeploymentState::Finished);
        assert_eq!(installed(&status), 8, "{status:#?}");
        assert_in_order(&status);
        for which in 0..8 {
            let installations = network.log_of(which).matches("already=false").count();
            assert_eq!(installations, runs, "m{which} did not install each release once");
        }
    }
    println!("the server was killed {kills} times in {runs} runs");
}

#[test]
fn a_server_that_is_killed_again_and_again_keeps_the_order_of_the_rings() {
    kill_the_server(6);
}

#[test]
#[ignore = "takes minutes"]
fn a_server_that_is_killed_at_forty_moments_keeps_the_order_of_the_rings() {
    kill_the_server(40);
}
