//! Verifies that machines reject everything that a server restored from a backup signs, until its epoch is raised. Then
//! everything works again. Machines remember the epoch over restarts.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{TestNetwork, programs::banyan, test_package::Behaviour};

/// Deploys to all machines and waits until every machine has the release.
fn everyone_gets(network: &TestNetwork, release: &str) {
    let deployment = network.deploy(release, "all", 2);
    let status = network
        .wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
}

fn everyone_runs(network: &TestNetwork, version: &str) {
    for which in 0..network.agents.len() {
        assert_eq!(network.says(which, "hello").as_deref(), Some(format!("hello {version}").as_str()), "m{which}");
    }
}

#[test]
fn a_restored_server_is_trusted_only_after_its_epoch_was_raised() {
    let mut network = TestNetwork::start(2);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    network.publish("hello", "2.0", 300_000, Behaviour::Works);
    everyone_gets(&network, "hello@1.0");
    network.kill_server();
    network.back_up_server();
    // The state that the restore will lose. Its epoch was raised once, so the machines have seen a higher one.
    network.raise_epoch();
    network.start_server();
    everyone_gets(&network, "hello@1.0");

    // Restores the backup without raising the epoch.
    network.kill_server();
    network.restore_server();
    network.start_server();
    network.wait_until("every machine is online", |network| network.machines().iter().all(|machine| machine.online));
    let refused = |network: &TestNetwork| {
        let deployment = network.deploy("hello@2.0", "all", 2);
        network.wait_for_status(&deployment, "every machine refuses it", |status| {
            status.addressees.iter().all(|machine| machine.reason == Some(Reason::EpochBack))
        });
    };
    refused(&network);
    for which in 0..2 {
        network.kill_agent(which);
        network.start_agent(which);
    }
    network.wait_until("every machine is online", |network| network.machines().iter().all(|machine| machine.online));
    refused(&network);
    everyone_runs(&network, "1.0");

    network.kill_server();
    network.raise_epoch();
    network.start_server();
    everyone_gets(&network, "hello@2.0");
    everyone_runs(&network, "2.0");
}

#[test]
fn a_machine_enrolled_after_the_backup_is_told_what_to_do() {
    let mut network = TestNetwork::start(1);
    network.kill_server();
    network.back_up_server();
    network.start_server();
    network.add_agent();
    network.wait_until("both are online", |network| {
        network.machines().iter().filter(|machine| machine.online).count() == 2
    });
    network.kill_server();
    network.restore_server();
    network.raise_epoch();
    network.start_server();
    network.wait_until("the machine says so", |network| {
        let log = network.log_of(1);
        log.contains("refuses this machine") && log.contains("restored from a backup")
    });
    let doctor = banyan().args(["doctor", "--data"]).arg(&network.agents[1].data).output().expect("banyan can be run");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(!doctor.status.success() && said.contains("enrol it again"), "{said}");
}
