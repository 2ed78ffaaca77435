//! Verifies that two publishers on two computers can be required to sign together. A file goes from one to the other,
//! for keys and for releases, and a package file carries a release that both signed.

use banyan_proto::admin::DeploymentState;
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::{fs, process::Output};

/// The exit code for missing signatures of other publishers.
const UNSIGNED: Option<i32> = Some(8);

fn run(network: &TestNetwork, arguments: &[&str]) -> Output {
    network.command(arguments).output().expect("banyan can be run")
}

fn installed(network: &TestNetwork, version: &str) {
    let deployment = network.deploy("hello", "all", 2);
    network
        .wait_for_status(&deployment, "the release is installed", |status| status.state == DeploymentState::Finished);
    assert_eq!(network.says(0, "hello"), Some(format!("hello {version}")), "{}", network.logs());
}

#[test]
fn two_publishers_sign_by_exchanging_a_file() {
    let network = TestNetwork::start(1);
    let (alice, bob) = (network.path("keys"), network.path("bob"));
    let file = network.path("next.tosign");
    network.banyan(&["keys", "generate", "--out", &bob]);
    fs::copy(format!("{alice}/root.json"), format!("{bob}/root.json")).expect("Bob's copy of the root can be written");
    let public = format!("{bob}/public.json");
    // Root first, then targets: Alice still signs alone for the root, and the new root also requires Bob.
    for role in ["root", "targets"] {
        let add =
            ["keys", "add", "--role", role, "--from", &public, "--threshold", "2", "--key", &alice, "--out", &file];
        let added = run(&network, &add);
        assert_eq!(added.status.code(), UNSIGNED, "{added:?}");
        let early = run(&network, &["keys", "send", &file, "--key", &alice]);
        assert_eq!(early.status.code(), UNSIGNED, "{early:?}");
        // Bob first reviews the request and sees what it changes.
        let signed = run(&network, &["keys", "sign", &file, "--key", &bob]);
        assert!(signed.status.success() && String::from_utf8_lossy(&signed.stderr).contains("NEW"), "{signed:?}");
        network.banyan(&["keys", "send", &file, "--key", &alice, "--key", &bob]);
    }
    let release = network.write_package("hello", "1.0", 300_000, Behaviour::Works);
    let published = run(&network, &["publish", &release, "--key", &alice, "--out", &file]);
    assert_eq!(published.status.code(), UNSIGNED, "{published:?}");
    assert_eq!(network.banyan(&["releases", "--json"]).trim(), "[]");
    let signed = run(&network, &["keys", "sign", &file, "--key", &bob]);
    assert!(String::from_utf8_lossy(&signed.stderr).contains("ADDS hello/1.json"), "{signed:?}");
    network.banyan(&["keys", "send", &file, "--key", &alice]);
    installed(&network, "1.0");

    // The same as a package file: both build it without a server, and someone without keys publishes it.
    let release = network.write_package("hello", "2.0", 300_000, Behaviour::Works);
    let package = network.path("hello-2.0.banyan");
    let both = network.banyan(&["package", "build", &release, "--key", &alice, "--key", &bob, "--to", &package]);
    assert_eq!(both.trim(), package);
    let inspected = network.banyan(&["package", "inspect", &package, "--json"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected).expect("the output is valid JSON");
    assert_eq!(
        (inspected["signed_by"].as_array().map(Vec::len), inspected["root_expected"].clone()),
        (Some(2), true.into())
    );
    let bytes = fs::read(&package).expect("a package file");
    fs::write(network.path("cut.banyan"), &bytes[..bytes.len() - 1]).expect("the truncated file can be written");
    let cut = run(&network, &["publish", &network.path("cut.banyan")]);
    assert!(!cut.status.success() && String::from_utf8_lossy(&cut.stderr).contains("cut.banyan"), "{cut:?}");
    network.banyan(&["publish", &package]);
    installed(&network, "2.0");
}
