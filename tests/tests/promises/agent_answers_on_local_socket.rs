//! Verifies that programs on the machine can ask the agent for its status, after a greeting, and only as its own user
//! or root.

use banyan_proto::{
    admin::DeploymentState,
    local::{Reply, Request},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::{os::unix::fs::PermissionsExt, path::Path};

#[test]
fn the_status_is_answered_to_the_agents_user() {
    let network = TestNetwork::start(1);
    network.wait_until("the server has answered the agent", |network| {
        network.try_ask(0).is_some_and(|status| status.heard.is_some())
    });
    let before = network.ask(0);
    assert_eq!((before.label.as_str(), before.orders.len()), ("m0", 0));
    assert_eq!(before.servers, network.profile().servers);
    assert!(before.certificate_until > before.heard, "{before:?}");
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the machine has it", |status| status.state == DeploymentState::Finished);
    let after = network.ask(0);
    let order = &after.orders[0];
    assert_eq!((order.package.as_str(), order.authenticated, order.ended), ("hello", true, Some(Ok(()))));
    assert_eq!(order.chunks.0, order.chunks.1);
}

#[test]
fn the_status_is_refused_without_a_greeting_and_to_other_users() {
    let network = TestNetwork::start(1);
    let data = &network.agents[0].data;
    assert!(matches!(network.say(0, &[Request::Status])[..], [Reply::Error(_)]));
    let mode = |path: &Path| std::fs::metadata(path).expect("the file exists").permissions().mode() & 0o777;
    assert_eq!(mode(&data.join("agent.sock")) & 0o077, 0);
    // The database contains codes, so no other user may read it either.
    assert_eq!(mode(&data.join("agent.redb")) & 0o077, 0);
    assert_eq!(mode(&data.join("machine.key")) & 0o077, 0);
}
