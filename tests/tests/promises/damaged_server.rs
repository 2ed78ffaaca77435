//! Verifies that a server whose disk is full, whose database is gone or whose files are damaged says so, spoils nothing,
//! and works again once it is repaired.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, DeploymentStatus},
};
use banyan_tests::{
    TestNetwork,
    programs::{self, Service},
    test_mount::TestMount,
    test_package::{self, Behaviour},
};
use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    process::Command,
};

fn is_finished(status: &DeploymentStatus) -> bool {
    status.state == DeploymentState::Finished
}

fn server_log(network: &TestNetwork) -> String {
    fs::read_to_string(network.path("server.log")).expect("the server has a log")
}

/// Runs a command that must fail. Returns what it says.
fn fail(mut command: Command) -> String {
    let output = command.output().expect("the program can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{command:?} must fail: {said}");
    said
}

#[test]
fn a_disk_without_free_inodes_is_named_by_the_server_and_doctor() {
    let mut disk = None;
    let mut network = TestNetwork::start_with(0, |folder| {
        disk = TestMount::tmpfs_of_files(&folder.join("server"), 100, 300);
        Vec::new()
    });
    let Some(disk) = disk else { return };
    let release = network.write_package("hello", "1.0", 1_000_000, Behaviour::Works);
    let keys = network.path("keys");
    let publish = ["publish", release.as_str(), "--key", keys.as_str()];
    let _fillers = disk.use_up_files();
    let said = fail(network.command(&publish));
    let place = network.path("server");
    assert!(said.contains("server-disk-full") && said.contains("has 0 free inodes of 300"), "{said}");
    assert!(said.contains(&place), "{said}");
    let doctor = network.command(&["doctor"]).output().expect("banyan can be run");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && said.contains("has 0 free inodes of 300"), "{said}");

    // A stopped server leaves no log of its database, and cannot create one.
    let listen = network.profile().servers[0].to_string();
    network.stop_server();
    drop(fs::remove_file(Path::new(&place).join("reserve")));
    let fillers = disk.use_up_files();
    let mut command = programs::server();
    command.args(["--data", &place, "--listen", &listen]);
    let log = network.path("waiting.log");
    let _server = Service::start(command, Path::new(&log));
    network.wait_until("the server says what its disk lacks", |_| {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("has 0 free inodes of 300"))
    });
    fs::remove_dir_all(fillers).expect("the files can be deleted");
    network.wait_until("the server answers", |network| {
        network.command(&["machines"]).output().is_ok_and(|output| output.status.success())
    });
    network.banyan(&publish);
}

#[test]
fn a_full_disk_is_named_survives_a_restart_and_is_forgotten_once_there_is_room() {
    let mut disk = None;
    let mut network = TestNetwork::start_with(1, |folder| {
        disk = TestMount::tmpfs(&folder.join("server"), 100);
        Vec::new()
    });
    let Some(disk) = disk else { return };
    network.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let full = disk.fill(0);
    let large = test_package::write(Path::new(&network.path("packages")), "hello", "2.0", 5_000_000, Behaviour::Works);
    let (large, keys) = (large.to_str().expect("the path is valid UTF-8").to_owned(), network.path("keys"));
    let publish = ["publish", large.as_str(), "--key", keys.as_str()];
    let said = fail(network.command(&publish));
    assert!(said.contains("server-disk-full"), "{said}");
    let said = fail(network.command(&["tokens", "create", "--uses", "1"]));
    assert!(said.contains("server-disk-full"), "{said}");
    network.kill_server();
    network.start_server();
    network.wait_until("the restarted server answers", |network| network.machines().len() == 1);

    fs::remove_file(full).expect("the file can be deleted");
    network.banyan(&publish);
    let deployment = network.deploy("hello@2.0", "all", 1);
    network.wait_for_status(&deployment, "the machine has it", is_finished);
}

#[test]
fn a_server_whose_disk_was_full_works_again_without_a_restart() {
    let mut disk = None;
    let network = TestNetwork::start_with(1, |folder| {
        disk = TestMount::tmpfs(&folder.join("server"), 20);
        Vec::new()
    });
    let Some(disk) = disk else { return };
    network.publish("hello", "1.0", 100_000, Behaviour::Works);
    let full = disk.fill(0);
    let deploy = ["deploy", "hello@1.0", "--to", "all"];
    let refused = || {
        let output = network.command(&deploy).output().expect("banyan can be run");
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // The database first uses up the room that it has.
    let said = (0..1000).find_map(|_| refused()).expect("a full disk refuses deployments");
    assert!(said.contains("server-disk-full") && said.contains("then run the command again"), "{said}");
    for _ in 0..3 {
        drop(refused());
    }
    let doctor = || {
        let output = network.command(&["doctor"]).output().expect("banyan can be run");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = doctor();
    assert!(said.contains("FAIL  server: ") && said.contains("server-disk-full"), "{said}");
    fs::remove_file(full).expect("the file can be deleted");
    let deployment = network.deploy("hello@1.0", "all", 1);
    network.wait_for_status(&deployment, "the machine has it", is_finished);
    let said = doctor();
    assert!(said.contains("ok    server: "), "{said}");
}

#[test]
fn a_damaged_file_is_named_and_replaced_when_it_is_published_again() {
    let network = TestNetwork::start(1);
    network.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let artifacts = fs::read_dir(network.path("server/artifacts")).expect("the server has this folder");
    let artifact = artifacts.flatten().next().expect("the artifact").path();
    let mut file = fs::File::options().write(true).open(&artifact).expect("the file can be opened");
    file.seek(SeekFrom::Start(500_000)).and_then(|_| file.write_all(&[7; 3])).expect("the file can be damaged");
    let deployment = network.deploy("hello@1.0", "all", 1);
    let status = network.wait_for_status(&deployment, "the damage is named", |status| {
        status.addressees[0].reason == Some(Reason::ServerFileDamaged)
    });
    let (path, detail) = (artifact.to_str().expect("the path is valid UTF-8"), &status.addressees[0].detail);
    assert!(detail.as_ref().is_some_and(|detail| !detail.is_empty()) && server_log(&network).contains(path));
    network.banyan(&["publish", &network.path("packages/hello-1.0.toml"), "--key", &network.path("keys")]);
    network.wait_for_status(&deployment, "the machine has it", is_finished);
}

#[test]
fn a_server_whose_database_is_gone_does_not_start_as_a_new_one() {
    for empty in [false, true] {
        let mut network = TestNetwork::start(1);
        network.kill_server();
        let database = network.path("server/server.sqlite");
        let files = ["", "-wal", "-shm"].map(|ending| format!("{database}{ending}"));
        let kept = files.clone().map(|file| (fs::read(&file).ok(), file));
        files.iter().for_each(|file| drop(fs::remove_file(file)));
        if empty {
            fs::write(&database, "").expect("the file can be written");
        }
        let mut server = programs::banyan();
        server.args(["server", "--data", &network.path("server"), "--listen", "127.0.0.1:0"]);
        let said = fail(server);
        assert!(said.contains("server.sqlite") && said.contains("backup"), "{said}");
        for (content, file) in kept {
            content.into_iter().for_each(|content| fs::write(&file, content).expect("the file can be written"));
        }
        network.start_server();
        network.wait_until("the machine is back", |network| network.machines().iter().any(|machine| machine.online));
    }
}
