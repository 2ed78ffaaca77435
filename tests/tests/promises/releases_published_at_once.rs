//! Verifies that several commands can change the list of releases at the same time.

use banyan_tests::{TestNetwork, inspecting_proxy::InspectingProxy, test_package::Behaviour};
use std::process::{Child, Stdio};

/// The size of each package.
const BYTES: u64 = 1_000_000;

fn succeed(child: Child) {
    let output = child.wait_with_output().expect("banyan can be waited for");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn all_releases_that_are_published_at_once_are_accepted_and_uploaded_once() {
    let network = TestNetwork::start(0);
    let proxy = InspectingProxy::start(&network);
    let keys = network.path("keys");
    let names = ["a", "b", "c", "d", "e"];
    let files = names.map(|name| network.write_package(name, "1.0", BYTES as usize, Behaviour::Works));
    let publish = |file: &String| {
        let mut command = proxy.command(&["publish", file, "--key", &keys, "--json"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("banyan can be run")
    };
    files.each_ref().map(publish).into_iter().for_each(succeed);
    let releases = network.banyan(&["releases", "--json"]);
    assert!(names.iter().all(|name| releases.contains(&format!("\"{name}\""))), "{releases}");
    let uploaded = proxy.take_uploaded();
    println!("uploaded {uploaded} bytes");
    assert!(uploaded < (BYTES + BYTES / 4) * names.len() as u64, "{uploaded} bytes were uploaded");

    // Releases of one package get one sequence after the other, and two can be withdrawn at once.
    let files = ["2.0", "3.0", "4.0"].map(|version| network.write_package("a", version, 1000, Behaviour::Works));
    files.each_ref().map(publish).into_iter().for_each(succeed);
    let withdraw = |release: &str| {
        let mut command = network.command(&["releases", "withdraw", release, "--key", &keys, "--json"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("banyan can be run")
    };
    ["a@2.0", "a@4.0"].map(withdraw).into_iter().for_each(succeed);
    let releases = network.banyan(&["releases", "--json"]);
    assert_eq!(releases.matches("\"a\"").count(), 2, "{releases}");
}
