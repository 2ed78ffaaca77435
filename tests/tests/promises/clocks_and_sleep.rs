//! Verifies that what must happen by a date happens after a sleep, and that a wrong clock is named, teaches nothing, and
//! leaves nothing behind once it was set right.

use banyan_proto::{
    Reason,
    admin::{DeploymentState, Stage},
};
use banyan_tests::{FakeClock, TestNetwork, test_package::Behaviour};

fn online(network: &TestNetwork) -> usize {
    network.machines().iter().filter(|machine| machine.online).count()
}

fn installs(network: &TestNetwork, version: &str) {
    network.publish("hello", version, 10_000, Behaviour::Works);
    let deployment = network.deploy(&format!("hello@{version}"), "all", 1);
    network.wait_for_status(&deployment, "the release is installed", |status| {
        status.addressees.iter().all(|machine| machine.stage == Stage::Installed)
    });
}

/// Starts a server whose clock the test sets, and machines that share it if `machines_too`.
fn start(machines: usize, machines_too: bool) -> (TestNetwork, FakeClock) {
    let mut clock = None;
    let mut network = TestNetwork::start_with(0, |folder| clock.insert(FakeClock::new(folder)).environment());
    let clock = clock.expect("the clock was made");
    for _ in 0..machines {
        let code = network.join_code(1);
        let which = network.place_machine(Some(code));
        if machines_too {
            network.agents[which].environment = clock.environment();
        }
        network.start_agent(which);
    }
    network.wait_until("every machine is online", |network| online(network) == machines);
    (network, clock)
}

#[test]
fn all_are_back_and_the_next_deployment_goes_through_after_a_sleep_of_thirty_hours() {
    let (mut network, clock) = start(2, true);
    installs(&network, "1.0");
    // The server's timers have not moved, and the machines' connections are gone.
    clock.set("+30h");
    for which in 0..2 {
        network.kill_agent(which);
        network.start_agent(which);
    }
    network.wait_until("both machines are back", |network| {
        online(network) == 2 && (0..2).all(|which| network.try_ask(which).is_some_and(|status| status.heard.is_some()))
    });
    installs(&network, "1.1");
}

#[test]
fn a_server_that_was_ahead_is_named_and_leaves_nothing_behind() {
    let (mut network, clock) = start(1, false);
    network.kill_server();
    clock.set("+20d");
    network.start_server();
    network.wait_until("the machine names the clocks", |network| {
        let trouble = network.try_ask(0).and_then(|status| status.trouble);
        trouble.is_some_and(|trouble| trouble.reason == Reason::ClockWrong && trouble.detail.contains("20 days behind"))
    });
    let ahead = network.machines()[0].clock_ahead.expect("the machine said what its clock shows");
    assert!((-1_730_000..-1_720_000).contains(&ahead), "{ahead}");
    let doctor = network.command(&["doctor"]).output().expect("banyan can be run");
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && text.contains("clock-wrong"), "{text}");
    installs(&network, "1.0");

    network.kill_server();
    clock.set("+0");
    network.start_server();
    network.wait_until("the clocks agree again", |network| {
        network.try_ask(0).is_some_and(|status| status.heard.is_some() && status.trouble.is_none())
    });
    installs(&network, "1.1");
    let doctor = network.command(&["doctor"]).output().expect("banyan can be run");
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!text.contains("s ahead of") && !text.contains("clock-wrong"), "{text}");
}

#[test]
fn a_server_whose_clock_jumps_ahead_ends_no_deployment() {
    let (mut network, clock) = start(1, false);
    network.kill_agent(0);
    network.publish("hello", "1.0", 10_000, Behaviour::Works);
    let deployment = network.deploy("hello@1.0", "all", 1);
    let is_running = |network: &TestNetwork| network.status(&deployment).state == DeploymentState::Running;
    let says = |network: &TestNetwork, what: &str| {
        std::fs::read_to_string(network.path("server.log")).expect("the server has a log").contains(what)
    };

    clock.set("+50d");
    network.wait_until("the server notices the jump", |network| says(network, "50 days ahead of the time"));
    assert!(is_running(&network));
    network.kill_server();
    network.start_server();
    assert!(is_running(&network), "a restart does not end it either");
    let doctor = network.command(&["doctor"]).output().expect("banyan can be run");
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && text.contains("50 days ahead of the time that it remembers"), "{text}");

    clock.set("+0");
    network.wait_until("the server notices that its clock is right", |network| says(network, "is right again"));
    network.start_agent(0);
    network.wait_for_status(&deployment, "the release is installed", |status| {
        status.addressees.iter().all(|machine| machine.stage == Stage::Installed)
    });
}

#[test]
fn a_clock_that_an_administrator_accepts_ends_what_is_over() {
    let (mut network, clock) = start(1, false);
    network.kill_agent(0);
    network.publish("hello", "1.0", 10_000, Behaviour::Works);
    let deployment = network.deploy("hello@1.0", "all", 1);
    network.kill_server();
    // No machine is online whose clock could confirm this.
    clock.set("+50d");
    let data = network.path("server");
    let mut accept = network.command(&["server", "accept-clock", "--data", &data]);
    let output = accept.envs(clock.environment()).output().expect("banyan can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    network.start_server();
    network.wait_for_status(&deployment, "the deployment has ended", |status| {
        status.state == DeploymentState::Finished && status.addressees[0].reason == Some(Reason::OrderExpired)
    });
}

#[test]
fn a_machine_that_boots_with_a_dead_clock_says_so_and_joins_once_the_clock_is_set() {
    let mut network = TestNetwork::start(0);
    let clock = FakeClock::new(network.path("").as_ref());
    clock.set("-40y");
    let code = network.join_code(1);
    let which = network.place_machine(Some(code));
    network.agents[which].environment = clock.environment();
    network.start_agent(which);
    network.wait_until("the agent names its clock", |network| {
        let log = network.log_of(which);
        log.contains("clock-wrong") && log.contains("this machine's clock says 19")
    });
    clock.set("+0");
    network.wait_until("the machine has joined", |network| online(network) == 1);
}

#[test]
fn a_time_zone_that_changes_is_followed() {
    let mut network = TestNetwork::start(0);
    let file = network.path("localtime");
    let set = |zone: &str| {
        let fresh = format!("{file}.new");
        std::os::unix::fs::symlink(format!("/usr/share/zoneinfo/{zone}"), &fresh).expect("a link can be made");
        std::fs::rename(&fresh, &file).expect("the link can be replaced");
    };
    set("Etc/UTC");
    let code = network.join_code(1);
    let which = network.place_machine(Some(code));
    network.agents[which].environment = vec![("TZ".into(), format!(":{file}"))];
    network.start_agent(which);
    network.wait_until("the machine is online", |network| online(network) == 1);
    set("Asia/Tokyo");
    network.wait_until("the agent has noticed", |network| network.log_of(which).contains("time zone changed"));
}
