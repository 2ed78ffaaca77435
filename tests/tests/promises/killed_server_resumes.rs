//! Verifies recovery from a server killed in the middle of a deployment. Chunks that machines hold keep spreading. The
//! restarted server resumes: no machine receives anything twice, receipts wait for it, every machine finishes, and
//! nothing is installed twice.

use banyan_proto::admin::{DeploymentState, Stage};
use banyan_tests::{TestNetwork, test_package::Behaviour};

/// Large enough that the transfer takes a while even on loopback.
const BYTES: usize = 200_000_000;

#[test]
fn machines_continue_without_the_server_which_resumes_where_it_was() {
    let mut network = TestNetwork::start(5);
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "every machine receives", |status| {
        status.addressees.iter().all(|machine| machine.stage >= Stage::Receiving)
    });
    network.kill_server();

    let held = |network: &TestNetwork| (0..5).map(|which| network.ask(which).orders[0].chunks).collect::<Vec<_>>();
    let at_death = held(&network);
    // The machine nearest to the server holds the most. Its chunks reach the last machine without the server.
    let most = |held: &[(u32, u32)]| held.iter().map(|(chunks, _)| *chunks).max();
    let least = |held: &[(u32, u32)]| held.iter().map(|(chunks, _)| *chunks).min();
    network.wait_until("all machines hold the same", |network| {
        let now = held(network);
        most(&now) == least(&now)
    });
    let without = held(&network);
    println!("chunks held when the server was killed: {at_death:?}, and before it came back: {without:?}");
    assert!(least(&at_death) < least(&without), "nothing was left to spread: {at_death:?}");
    assert!(without.iter().all(|(chunks, all)| chunks < all), "the server had sent everything before it was killed");

    network.start_server();
    let status = network
        .wait_for_status(&deployment, "every machine has it", |status| status.state == DeploymentState::Finished);
    assert!(status.addressees.iter().all(|machine| machine.stage == Stage::Installed), "{status:#?}");
    for which in 0..5 {
        assert_eq!(network.says(which, "hello").as_deref(), Some("hello 1.0"));
        let installs = network.log_of(which).matches("already=false").count();
        assert_eq!(installs, 1, "{} installed {installs} times", network.agents[which].label);
    }
    for machine in &status.addressees {
        let received: u64 = machine.sources.iter().map(|source| source.bytes).sum();
        assert_eq!(received, status.size, "{} received something twice: {:?}", machine.label, machine.sources);
    }
    // A machine whose parent has no time for it also turns to the server, so this is one copy only on an idle computer.
    // Without the other machines, it would be five.
    let sources = status.addressees.iter().flat_map(|machine| &machine.sources);
    let sent: u64 = sources.filter(|source| source.machine == status.server).map(|source| source.bytes).sum();
    println!("the machines had {sent} bytes from the server, the file has {}", status.size);
    assert!(sent <= status.size * 2, "the server sent {sent} bytes of {}", status.size);
}
