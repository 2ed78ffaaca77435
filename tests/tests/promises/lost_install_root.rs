//! Verifies that a machine whose install root is mounted wrongly, or not at all, says so, installs nothing elsewhere,
//! and continues once the mount is right: while the agent runs, and between its restarts. These tests need root.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, DeploymentStatus, Stage},
};
use banyan_tests::{TestNetwork, test_mount::TestMount, test_package::Behaviour};
use std::fs;

fn is_finished(status: &DeploymentStatus) -> bool {
    status.state == DeploymentState::Finished && status.addressees.iter().all(|one| one.stage == Stage::Installed)
}

/// A mount that goes wrong, and is made right again.
struct Trouble<'a> {
    version: &'static str,
    reason: Reason,
    spoil: &'a dyn Fn(),
    mend: &'a dyn Fn(),
}

/// Waits until the machine waits for this reason, and verifies that it names the place.
fn wait_for_reason(network: &TestNetwork, deployment: &str, reason: Reason) {
    let status = network.wait_for_status(deployment, reason.code(), |status| {
        status.addressees[0].reason == Some(reason) && status.addressees[0].detail.is_some()
    });
    let detail = status.addressees[0].detail.clone().unwrap_or_default();
    let root = network.agents[0].root.to_str().expect("the path is valid UTF-8");
    assert!(detail.contains(root), "{detail}");
}

#[test]
fn a_disk_that_is_lost_read_only_or_without_programs_is_waited_for() {
    let network = TestNetwork::start(1);
    let root = network.agents[0].root.clone();
    let Some(disk) = TestMount::detachable(&root, network.path("disk").as_ref()) else { return };
    let deploy = |version: &str| {
        network.publish("hello", version, 100_000, Behaviour::Works);
        network.deploy("hello", "all", 1)
    };
    network.wait_for_status(&deploy("1.0"), "1.0 is installed", is_finished);
    let troubles = [
        Trouble {
            version: "2.0",
            reason: Reason::ReadOnly,
            spoil: &|| disk.remount("ro"),
            mend: &|| disk.remount("rw"),
        },
        Trouble {
            version: "3.0",
            reason: Reason::NoExec,
            spoil: &|| disk.remount("noexec"),
            mend: &|| disk.remount("exec"),
        },
        Trouble { version: "4.0", reason: Reason::PlaceMissing, spoil: &|| disk.detach(), mend: &|| disk.attach() },
    ];
    for Trouble { version, reason, spoil, mend } in troubles {
        spoil();
        let deployment = deploy(version);
        wait_for_reason(&network, &deployment, reason);
        if reason == Reason::PlaceMissing {
            let found = fs::read_dir(&root).expect("the folder is there").count();
            assert_eq!(found, 0, "the folder below the mount was filled");
        }
        mend();
        network.wait_for_status(&deployment, "it is installed once the mount is right", is_finished);
        assert_eq!(network.says(0, "hello"), Some(format!("hello {version}")));
    }
}

#[test]
fn an_agent_starts_without_its_install_root_and_does_not_create_it_again() {
    let mut network = TestNetwork::start(1);
    let root = network.agents[0].root.clone();
    network.publish("hello", "1.0", 100_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 1);
    network.wait_for_status(&deployment, "1.0 is installed", is_finished);
    let elsewhere = network.path("elsewhere");
    network.kill_agent(0);
    fs::rename(&root, &elsewhere).expect("the folder can be moved");
    network.start_agent(0);
    network.publish("hello", "2.0", 100_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 1);
    wait_for_reason(&network, &deployment, Reason::PlaceMissing);
    assert!(!root.exists(), "the missing root was created");
    fs::rename(&elsewhere, &root).expect("the folder can be moved");
    network.wait_for_status(&deployment, "2.0 is installed once the root is back", is_finished);
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 2.0"));
}
