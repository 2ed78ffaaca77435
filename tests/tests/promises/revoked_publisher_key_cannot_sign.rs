//! Verifies that a stolen and revoked publisher's key cannot publish, and that releases continue with another key.

use banyan_proto::admin::{DeploymentState, Release};
use banyan_tests::{World, test_package::Behaviour};
use std::fs;

/// Returns the ids of the keys that may sign releases, from `banyan keys list`.
fn targets_keys(world: &World) -> Vec<String> {
    let text = world.banyan(&["keys", "list", "--key", &world.path("keys"), "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&text).expect("keys list --json gives JSON");
    let roles = listed["roles"].as_array().expect("roles");
    let role = roles.iter().find(|role| role["role"] == "targets").expect("a targets role");
    let ids = role["keys"].as_array().expect("keys").iter().map(|key| key["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

#[test]
fn and_the_other_keys_go_on() {
    let world = World::start(2);
    let (keys, stolen) = (world.path("keys"), world.path("stolen"));
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    fs::create_dir(&stolen).expect("the folder is accessible");
    for name in ["targets-1.key", "root.json"] {
        fs::copy(format!("{keys}/{name}"), format!("{stolen}/{name}")).expect("the file can be copied");
    }
    let id = targets_keys(&world).remove(0);
    // The only key of a role cannot be revoked; after another one is added, it can.
    let alone = world.command(&["keys", "revoke", &id[..12], "--key", &keys]).output().expect("banyan can be run");
    assert!(!alone.status.success() && String::from_utf8_lossy(&alone.stderr).contains("keys add"), "{alone:?}");
    world.banyan(&["keys", "add", "--role", "targets", "--key", &keys]);
    world.banyan(&["keys", "revoke", &id[..12], "--key", &keys]);
    assert!(!targets_keys(&world).contains(&id));

    let evil = world.write_package("hello", "6.6", 300_000, Behaviour::Works);
    let file = world.path("evil.tosign");
    let output =
        world.command(&["publish", &evil, "--key", &stolen, "--out", &file]).output().expect("banyan can be run");
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    let sent = world.command(&["keys", "send", &file, "--key", &stolen]).output().expect("banyan can be run");
    assert!(!sent.status.success(), "{sent:?}");
    let releases: Vec<Release> =
        serde_json::from_str(&world.banyan(&["releases", "--json"])).expect("releases --json gives JSON");
    assert_eq!(releases.iter().map(|release| release.version.as_str()).collect::<Vec<_>>(), ["1.0"]);

    // Releases that the revoked key signed earlier stay, and new ones can be published.
    for version in ["1.0", "2.0"] {
        if version == "2.0" {
            world.publish("hello", version, 300_000, Behaviour::Works);
        }
        let deployment = world.deploy("hello", "all", 2);
        world.wait_for_status(&deployment, "the release is installed", |status| {
            status.state == DeploymentState::Finished
        });
        for which in 0..2 {
            assert_eq!(world.says(which, "hello"), Some(format!("hello {version}")));
        }
    }
}
