//! Tests `banyan-tray --own-agent`: a user without special rights tries Banyan. The agent runs while the tray does,
//! joins, receives, installs into that user's folders, and ends with the tray.

use banyan_proto::local::{Link, Mode, Request, UpdateState};
use banyan_tests::{
    TestNetwork,
    test_desktop::{TestDesktop, wait_for},
    test_package::Behaviour,
};
use banyan_ui_common::AgentClient;
use std::{fs, os::unix::net::UnixStream};

/// The user id of Debian's `nobody`: a bus requires its user to have a name.
const NOBODY: u32 = 65_534;

#[test]
fn a_personal_agent_joins_and_installs_without_rights_and_ends_with_the_tray() {
    let network = TestNetwork::start(0);
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let mut desktop = TestDesktop::for_user(NOBODY);
    let mut tray = desktop.command(desktop.path("programs/banyan-tray"));
    let process = desktop.keep(tray.arg("--own-agent"));

    let data = desktop.path(".local/share/banyan/agent");
    let socket = data.join("agent.sock");
    let client = AgentClient::start(socket.clone(), || {});
    let snapshot = || client.view().snapshot;
    wait_for("the user's own agent answers", snapshot);
    let about = snapshot().expect("the agent has answered").about;
    assert_eq!((about.mode, about.enrolled), (Mode::User, None));

    client.send(&Request::Enrol { code: network.join_code(1) });
    wait_for("the agent has joined", || (snapshot()?.link == Link::Connected).then_some(()));
    let _ = network.deploy("hello", "all", 2);
    wait_for("the agent has installed the release", || {
        let update = snapshot()?.updates.first().cloned()?;
        matches!(update.state, UpdateState::Installed { .. }).then_some(())
    });
    let current = data.join("installer/packages/hello/current");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&current).expect("the file exists"));
    assert_eq!(owner, NOBODY, "{} must belong to the user", current.display());

    desktop.close(process);
    wait_for("the agent ends with the tray", || UnixStream::connect(&socket).is_err().then_some(()));
}
