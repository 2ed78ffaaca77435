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
    TestNetwork,
    session_user::{SessionUser, as_user},
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
fn socket(network: &TestNetwork, which: usize) -> UnixStream {
    UnixStream::connect(network.agents[which].data.join("agent.sock")).expect("the agent listens")
}
fn offered(reply: Reply) -> Result<Vec<OfferedRelease>, Reason> {
    match reply {
        Reply::Catalogue(Catalogue { items }) => Ok(items.into_iter().map(|item| item.release).collect()),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
fn look(network: &TestNetwork, which: usize) -> Result<Vec<OfferedRelease>, Reason> {
    offered(ask(&socket(network, which), &Request::Catalogue))
}
fn ordered(reply: Reply) -> Result<OrderId, Reason> {
    match reply {
        Reply::Ordered { order } => Ok(order),
        Reply::Error(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}
fn get(network: &TestNetwork, which: usize, package: &str, manifest: Digest) -> Result<OrderId, Reason> {
    ordered(ask(&socket(network, which), &Request::GetFromCatalogue { package: package.to_owned(), manifest }))
}
fn versions(releases: &[OfferedRelease]) -> Vec<(&str, &str)> {
    releases.iter().map(|release| (release.package.as_str(), release.version.as_str())).collect()
}
/// Waits until a machine is offered these packages and versions.
fn is_offered(network: &TestNetwork, which: usize, wanted: &[(&str, &str)]) -> Vec<OfferedRelease> {
    network.wait_until("the policy's packages are offered", |network| {
        look(network, which).is_ok_and(|releases| versions(&releases) == wanted)
    });
    look(network, which).expect("the server answers")
}
fn is_installed(network: &TestNetwork, which: usize, order: OrderId) {
    network.wait_until("the release is installed", |network| {
        let update = network.snapshot(which).updates.into_iter().find(|update| update.order == order);
        update.is_some_and(|update| matches!(update.state, UpdateState::Installed { .. }))
    });
}

#[test]
fn only_the_group_that_a_release_is_offered_to_can_install_it() {
    let mut network = TestNetwork::start(0);
    network.add_agent_of("lab");
    network.add_agent_of("office");
    network.wait_until("both are online", |network| {
        network.machines().iter().filter(|machine| machine.online).count() == 2
    });
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    network.publish("other", "1.0", 300_000, Behaviour::Works);
    assert_eq!(look(&network, 0), Ok(vec![]), "nothing may be offered without a policy");
    network.banyan(&["policy", "set", "--catalogue", "hello", "--group", "lab"]);
    let first = is_offered(&network, 0, &[("hello", "1.0")]).remove(0);
    assert!(first.size > 300_000, "{first:?}");

    // The other group is offered nothing, whatever it requests. Unlisted packages are refused under any name.
    assert_eq!(look(&network, 1), Ok(vec![]));
    assert_eq!(get(&network, 1, "hello", first.manifest), Err(Reason::NotOffered));
    for (package, manifest) in [("other", first.manifest), ("other", Digest([7; 32])), ("hello", Digest([7; 32]))] {
        assert_eq!(get(&network, 0, package, manifest), Err(Reason::NotOffered));
    }
    // A newer release replaces the one that was shown, which is no longer available.
    network.publish("hello", "1.1", 300_000, Behaviour::Works);
    let second = is_offered(&network, 0, &[("hello", "1.1")]).remove(0);
    assert_eq!(get(&network, 0, "hello", first.manifest), Err(Reason::NotOffered));

    let order = get(&network, 0, "hello", second.manifest).expect("the release is offered");
    is_installed(&network, 0, order);
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 1.1"));
    let status = network.wait_for_status(&order.to_string(), "the server has the report", |status| {
        status.state == DeploymentState::Finished
    });
    assert_eq!(status.addressees.len(), 1, "the order must be for this machine alone");
    assert_eq!(get(&network, 0, "hello", second.manifest), Err(Reason::InstalledAlready));
    match ask(&socket(&network, 0), &Request::Catalogue) {
        Reply::Catalogue(Catalogue { items }) => {
            let installed = items[0].installed.as_ref().expect("the package is installed");
            assert_eq!((installed.version.as_str(), installed.sequence), ("1.1", second.sequence));
        }
        other => panic!("{other:?}"),
    }
    assert!(
        network.snapshot(1).updates.is_empty() && network.says(1, "hello").is_none(),
        "the other machine received something"
    );

    // Without a server nothing can be offered, and the agent reports that.
    network.kill_server();
    network
        .wait_until("the agent reports that the server is away", |network| look(network, 0) == Err(Reason::ServerAway));
    assert_eq!(get(&network, 0, "hello", second.manifest), Err(Reason::ServerAway));
    // The agent refuses packages outside the policy without asking the server.
    assert_eq!(get(&network, 0, "other", second.manifest), Err(Reason::NotOffered));
}

#[test]
fn a_release_no_longer_offered_is_refused_and_one_in_progress_is_not_ordered_twice() {
    let network = TestNetwork::start(1);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    network.publish("hello", "2.0", 300_000, Behaviour::Works);
    network.banyan(&["policy", "set", "--catalogue", "hello"]);
    let second = is_offered(&network, 0, &[("hello", "2.0")]).remove(0);
    network.banyan(&["releases", "withdraw", "hello@2.0", "--key", &network.path("keys")]);
    let first = is_offered(&network, 0, &[("hello", "1.0")]).remove(0);
    assert_eq!(get(&network, 0, "hello", second.manifest), Err(Reason::Withdrawn));

    // The release is on its way by the administrator's order, and paused.
    network.tell(0, &Request::Pause { until: PauseFor::UntilResumed });
    network.publish("hello", "3.0", 300_000, Behaviour::Works);
    let third = is_offered(&network, 0, &[("hello", "3.0")]).remove(0);
    let deployment = network.deploy("hello", "all", 1);
    network.wait_until("the machine knows the order", |network| !network.snapshot(0).updates.is_empty());
    assert_eq!(get(&network, 0, "hello", third.manifest), Err(Reason::UnderWay));
    network.tell(0, &Request::Resume);
    network.wait_for_status(&deployment, "the release has arrived", |status| status.state == DeploymentState::Finished);
    assert_eq!(get(&network, 0, "hello", third.manifest), Err(Reason::InstalledAlready));
    network.banyan(&["policy", "set", "--catalogue", "none"]);
    is_offered(&network, 0, &[]);
    assert_eq!(get(&network, 0, "hello", first.manifest), Err(Reason::NotOffered));
}

#[test]
fn a_user_with_a_session_can_install_only_what_is_offered() {
    let mut network = TestNetwork::start(1);
    let user = SessionUser::log_in_at(&mut network, 0);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    network.publish("hello", "2.0", 300_000, Behaviour::Works);
    network.publish("secret", "1.0", 300_000, Behaviour::Works);
    let as_mia = |request: &Request| {
        let stream = as_user(user.user, || UnixStream::connect(&user.socket)).expect("any user can connect");
        ask(&stream, request)
    };
    let get =
        |package: &str, manifest| ordered(as_mia(&Request::GetFromCatalogue { package: package.to_owned(), manifest }));
    // All releases with their manifests, as known to a user who has seen the package files.
    let manifests = |network: &TestNetwork, number: u64, package: &str| -> Vec<OfferedRelease> {
        network.set_policy(&format!("[catalogue]\npackages = [\"{package}\"]\n"), None);
        network.wait_until("the machine has the new policy", |network| {
            network.snapshot(0).scheduling.policy.number == number
        });
        is_offered(network, 0, &[(package, if package == "hello" { "2.0" } else { "1.0" })])
    };
    let secret = manifests(&network, 1, "secret").remove(0);
    let newest = manifests(&network, 2, "hello").remove(0);
    let text = std::fs::read(network.path("server/repository/manifests/hello/1.json"));
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
    assert!(network.snapshot(0).updates.is_empty(), "a release was ordered");
    // The policy can withhold it from her but still shows it.
    network.set_policy("[catalogue]\npackages = [\"hello\"]\nwho = \"administrators\"\n", None);
    network.wait_until("the machine has the new policy", |network| network.snapshot(0).scheduling.policy.number == 3);
    assert!(!user.rights().contains(&Right::Get));
    assert_eq!(get("hello", newest.manifest), Err(Reason::NotAllowed));
    assert_eq!(offered(as_mia(&Request::Catalogue)).map(|all| all.len()), Ok(1));
    network.set_policy("[catalogue]\npackages = [\"hello\"]\n", None);
    network.wait_until("the machine has the new policy", |network| network.snapshot(0).scheduling.policy.number == 4);
    let order = get("hello", newest.manifest).expect("the release is offered to her");
    is_installed(&network, 0, order);
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 2.0"));
}
