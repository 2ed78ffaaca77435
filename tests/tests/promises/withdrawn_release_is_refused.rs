//! Verifies that a release withdrawn while machines hold it is never installed, that its content is deleted, and that
//! the next release works.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{World, test_package::Behaviour};
use std::{fs, path::Path};

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn also_by_machines_that_hold_it_already() {
    let mut world = World::start(3);
    let keys = world.path("keys");
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "1.0 is installed", |status| status.state == DeploymentState::Finished);
    world.publish("hello", "2.0", 20_000_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.banyan(&["halt", &deployment]);
    world.wait_for_status(&deployment, "every machine holds it", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Authenticated)
    });
    // This machine learns about the withdrawal only when it is back.
    world.kill_agent(2);
    let artifacts = world.path("server/artifacts");
    assert_eq!(files(Path::new(&artifacts)), 2);
    let told = world.banyan(&["releases", "withdraw", "hello@2.0", "--key", &keys, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("the output is valid JSON");
    assert_eq!(
        (told["withdrawn"].clone(), told["stopped"].clone()),
        (["hello/2.json"].as_slice().into(), [deployment.clone()].as_slice().into())
    );
    let status = world.status(&deployment);
    assert_eq!(status.state, DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.reason == Some(Reason::Withdrawn)), "{status:#?}");
    // The withdrawn release's content is deleted; releases that are still published stay.
    assert_eq!(files(Path::new(&artifacts)), 1);
    let content = |world: &World, which: usize| files(&world.agents[which].data.join("content"));
    world.wait_until("the connected machines have deleted it", |world| (0..2).all(|which| content(world, which) == 0));
    world.start_agent(2);
    world.wait_until("the machine that was off has deleted it", |world| content(world, 2) == 0);
    for arguments in [&["deploy", "hello@2.0", "--to", "all"][..], &["resume", &deployment]] {
        let output = world.command(arguments).output().expect("banyan can be run");
        assert_eq!(output.status.code(), Some(5), "{output:?}");
    }
    // A restart does not bring it back.
    world.kill_server();
    world.start_server();
    for which in 0..3 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
    world.publish("hello", "2.1", 300_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "2.1 is installed", |status| status.state == DeploymentState::Finished);
    for which in 0..3 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 2.1"), "{}", world.logs());
    }
    // A release withdrawn after every machine installed it stays installed, but no machine keeps its content for
    // others.
    assert!((0..3).all(|which| content(&world, which) == 1));
    world.banyan(&["releases", "withdraw", "hello@2.1", "--key", &keys]);
    world.wait_until("every machine has deleted it", |world| (0..3).all(|which| content(world, which) == 0));
    assert_eq!(world.says(0, "hello").as_deref(), Some("hello 2.1"));
}
