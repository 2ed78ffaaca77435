//! Verifies that a release of another kind than the earlier ones of its package is refused before anything is signed.

use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::{fs, path::Path, process::Command};

/// Builds a Debian package for every machine. Returns its path.
fn build_deb(network: &TestNetwork, name: &str) -> Option<String> {
    let folder = network.path(&format!("{name}-deb"));
    let control = Path::new(&folder).join("DEBIAN");
    fs::create_dir_all(&control).expect("the folder can be created");
    fs::create_dir_all(Path::new(&folder).join("usr/share").join(name)).expect("the folder can be created");
    let fields = format!(
        "Package: {name}\nVersion: 2.0\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: for tests\n"
    );
    fs::write(control.join("control"), fields).expect("the file can be written");
    let deb = format!("{folder}.deb");
    let mut build = Command::new("dpkg-deb");
    let built = build.args(["--root-owner-group", "-Zgzip", "-b", &folder, &deb]).output().ok()?;
    assert!(built.status.success(), "{built:?}");
    Some(deb)
}

#[test]
fn a_deb_with_the_name_of_a_published_archive_is_refused_before_it_is_signed() {
    let network = TestNetwork::start(0);
    let Some(deb) = build_deb(&network, "tool") else {
        println!("skipped: needs dpkg-deb");
        return;
    };
    let keys = network.path("keys");
    network.publish("tool", "1.0", 1000, Behaviour::Works);
    let signed = || fs::read_to_string(Path::new(&keys).join("published.json")).expect("the list was recorded");
    let before = signed();
    let refused = network.command(&["publish", &deb, "--key", &keys]).output().expect("banyan can be run");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{text}");
    assert!(text.contains("tool 1.0 (sequence 1) has kind archive for any"), "{text}");
    assert!(text.contains("banyan releases withdraw tool@1.0"), "{text}");
    assert!(!text.contains("uploading") && signed() == before, "{text}");
    assert!(!network.banyan(&["releases", "--json"]).contains("\"2.0\""));

    // The cure that the message names.
    network.banyan(&["releases", "withdraw", "tool@1.0", "--key", &keys]);
    network.banyan(&["publish", &deb, "--key", &keys]);
}
