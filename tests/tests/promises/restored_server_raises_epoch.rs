//! Verifies that machines reject everything that a server restored from a backup signs, until its epoch is raised. Then
//! everything works again. Machines remember the epoch over restarts.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{World, test_package::Behaviour};

/// Deploys to all machines and waits until every machine has the release.
fn everyone_gets(world: &World, release: &str) {
    let deployment = world.deploy(release, "all", 2);
    let status =
        world.wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
}

fn everyone_runs(world: &World, version: &str) {
    for which in 0..world.agents.len() {
        assert_eq!(world.says(which, "hello").as_deref(), Some(format!("hello {version}").as_str()), "m{which}");
    }
}

#[test]
fn and_is_believed_only_when_its_epoch_was_raised() {
    let mut world = World::start(2);
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    world.publish("hello", "2.0", 300_000, Behaviour::Works);
    everyone_gets(&world, "hello@1.0");
    world.kill_server();
    world.back_up_server();
    // The state that the restore will lose. Its epoch was raised once, so the machines have seen a higher one.
    world.raise_epoch();
    world.start_server();
    everyone_gets(&world, "hello@1.0");

    // Restores the backup without raising the epoch.
    world.kill_server();
    world.restore_server();
    world.start_server();
    world.wait_until("every machine is online", |world| world.machines().iter().all(|machine| machine.online));
    let refused = |world: &World| {
        let deployment = world.deploy("hello@2.0", "all", 2);
        world.wait_for_status(&deployment, "every machine refuses it", |status| {
            status.addressees.iter().all(|machine| machine.reason == Some(Reason::EpochBack))
        });
    };
    refused(&world);
    for which in 0..2 {
        world.kill_agent(which);
        world.start_agent(which);
    }
    world.wait_until("every machine is online", |world| world.machines().iter().all(|machine| machine.online));
    refused(&world);
    everyone_runs(&world, "1.0");

    world.kill_server();
    world.raise_epoch();
    world.start_server();
    everyone_gets(&world, "hello@2.0");
    everyone_runs(&world, "2.0");
}
