//! Verifies that two computers running a cloned disk are both quarantined and informed. Both stay out until one has an
//! identity of its own and the administrator readmits the other. Repeated restarts do not count as a clone.

use banyan_proto::{Reason, admin::DeploymentState};
use banyan_tests::{World, test_package::Behaviour};

fn says_cloned(world: &World, which: usize) -> bool {
    let status = world.try_ask(which);
    status.and_then(|status| status.trouble).is_some_and(|trouble| trouble.reason == Reason::Cloned)
}

fn is_online(world: &World) -> bool {
    world.machines().iter().all(|machine| machine.online)
}

#[test]
fn until_one_of_the_two_is_enrolled_again() {
    let mut world = World::start(1);
    world.kill_agent(0);
    let clone = world.clone_disk(0);
    world.start_agent(0);
    world.start_agent(clone);
    world.wait_until("both know that they are clones", |world| says_cloned(world, 0) && says_cloned(world, clone));
    let known = world.machines().remove(0);
    assert_eq!(known.out, Some(Reason::Cloned));
    let list = world.banyan(&["machines"]);
    assert!(list.contains("quarantined") && list.contains("banyan machines readmit"), "{list}");

    world.kill_agent(clone);
    let join = world.join_code(1);
    world.reinstall(clone, join);
    world.start_agent(clone);
    // Readmits by id, because both used the same label.
    world.banyan(&["machines", "readmit", &known.id.to_string()]);
    world.wait_until("both have an identity of their own", |world| {
        let machines = world.machines();
        machines.len() == 2 && machines.iter().all(|machine| machine.online && machine.out.is_none())
    });
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "both have it", |status| status.state == DeploymentState::Finished);
    assert_eq!([0, clone].map(|which| world.says(which, "hello").is_some()), [true, true]);
}

#[test]
fn but_one_that_is_killed_and_started_again_and_again_is_not() {
    let mut world = World::start(1);
    for _ in 0..4 {
        world.kill_agent(0);
        world.start_agent(0);
        world.wait_until("the agent runs again", |world| world.try_ask(0).is_some_and(|status| status.heard.is_some()));
    }
    assert!(is_online(&world));
    assert_eq!(world.machines()[0].out, None);
}

#[test]
fn a_computer_installed_anew_takes_the_place_of_its_old_identity() {
    let mut world = World::start(1);
    world.kill_agent(0);
    let join = world.banyan(&["tokens", "create", "--replaces", "m0"]).trim().to_owned();
    world.reinstall(0, join);
    world.start_agent(0);
    world.wait_until("the new identity is active and the old one retired", |world| {
        let out: Vec<_> = world.machines().iter().map(|machine| (machine.out, machine.online)).collect();
        out.contains(&(Some(Reason::Retired), false)) && out.contains(&(None, true))
    });
    assert!(world.banyan(&["machines"]).contains("replaced by"));
}
