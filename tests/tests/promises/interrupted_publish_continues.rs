//! Verifies that `banyan publish` waits as long as the server is at work, and that a publish that was interrupted sends
//! only the rest when it is run again.

use banyan_tests::{TestNetwork, inspecting_proxy::InspectingProxy, test_package::Behaviour};
use std::{
    fs,
    process::{Child, Command, Stdio},
};

/// The size of the package.
const BYTES: u64 = 40_000_000;
/// What has arrived when a publish is interrupted.
const FIRST: u64 = 30_000_000;

struct Publisher {
    network: TestNetwork,
    proxy: InspectingProxy,
    release: String,
    keys: String,
}

impl Publisher {
    fn new() -> Self {
        let network = TestNetwork::start(0);
        let proxy = InspectingProxy::start(&network);
        let release = network.write_package("big", "1.0", BYTES as usize, Behaviour::Works);
        let keys = network.path("keys");
        Self { network, proxy, release, keys }
    }
    fn command(&self) -> Command {
        self.proxy.command(&["publish", &self.release, "--key", &self.keys, "--json"])
    }
    /// Starts a publish and returns when it has been stopped in the middle of its upload.
    fn stop_in_the_middle(&self) -> Child {
        self.proxy.stop_uploads_after(FIRST);
        let child = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("banyan can be run");
        self.network.wait_until("the upload is stopped", |_| self.proxy.is_stopped());
        // The server may still be writing what has passed.
        self.network.wait_until("the server has the first part", |network| interrupted(network) >= FIRST);
        child
    }
    fn publish(&self) {
        succeed(self.command());
    }
    fn check_published(&self) {
        let releases = self.network.banyan(&["releases", "--json"]);
        assert!(releases.contains("\"big\""), "{releases}");
        assert_eq!(interrupted(&self.network), 0, "the interrupted upload is gone");
    }
}

fn succeed(mut command: Command) {
    let output = command.output().expect("banyan can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns how many bytes of interrupted uploads the server keeps.
fn interrupted(network: &TestNetwork) -> u64 {
    let files = fs::read_dir(network.path("server/artifacts")).expect("the server has this folder").flatten();
    let parts = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "part"));
    parts.filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum()
}

fn kill(mut child: Child) {
    child.kill().expect("the client runs");
    child.wait().expect("the client ends");
}

#[test]
fn publish_asks_again_while_the_server_is_at_work() {
    let publisher = Publisher::new();
    publisher.publish();
    assert!(publisher.proxy.polls() > 0, "the server answered every request at once");
    publisher.check_published();
}

#[test]
fn a_killed_publish_sends_only_the_rest_when_it_is_run_again() {
    let publisher = Publisher::new();
    kill(publisher.stop_in_the_middle());
    publisher.proxy.close_connections();
    publisher.proxy.let_uploads_pass();
    let first = publisher.proxy.take_uploaded();
    publisher.publish();
    let second = publisher.proxy.take_uploaded();
    println!("sent {first} bytes before the kill and {second} after it");
    assert!(second <= BYTES - FIRST + 1_000_000, "{second} bytes were sent again");
    publisher.check_published();
}

#[test]
fn a_publish_whose_network_was_cut_continues_over_another_connection() {
    let publisher = Publisher::new();
    let cut = publisher.stop_in_the_middle();
    // The server does not notice that the client is gone: its connection stays open.
    kill(cut);
    publisher.proxy.let_uploads_pass();
    let _first = publisher.proxy.take_uploaded();
    publisher.publish();
    let second = publisher.proxy.take_uploaded();
    assert!(second <= BYTES - FIRST + 1_000_000, "{second} bytes were sent again");
    publisher.check_published();
}

#[test]
fn the_server_is_killed_and_the_publish_goes_on_by_itself() {
    let mut publisher = Publisher::new();
    let mut client = publisher.stop_in_the_middle();
    publisher.network.kill_server();
    publisher.proxy.let_uploads_pass();
    publisher.proxy.close_connections();
    let _first = publisher.proxy.take_uploaded();
    publisher.network.start_server();
    assert!(client.wait().expect("the client ends").success());
    let second = publisher.proxy.take_uploaded();
    assert!(second <= BYTES - FIRST + 1_000_000, "{second} bytes were sent again");
    publisher.check_published();
}

#[test]
fn a_second_publish_of_the_same_file_waits_for_the_first() {
    let publisher = Publisher::new();
    let mut first = publisher.stop_in_the_middle();
    let asked = publisher.proxy.state_requests();
    let second = publisher.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("banyan can be run");
    publisher.network.wait_until("the second waits", |_| publisher.proxy.state_requests() > asked + 1);
    publisher.proxy.resume_uploads();
    assert!(first.wait().expect("the first ends").success());
    // The list that it signs no longer follows the published one.
    kill(second);
    let sent = publisher.proxy.take_uploaded();
    assert!(sent < BYTES + 1_000_000, "{sent} bytes were sent");
    publisher.check_published();
}
