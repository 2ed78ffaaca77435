//! Verifies that a release withdrawn while machines hold parts of it is never installed, that its content is deleted, and that
//! the next release works.

use banyan_proto::{Reason, admin::DeploymentState};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::{fs, path::Path};

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn machines_that_already_hold_a_withdrawn_release_refuse_it() {
    let mut network = TestNetwork::start(3);
    let keys = network.path("keys");
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "1.0 is installed", |status| status.state == DeploymentState::Finished);
    // Bytes a second: the transfer is under way when it is halted.
    network.set_policy("upload = 2000000\n", None);
    network.publish("hello", "2.0", 20_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_until("every machine holds a part of it", |network| {
        (0..3).all(|which| network.snapshot(which).updates.iter().any(|update| update.progress.held > 1_000_000))
    });
    network.banyan(&["halt", &deployment]);
    network.wait_for_status(&deployment, "every machine has stopped", |status| {
        status.addressees.iter().all(|machine| machine.reason == Some(Reason::Halted))
    });
    assert!((0..3).all(|which| files(&network.agents[which].data.join("content")) > 0));
    // This machine learns about the withdrawal only when it is back.
    network.kill_agent(2);
    let artifacts = network.path("server/artifacts");
    assert_eq!(files(Path::new(&artifacts)), 2);
    let told = network.banyan(&["releases", "withdraw", "hello@2.0", "--key", &keys, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("the output is valid JSON");
    assert_eq!(
        (told["withdrawn"].clone(), told["stopped"].clone()),
        (["hello/2.json"].as_slice().into(), [deployment.clone()].as_slice().into())
    );
    let status = network.status(&deployment);
    assert_eq!(status.state, DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.reason == Some(Reason::Withdrawn)), "{status:#?}");
    // The withdrawn release's content is deleted; releases that are still published stay.
    assert_eq!(files(Path::new(&artifacts)), 1);
    let content = |network: &TestNetwork, which: usize| files(&network.agents[which].data.join("content"));
    network.wait_until("the connected machines have deleted it", |network| {
        (0..2).all(|which| content(network, which) == 0)
    });
    network.start_agent(2);
    network.wait_until("the machine that was off has deleted it", |network| content(network, 2) == 0);
    for arguments in [&["deploy", "hello@2.0", "--to", "all"][..], &["resume", &deployment]] {
        let output = network.command(arguments).output().expect("banyan can be run");
        assert_eq!(output.status.code(), Some(5), "{output:?}");
    }
    for arguments in [&["deploy", "hello@2.0", "--to", "all"][..], &["retry", &deployment]] {
        let output = network.command(arguments).output().expect("banyan can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("hello 2.0 has been withdrawn by its publisher [withdrawn]"), "{said}");
    }
    // A restart does not bring it back.
    network.kill_server();
    network.start_server();
    for which in 0..3 {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
    network.publish("hello", "2.1", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "2.1 is installed", |status| status.state == DeploymentState::Finished);
    for which in 0..3 {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 2.1"), "{}", network.logs());
    }
    // A release withdrawn after every machine installed it stays installed, but no machine keeps its content for
    // others.
    assert!((0..3).all(|which| content(&network, which) == 1));
    network.banyan(&["releases", "withdraw", "hello@2.1", "--key", &keys]);
    network.wait_until("every machine has deleted it", |network| (0..3).all(|which| content(network, which) == 0));
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 2.1"));
}
