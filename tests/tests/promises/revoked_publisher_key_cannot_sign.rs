//! Verifies that a stolen and revoked publisher's key cannot publish, and that releases continue with another key.

use banyan_proto::admin::{DeploymentState, Release};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::fs;

/// Returns the ids of the keys that may sign releases, from `banyan keys list`.
fn targets_keys(network: &TestNetwork) -> Vec<String> {
    let text = network.banyan(&["keys", "list", "--key", &network.path("keys"), "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&text).expect("keys list --json gives JSON");
    let roles = listed["roles"].as_array().expect("roles");
    let role = roles.iter().find(|role| role["role"] == "targets").expect("a targets role");
    let ids = role["keys"].as_array().expect("keys").iter().map(|key| key["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

#[test]
fn a_revoked_key_cannot_publish_and_other_keys_still_can() {
    let network = TestNetwork::start(2);
    let (keys, stolen) = (network.path("keys"), network.path("stolen"));
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    fs::create_dir(&stolen).expect("the folder is accessible");
    for name in ["targets-1.key", "root.json"] {
        fs::copy(format!("{keys}/{name}"), format!("{stolen}/{name}")).expect("the file can be copied");
    }
    let id = targets_keys(&network).remove(0);
    // The only key of a role cannot be revoked; after another one is added, it can.
    let alone = network.command(&["keys", "revoke", &id[..12], "--key", &keys]).output().expect("banyan can be run");
    assert!(!alone.status.success() && String::from_utf8_lossy(&alone.stderr).contains("keys add"), "{alone:?}");
    network.banyan(&["keys", "add", "--role", "targets", "--key", &keys]);
    network.banyan(&["keys", "revoke", &id[..12], "--key", &keys]);
    assert!(!targets_keys(&network).contains(&id));

    let evil = network.write_package("hello", "6.6", 300_000, Behaviour::Works);
    let file = network.path("evil.tosign");
    let output =
        network.command(&["publish", &evil, "--key", &stolen, "--out", &file]).output().expect("banyan can be run");
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    let sent = network.command(&["keys", "send", &file, "--key", &stolen]).output().expect("banyan can be run");
    assert!(!sent.status.success(), "{sent:?}");
    let releases: Vec<Release> =
        serde_json::from_str(&network.banyan(&["releases", "--json"])).expect("releases --json gives JSON");
    assert_eq!(releases.iter().map(|release| release.version.as_str()).collect::<Vec<_>>(), ["1.0"]);

    // Releases that the revoked key signed earlier stay, and new ones can be published.
    for version in ["1.0", "2.0"] {
        if version == "2.0" {
            network.publish("hello", version, 300_000, Behaviour::Works);
        }
        let deployment = network.deploy("hello", "all", 2);
        network.wait_for_status(&deployment, "the release is installed", |status| {
            status.state == DeploymentState::Finished
        });
        for which in 0..2 {
            assert_eq!(network.says(which, "hello"), Some(format!("hello {version}")));
        }
    }
}
