//! Verifies that two computers running a cloned disk are both quarantined and informed. Both stay out until one has an
//! identity of its own and the administrator readmits the other. Repeated restarts do not count as a clone.

use banyan_proto::{Reason, admin::DeploymentState};
use banyan_tests::{TestNetwork, test_package::Behaviour};

fn says_cloned(network: &TestNetwork, which: usize) -> bool {
    let status = network.try_ask(which);
    status.and_then(|status| status.trouble).is_some_and(|trouble| trouble.reason == Reason::Cloned)
}

fn is_online(network: &TestNetwork) -> bool {
    network.machines().iter().all(|machine| machine.online)
}

#[test]
fn both_clones_are_quarantined_until_one_is_enrolled_again() {
    let mut network = TestNetwork::start(1);
    network.kill_agent(0);
    let clone = network.clone_disk(0);
    network.start_agent(0);
    network.start_agent(clone);
    network
        .wait_until("both know that they are clones", |network| says_cloned(network, 0) && says_cloned(network, clone));
    let known = network.machines().remove(0);
    assert_eq!(known.out, Some(Reason::Cloned));
    let list = network.banyan(&["machines"]);
    assert!(list.contains("quarantined") && list.contains("banyan machines readmit"), "{list}");
    network.wait_until("the administrator can see what was noticed", |network| {
        network.banyan(&["machines", "show", &known.id.to_string()]).contains("suspicious event about it, newest first")
    });
    let doctor = network.command(&["doctor"]).output().expect("banyan can be run");
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    // Both computers use the identity, so either label can be the last one that was reported.
    assert!(doctor.contains("in the last day about m") && doctor.contains("banyan machines show"), "{doctor}");
    assert!(doctor.contains("FAIL  quarantine: m") && doctor.contains("[cloned]"), "{doctor}");

    network.kill_agent(clone);
    let join = network.join_code(1);
    network.reinstall(clone, join);
    network.start_agent(clone);
    // Readmits by id, because both used the same label.
    network.banyan(&["machines", "readmit", &known.id.to_string()]);
    network.wait_until("both have an identity of their own", |network| {
        let machines = network.machines();
        machines.len() == 2 && machines.iter().all(|machine| machine.online && machine.out.is_none())
    });
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "both have it", |status| status.state == DeploymentState::Finished);
    assert_eq!([0, clone].map(|which| network.says(which, "hello").is_some()), [true, true]);
}

#[test]
fn a_machine_that_restarts_repeatedly_is_not_quarantined() {
    let mut network = TestNetwork::start(1);
    for _ in 0..4 {
        network.kill_agent(0);
        network.start_agent(0);
        network.wait_until("the agent runs again", |network| {
            network.try_ask(0).is_some_and(|status| status.heard.is_some())
        });
    }
    assert!(is_online(&network));
    assert_eq!(network.machines()[0].out, None);
}

#[test]
fn a_reinstalled_computer_replaces_its_old_identity() {
    let mut network = TestNetwork::start(1);
    network.kill_agent(0);
    let join = network.banyan(&["tokens", "create", "--replaces", "m0"]).trim().to_owned();
    network.reinstall(0, join);
    network.start_agent(0);
    network.wait_until("the new identity is active and the old one retired", |network| {
        let out: Vec<_> = network.machines().iter().map(|machine| (machine.out, machine.online)).collect();
        out.contains(&(Some(Reason::Retired), false)) && out.contains(&(None, true))
    });
    assert!(network.banyan(&["machines"]).contains("replaced by"));
}
