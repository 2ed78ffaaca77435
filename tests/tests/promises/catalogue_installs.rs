//! Verifies that users can install the newest release of what the administrator offers to their machine's group, like
//! any other update. They cannot install it at another machine, nor another package, an older release, or one that was
//! withdrawn.

use banyan_proto::{
    Digest, OrderId, Reason,
    admin::DeploymentState,
    api::OfferedRelease,
    local::{Catalogue, LOCAL_VERSION, PauseFor, Reply, Request, Right, UpdateState},
};
use banyan_tests::{
    World,
    session_user::{Mia, as_user},
    test_package::Behaviour,
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
};

/// Sends one request to a machine's agent, as the user of this connection.
fn ask(mut stream: &UnixStream, request: &Request) -> Reply {
    for line in [&Request::Hello { version: LOCAL_VERSION }, request] {
        writeln!(stream, "{}", serde_json::to_string(line).expect("the request can be serialised"))
            .expect("the agent accepts the request");
    }
    let reply = BufReader::new(stream).lines().nth(1).expect("the agent answers").expect("the agent answers");
    serde_json::from_str(&reply).expect("the answer is valid JSON")
}
fn socket(world: &World, which: usize) -> UnixStream {
    UnixStream::connect(world.agents[which].data.join("agent.sock")).expect("the agent listens")
}
fn offered(reply: Reply) -> Result<Vec<OfferedRelease>, Reason> {
    match reply {
        Reply::Catalogue(Catalogue { items }) => Ok(items.into_iter().map(|item| item.release).collect()),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
fn look(world: &World, which: usize) -> Result<Vec<OfferedRelease>, Reason> {
    offered(ask(&socket(world, which), &Request::Catalogue))
}
fn ordered(reply: Reply) -> Result<OrderId, Reason> {
    match reply {
        Reply::Ordered { order } => Ok(order),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
fn get(world: &World, which: usize, package: &str, manifest: Digest) -> Result<OrderId, Reason> {
    ordered(ask(&socket(world, which), &Request::GetFromCatalogue { package: package.to_owned(), manifest }))
}
fn versions(releases: &[OfferedRelease]) -> Vec<(&str, &str)> {
    releases.iter().map(|release| (release.package.as_str(), release.version.as_str())).collect()
}
/// Waits until a machine is offered these packages and versions.
fn is_offered(world: &World, which: usize, wanted: &[(&str, &str)]) -> Vec<OfferedRelease> {
    world.wait_until("the policy's packages are offered", |world| {
        look(world, which).is_ok_and(|releases| versions(&releases) == wanted)
    });
    look(world, which).expect("the server answers")
}
fn is_installed(world: &World, which: usize, order: OrderId) {
    world.wait_until("the release is installed", |world| {
        let update = world.snapshot(which).updates.into_iter().find(|update| update.order == order);
        update.is_some_and(|update| matches!(update.state, UpdateState::Installed { .. }))
    });
}

#[test]
fn by_the_group_that_it_is_offered_to_and_nobody_else() {
    let mut world = World::start(0);
    world.add_agent_of("lab");
    world.add_agent_of("office");
    world.wait_until("both are online", |world| world.machines().iter().filter(|machine| machine.online).count() == 2);
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    world.publish("other", "1.0", 300_000, Behaviour::Works);
    assert_eq!(look(&world, 0), Ok(vec![]), "nothing may be offered without a policy");
    world.banyan(&["policy", "set", "--catalogue", "hello", "--group", "lab"]);
    let first = is_offered(&world, 0, &[("hello", "1.0")]).remove(0);
    assert!(first.size > 300_000, "{first:?}");

    // The other group is offered nothing, whatever it requests. Unlisted packages are refused under any name.
    assert_eq!(look(&world, 1), Ok(vec![]));
    assert_eq!(get(&world, 1, "hello", first.manifest), Err(Reason::NotOffered));
    for (package, manifest) in [("other", first.manifest), ("other", Digest([7; 32])), ("hello", Digest([7; 32]))] {
        assert_eq!(get(&world, 0, package, manifest), Err(Reason::NotOffered));
    }
    // A newer release replaces the one that was shown, which is no longer available.
    world.publish("hello", "1.1", 300_000, Behaviour::Works);
    let second = is_offered(&world, 0, &[("hello", "1.1")]).remove(0);
    assert_eq!(get(&world, 0, "hello", first.manifest), Err(Reason::NotOffered));

    let order = get(&world, 0, "hello", second.manifest).expect("the release is offered");
    is_installed(&world, 0, order);
    assert_eq!(world.says(0, "hello").as_deref(), Some("hello 1.1"));
    let status = world.wait_for_status(&order.to_string(), "the server has the report", |status| {
        status.state == DeploymentState::Finished
    });
    assert_eq!(status.addressees.len(), 1, "the order must be for this machine alone");
    assert_eq!(get(&world, 0, "hello", second.manifest), Err(Reason::InstalledAlready));
    match ask(&socket(&world, 0), &Request::Catalogue) {
        Reply::Catalogue(Catalogue { items }) => {
            let installed = items[0].installed.as_ref().expect("the package is installed");
            assert_eq!((installed.version.as_str(), installed.sequence), ("1.1", second.sequence));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        world.snapshot(1).updates.is_empty() && world.says(1, "hello").is_none(),
        "the other machine received something"
    );

    // Without a server nothing can be offered, and the agent reports that.
    world.kill_server();
    world.wait_until("the agent reports that the server is away", |world| look(world, 0) == Err(Reason::ServerAway));
    assert_eq!(get(&world, 0, "hello", second.manifest), Err(Reason::ServerAway));
    // The agent refuses packages outside the policy without asking the server.
    assert_eq!(get(&world, 0, "other", second.manifest), Err(Reason::NotOffered));
}

#[test]
fn what_is_taken_back_is_not_to_be_had_and_what_is_on_its_way_not_twice() {
    let world = World::start(1);
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    world.publish("hello", "2.0", 300_000, Behaviour::Works);
    world.banyan(&["policy", "set", "--catalogue", "hello"]);
    let second = is_offered(&world, 0, &[("hello", "2.0")]).remove(0);
    world.banyan(&["releases", "withdraw", "hello@2.0", "--key", &world.path("keys")]);
    let first = is_offered(&world, 0, &[("hello", "1.0")]).remove(0);
    assert_eq!(get(&world, 0, "hello", second.manifest), Err(Reason::Withdrawn));

    // The release is on its way by the administrator's order, and paused.
    world.tell(0, &Request::Pause { until: PauseFor::UntilResumed });
    world.publish("hello", "3.0", 300_000, Behaviour::Works);
    let third = is_offered(&world, 0, &[("hello", "3.0")]).remove(0);
    let deployment = world.deploy("hello", "all", 1);
    world.wait_until("the machine knows the order", |world| !world.snapshot(0).updates.is_empty());
    assert_eq!(get(&world, 0, "hello", third.manifest), Err(Reason::UnderWay));
    world.tell(0, &Request::Resume);
    world.wait_for_status(&deployment, "the release has arrived", |status| status.state == DeploymentState::Finished);
    assert_eq!(get(&world, 0, "hello", third.manifest), Err(Reason::InstalledAlready));
    world.banyan(&["policy", "set", "--catalogue", "none"]);
    is_offered(&world, 0, &[]);
    assert_eq!(get(&world, 0, "hello", first.manifest), Err(Reason::NotOffered));
}

#[test]
fn a_person_with_a_session_gets_what_is_offered_and_only_that() {
    let mut world = World::start(1);
    let mia = Mia::sits_at(&mut world, 0);
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    world.publish("hello", "2.0", 300_000, Behaviour::Works);
    world.publish("secret", "1.0", 300_000, Behaviour::Works);
    let as_mia = |request: &Request| {
        let stream = as_user(mia.user, || UnixStream::connect(&mia.socket)).expect("any user can connect");
        ask(&stream, request)
    };
    let get =
        |package: &str, manifest| ordered(as_mia(&Request::GetFromCatalogue { package: package.to_owned(), manifest }));
    // All releases with their manifests, as known to a user who has seen the package files.
    let manifests = |world: &World, number: u64, package: &str| -> Vec<OfferedRelease> {
        world.set_policy(&format!("[catalogue]\npackages = [\"{package}\"]\n"), None);
        world
            .wait_until("the machine has the new policy", |world| world.snapshot(0).scheduling.policy.number == number);
        is_offered(world, 0, &[(package, if package == "hello" { "2.0" } else { "1.0" })])
    };
    let secret = manifests(&world, 1, "secret").remove(0);
    let newest = manifests(&world, 2, "hello").remove(0);
    let text = std::fs::read(world.path("server/repository/manifests/hello/1.json"));
    let older = Digest::of(&text.expect("the server keeps the manifests that were published"));
    assert_eq!(offered(as_mia(&Request::Catalogue)).map(|all| all.len()), Ok(1));
    for (package, manifest) in [
        ("secret", secret.manifest),
        ("hello", secret.manifest),
        ("hello", older),
        ("../hello", newest.manifest),
        ("", newest.manifest),
    ] {
        assert_eq!(get(package, manifest), Err(Reason::NotOffered), "{package:?}");
    }
    assert!(world.snapshot(0).updates.is_empty(), "a release was ordered");
    // The policy can withhold it from her but still shows it.
    world.set_policy("[catalogue]\npackages = [\"hello\"]\nwho = \"administrators\"\n", None);
    world.wait_until("the machine has the new policy", |world| world.snapshot(0).scheduling.policy.number == 3);
    assert!(!mia.rights().contains(&Right::Get));
    assert_eq!(get("hello", newest.manifest), Err(Reason::NotAllowed));
    assert_eq!(offered(as_mia(&Request::Catalogue)).map(|all| all.len()), Ok(1));
    world.set_policy("[catalogue]\npackages = [\"hello\"]\n", None);
    world.wait_until("the machine has the new policy", |world| world.snapshot(0).scheduling.policy.number == 4);
    let order = get("hello", newest.manifest).expect("the release is offered to her");
    is_installed(&world, 0, order);
    assert_eq!(world.says(0, "hello").as_deref(), Some("hello 2.0"));
}
