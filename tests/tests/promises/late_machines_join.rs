//! Verifies that a machine that was off from the start and one that enrols afterwards get what was deployed to all, the
//! latter in an order of its own; and that a fixed deployment leaves it out.

use banyan_proto::admin::{DeploymentState, Stage, Totals};
use banyan_tests::{TestNetwork, test_package::Behaviour};

#[test]
fn a_machine_that_was_off_and_one_that_enrols_later_get_the_release() {
    let mut network = TestNetwork::start(3);
    network.publish("fixed", "1.0", 100_000, Behaviour::Works);
    network.banyan(&["deploy", "fixed", "--to", "all", "--fixed", "--wait"]);
    network.kill_agent(2);
    network.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the others have it, and one is known to be off", |status| {
        status.totals == Totals { done: 2, unreachable: 1, ..Totals::default() }
    });
    let text = network.banyan(&["status", &deployment]);
    assert!(text.contains("2 installed, 1 unreachable"), "{text}");
    network.start_agent(2);
    network.wait_for_status(&deployment, "the late machine has it", |status| status.state == DeploymentState::Finished);
    assert_eq!(network.says(2, "hello").as_deref(), Some("hello 1.0"));

    network.add_agent();
    let status = network.wait_for_status(&deployment, "the new machine has it", |status| {
        status.addressees.len() == 4 && status.state == DeploymentState::Finished
    });
    assert_eq!(network.says(3, "hello").as_deref(), Some("hello 1.0"));
    assert_eq!(status.orders.len(), 2, "{:#?}", status.orders);
    let new = status.addressees.iter().find(|machine| machine.label == "m3").expect("m3 has joined");
    assert_eq!((new.order, new.stage), (Some(status.orders[1].id), Stage::Installed));
    assert_eq!(network.says(3, "fixed"), None, "it was deployed to the machines of that time");
}
