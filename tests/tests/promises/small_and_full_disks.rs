//! Verifies that an agent works on a small disk, and that a full one is named with its place, waited for, and enough
//! once there is room. The disks are real, so these tests need root. So does a limit of file sizes.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, DeploymentStatus, Stage},
    local::Request,
};
use banyan_tests::{TestNetwork, test_mount::TestMount, test_package::Behaviour};

const MB: u64 = 1 << 20;

/// A server and one machine, whose data folder is a disk of 250 MiB.
fn start() -> Option<(TestNetwork, TestMount)> {
    let mut network = TestNetwork::start(0);
    let join = network.join_code(1);
    let which = network.place_machine(Some(join));
    let disk = TestMount::tmpfs(&network.agents[which].data, 250)?;
    network.start_agent(which);
    network.wait_until("the machine is online", |network| network.machines().iter().any(|machine| machine.online));
    Some((network, disk))
}

fn is_finished(status: &DeploymentStatus) -> bool {
    status.state == DeploymentState::Finished && status.addressees.iter().all(|one| one.stage == Stage::Installed)
}

/// Waits until the machine reports that its disk is full. Returns its explanation.
fn wait_for_full_disk(network: &TestNetwork, deployment: &str) -> String {
    let is_explained = |status: &DeploymentStatus| {
        let one = &status.addressees[0];
        one.reason == Some(Reason::DiskFull) && one.detail.as_ref().is_some_and(|detail| detail.contains("free"))
    };
    let status = network.wait_for_status(deployment, "the machine says that its disk is full", is_explained);
    let detail = status.addressees[0].detail.clone().expect("there is an explanation");
    let place = network.agents[0].data.join("content");
    assert!(detail.contains(place.to_str().expect("the path is valid UTF-8")), "{detail}");
    detail
}

#[test]
fn a_machine_with_a_small_disk_waits_only_while_the_disk_is_full() {
    let Some((network, disk)) = start() else { return };
    network.publish("hello", "1.0", 5_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "1.0 is installed on a small disk", is_finished);
    let filler = disk.fill(20 * MB);
    network.publish("hello", "2.0", 5_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    let detail = wait_for_full_disk(&network, &deployment);
    assert!(detail.contains("are needed"), "{detail}");
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 1.0"));
    std::fs::remove_file(filler).expect("the file can be deleted");
    let status = network.wait_for_status(&deployment, "2.0 is installed once there is room", is_finished);
    assert_eq!(status.addressees[0].reason, None);
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 2.0"));
}

#[test]
fn a_disk_without_free_inodes_is_named_as_such() {
    let mut network = TestNetwork::start(0);
    let join = network.join_code(1);
    let which = network.place_machine(Some(join));
    let Some(disk) = TestMount::tmpfs_of_files(&network.agents[which].data, 250, 200) else { return };
    network.start_agent(which);
    network.wait_until("the machine is online", |network| network.machines().iter().any(|machine| machine.online));
    let fillers = disk.use_up_files();
    network.publish("hello", "1.0", 1_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    let detail = wait_for_full_disk(&network, &deployment);
    assert!(detail.contains("has 0 free inodes of 200"), "{detail}");
    let data = network.agents[which].data.to_str().expect("the path is valid UTF-8").to_owned();
    let doctor = network.command(&["doctor", "--data", &data]).output().expect("banyan can be run");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && said.contains(&format!("{data} has 0 free inodes of 200")), "{said}");
    std::fs::remove_dir_all(fillers).expect("the files can be deleted");
    network.wait_for_status(&deployment, "it is installed once files can be created", is_finished);
}

#[test]
fn a_machine_first_started_on_a_full_disk_joins_once_there_is_room() {
    let mut network = TestNetwork::start(0);
    let join = network.join_code(1);
    let which = network.place_machine(Some(join));
    let Some(disk) = TestMount::tmpfs(&network.agents[which].data, 40) else { return };
    let filler = disk.fill(0);
    network.start_agent(which);
    network.wait_until("the agent says that the disk is full", |network| network.log_of(which).contains("[disk-full]"));
    std::fs::remove_file(filler).expect("the file can be deleted");
    network.wait_until("the machine is online", |network| network.machines().iter().any(|machine| machine.online));
}

#[test]
fn content_that_is_here_needs_no_room() {
    let Some((network, disk)) = start() else { return };
    network.publish("hello", "1.0", 60_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "1.0 is installed", is_finished);
    // Enough for the machine to go on, and too little for the file once more.
    let _filler = disk.fill(40 * MB);
    let deployment = network.deploy("hello", "all", 2);
    let status = network.wait_for_status(&deployment, "it is there already", |status| {
        is_finished(status) || status.addressees[0].reason == Some(Reason::DiskFull)
    });
    assert_eq!(status.addressees[0].reason, None, "{status:#?}");
}

#[test]
fn a_disk_that_fills_up_during_a_transfer_is_waited_for() {
    let Some((network, disk)) = start() else { return };
    // Slow enough that the disk can be filled meanwhile.
    let slow =
        |download| Request::SetLimits { download, upload: None, daily_upload: None, forward: true, free_disk: 0 };
    network.tell(0, &slow(Some(1_000_000)));
    network.publish("hello", "1.0", 40_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "content arrives", |status| status.addressees[0].chunks.0 > 0);
    let filler = disk.fill(10 * MB);
    let detail = wait_for_full_disk(&network, &deployment);
    assert!(detail.contains("must stay free"), "{detail}");
    std::fs::remove_file(filler).expect("the file can be deleted");
    network
        .wait_for_status(&deployment, "the machine no longer says so", |status| status.addressees[0].reason.is_none());
    network.tell(0, &slow(None));
    network.wait_for_status(&deployment, "it is installed once there is room", is_finished);
}

#[test]
fn a_limit_of_file_sizes_is_named_and_waited_for() {
    let network = TestNetwork::start(1);
    let agent = network.service(0).expect("the agent runs").id().to_string();
    let limit = |bytes: &str| {
        let limited = std::process::Command::new("prlimit")
            .args(["--pid", &agent, &format!("--fsize={bytes}:unlimited")])
            .status();
        assert!(limited.expect("prlimit can be started").success());
    };
    limit("1000000");
    network.publish("hello", "1.0", 5_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the machine says that the file is too large", |status| {
        status.addressees[0].reason == Some(Reason::FileTooLarge)
    });
    limit("unlimited");
    network.wait_for_status(&deployment, "it is installed once the limit is raised", is_finished);
}
