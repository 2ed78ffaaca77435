//! Verifies `--spread`: each one ends on every machine, `proven` lets only a few machines run a broken release while the
//! others say why they wait, and two stripes are refused where machines withhold content.

use banyan_proto::{Reason, admin::Stage};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::process::Output;

const MACHINES: usize = 5;

fn deploy(network: &TestNetwork, arguments: &[&str]) -> Output {
    let fixed = ["deploy", "--to", "all", "--wait", "--timeout", "60s"];
    network.command(&[&fixed, arguments].concat()).output().expect("banyan can be run")
}

#[test]
fn every_spread_ends_and_a_broken_release_stops_at_the_first_machines() {
    let network = TestNetwork::start(MACHINES);
    for (version, spread) in [("1.0", "verified"), ("1.1", "after-install"), ("1.2", "proven")] {
        network.publish("hello", version, 400_000, Behaviour::Works);
        let done = deploy(&network, &[&format!("hello@{version}"), "--spread", spread]);
        assert!(done.status.success(), "{spread}: {done:?}");
    }
    for spread in ["verified", "after-install"] {
        let refused = deploy(&network, &["hello@1.2", "--spread", spread, "--stripes", "2"]);
        assert!(!refused.status.success());
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(text.contains("needs-one-stripe") && text.contains("--stripes"), "{text}");
    }

    network.publish("hello", "2.0", 400_000, Behaviour::Broken);
    for (spread, most) in [("proven", 2), ("after-install", 2)] {
        let done = deploy(&network, &["hello@2.0", "--spread", spread, "--json"]);
        assert_eq!(done.status.code(), Some(3), "{spread}: {done:?}");
        let status: banyan_proto::admin::DeploymentStatus = serde_json::from_slice(&done.stdout).expect("a status");
        let failed = status.addressees.iter().filter(|machine| machine.stage == Stage::Failed).count();
        assert!((1..=most).contains(&failed), "{spread}: {failed} machines ran the broken release");
        for machine in status.addressees.iter().filter(|machine| machine.stage != Stage::Failed) {
            assert_eq!(machine.reason, Some(Reason::FailedElsewhere), "{spread}: {machine:?}");
        }
    }
    for which in 0..MACHINES {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.2"), "m{which}");
    }
}
