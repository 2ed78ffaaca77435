//! Verifies first contact and moving: a machine tries until its server answers, and finds a server that has moved, by the
//! server's own announcement or by a new join code. A code of another server is refused.

use banyan_proto::{Digest, join::JoinCode};
use banyan_tests::TestNetwork;
use std::net::SocketAddr;

fn online(network: &TestNetwork) -> usize {
    network.machines().iter().filter(|machine| machine.online).count()
}

/// Returns an address where nothing listens.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free")
}

#[test]
fn a_machine_with_a_join_code_tries_until_the_server_answers() {
    let mut network = TestNetwork::start(0);
    let code = network.join_code(1);
    network.kill_server();
    let which = network.place_machine(None);
    let file = network.path("code");
    std::fs::write(&file, code).expect("the file can be written");
    network.agents[which].arguments = vec!["--join-file".into(), file];
    network.start_agent(which);
    network.wait_until("the agent says what it waits for", |network| {
        let log = network.log_of(which);
        log.contains("waiting to join the server") && log.contains("server-away")
    });
    network.start_server();
    network.wait_until("the machine has joined", |network| online(network) == 1);
}

#[test]
fn a_server_that_announced_its_next_address_is_found_there() {
    let mut network = TestNetwork::start(2);
    let (old, new) = (network.profile().servers[0].clone(), free_address());
    network.kill_server();
    network.server_arguments = vec!["--advertise".into(), format!("{old},{new}")];
    network.start_server();
    network.wait_until("both machines know both addresses", |network| {
        network.machines().iter().all(|machine| machine.online && machine.knows_server_addresses == Some(true))
    });
    network.kill_server();
    network.server_arguments.clear();
    network.move_server(new);
    network.start_server();
    network.wait_until("both machines have found it", |network| online(network) == 2);
    // A machine that starts again still knows it.
    network.kill_agent(0);
    network.wait_until("the server has noticed", |network| online(network) == 1);
    network.start_agent(0);
    network.wait_until("it is back", |network| online(network) == 2);
}

#[test]
fn a_new_join_code_tells_an_enrolled_machine_where_its_server_is() {
    let mut network = TestNetwork::start(1);
    network.kill_agent(0);
    network.kill_server();
    network.move_server(free_address());
    network.start_server();
    let code = network.join_code(1);
    network.agents[0].arguments = vec!["--server".into(), network.profile().servers[0].to_string()];
    network.start_agent(0);
    network.wait_until("the machine has found the server", |network| online(network) == 1);

    network.kill_agent(0);
    let code: JoinCode = code.parse().expect("a join code");
    let other = JoinCode { ca: Digest::of(b"another CA"), ..code }.to_string();
    let file = network.path("code");
    std::fs::write(&file, other).expect("the file can be written");
    let before = network.agents[0].data.clone();
    let mut command = banyan_tests::programs::agent();
    command.arg("--data").arg(before).args(["--listen", "127.0.0.1:0", "--join-file", &file]);
    let refused = command.output().expect("the agent can be run");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("other-server") && text.contains("empty --data"), "{text}");
}
