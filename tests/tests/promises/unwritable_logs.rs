//! Verifies that server and agent work on when nobody can take their logs: the disk below is full, or the reader is gone;
//! and that a command whose result cannot be written says that its work is done.

use banyan_proto::admin::{DeploymentState, OpenToken};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::fs::File;

#[test]
fn services_whose_logs_cannot_be_written_work_as_before() {
    let mut network = TestNetwork::start(2);
    network.kill_server();
    (0..2).for_each(|which| network.kill_agent(which));
    network.has_full_logs = true;
    network.start_server();
    (0..2).for_each(|which| network.start_agent(which));
    let all_online = |network: &TestNetwork| network.machines().iter().all(|machine| machine.online);
    network.wait_until("both machines are online", all_online);
    // Both sides log when they lose each other.
    network.stop_server();
    network.start_server();
    network.wait_until("both machines are online again", all_online);
    network.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "both machines have it", |status| status.state == DeploymentState::Finished);
    network.stop_server();
}

#[test]
fn a_command_whose_result_cannot_be_written_says_that_its_work_is_done() {
    let network = TestNetwork::start(1);
    network.publish("hello", "1.0", 1_000, Behaviour::Works);
    let say = |arguments: &[&str]| {
        let full = File::options().write(true).open("/dev/full").expect("the system has /dev/full");
        let output = network.command(arguments).stdout(full).output().expect("banyan can be run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !said.contains("try again"), "{said}");
        said
    };
    for options in [&["--json"][..], &["--wait"]] {
        let said = say(&[&["deploy", "hello@1.0", "--to", "all"], options].concat());
        let id = network.status("latest").id.short();
        assert!(said.contains("the deployment has begun"), "{said}");
        assert!(said.contains(&format!("banyan status {id} --watch")), "{said}");
    }
    let said = say(&["tokens", "create", "--uses", "7"]);
    let open = network.banyan(&["tokens", "list", "--json"]);
    let open: Vec<OpenToken> = serde_json::from_str(&open).expect("the list is JSON");
    let lost = open.iter().find(|token| token.uses_left == 7).expect("the code is listed");
    assert!(said.contains(&format!("banyan tokens revoke {}", lost.id.short())), "{said}");
    network.banyan(&["tokens", "revoke", &lost.id.short()]);
    let open = network.banyan(&["tokens", "list", "--json"]);
    assert!(!open.contains(&lost.id.to_string()), "{open}");
}
