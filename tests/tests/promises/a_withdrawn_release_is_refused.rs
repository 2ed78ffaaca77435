//! A release is withdrawn while machines already hold it: it is installed nowhere, its bytes go, and the next one comes.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{World, package::Behaviour};
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
    world.wait_for_status(&deployment, "1.0 is there", |status| status.state == DeploymentState::Finished);
    world.publish("hello", "2.0", 20_000_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.banyan(&["halt", &deployment]);
    world.wait_for_status(&deployment, "everyone holds it", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Authenticated)
    });
    // This one will hear of it only when it is back.
    world.kill_agent(2);
    let artifacts = world.path("server/artifacts");
    assert_eq!(files(Path::new(&artifacts)), 2);
    let told = world.banyan(&["releases", "withdraw", "hello@2.0", "--key", &keys, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        (told["withdrawn"].clone(), told["stopped"].clone()),
        (["hello/2.json"].as_slice().into(), [deployment.clone()].as_slice().into())
    );
    let status = world.status(&deployment);
    assert_eq!(status.state, DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.reason == Some(Reason::Withdrawn)), "{status:#?}");
    // Nobody else had those bytes; what is still published stays.
    assert_eq!(files(Path::new(&artifacts)), 1);
    let content = |world: &World, which: usize| files(&world.agents[which].data.join("content"));
    world.wait_until("the connected machines threw it away", |world| (0..2).all(|which| content(world, which) == 0));
    world.start_agent(2);
    world.wait_until("and the one that was off", |world| content(world, 2) == 0);
    for arguments in [&["deploy", "hello@2.0", "--to", "all"][..], &["resume", &deployment]] {
        let output = world.command(arguments).output().expect("banyan can be run");
        assert_eq!(output.status.code(), Some(5), "{output:?}");
    }
    // A restart does not take it up again.
    world.kill_server();
    world.start_server();
    for which in 0..3 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 1.0"));
    }
    world.publish("hello", "2.1", 300_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "2.1 is there", |status| status.state == DeploymentState::Finished);
    for which in 0..3 {
        assert_eq!(world.says(which, "hello").as_deref(), Some("hello 2.1"), "{}", world.logs());
    }
    // Withdrawn after it was installed everywhere: it stays installed, and nobody keeps it for others any more.
    assert!((0..3).all(|which| content(&world, which) == 1));
    world.banyan(&["releases", "withdraw", "hello@2.1", "--key", &keys]);
    world.wait_until("nobody passes it on", |world| (0..3).all(|which| content(world, which) == 0));
    assert_eq!(world.says(0, "hello").as_deref(), Some("hello 2.1"));
}
