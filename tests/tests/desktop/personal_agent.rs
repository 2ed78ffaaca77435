//! Tests `banyan-tray --own-agent`: a user without special rights tries Banyan. The agent runs while the tray does,
//! joins, receives, installs into that user's folders, and ends with the tray.

use banyan_proto::local::{Link, Mode, Request, UpdateState};
use banyan_tests::{
    World,
    test_desktop::{Stage, wait_for},
    test_package::Behaviour,
};
use banyan_ui_common::AgentClient;
use std::{fs, os::unix::net::UnixStream};

/// The user id of Debian's `nobody`: a bus requires its user to have a name.
const NOBODY: u32 = 65_534;

#[test]
fn it_joins_and_installs_without_any_rights_and_ends_with_the_tray() {
    let world = World::start(0);
    world.publish("hello", "1.0", 300_000, Behaviour::Works);
    let mut stage = Stage::of_user(NOBODY);
    let mut tray = stage.command(stage.path("programs/banyan-tray"));
    let process = stage.keep(tray.arg("--own-agent"));

    let data = stage.path(".local/share/banyan/agent");
    let socket = data.join("agent.sock");
    let client = AgentClient::start(socket.clone(), || {});
    let snapshot = || client.view().snapshot;
    wait_for("the user's own agent answers", snapshot);
    let about = snapshot().expect("the agent has answered").about;
    assert_eq!((about.mode, about.enrolled), (Mode::User, None));

    client.send(&Request::Enrol { code: world.join_code(1) });
    wait_for("the agent has joined", || (snapshot()?.link == Link::Connected).then_some(()));
    let _ = world.deploy("hello", "all", 2);
    wait_for("the agent has installed the release", || {
        let update = snapshot()?.updates.first().cloned()?;
        matches!(update.state, UpdateState::Installed { .. }).then_some(())
    });
    let current = data.join("installer/packages/hello/current");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&current).expect("the file exists"));
    assert_eq!(owner, NOBODY, "{} must belong to the user", current.display());

    stage.close(process);
    wait_for("the agent ends with the tray", || UnixStream::connect(&socket).is_err().then_some(()));
}
