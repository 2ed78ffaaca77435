//! Verifies that users are not disturbed: while the machine is in use nothing is transferred, the machine reports why,
//! and it resumes when they have gone. The same applies outside the night hours, on battery, in power-saver mode, on a
//! metered network, and during a full-screen program.

use crate::mock_system_bus::{Battery, HOME, Logind, Networks, PHONE, Profiles, SystemBus};
use banyan_proto::{
    UnixSeconds,
    admin::{DeploymentState, DeploymentStatus, Stage as Reached},
    local::{Happened, Overruled, Request, Update, UpdateState},
    schedule::{By, Gate, NetworkId, Night, Presence, Stage, Unquiet, Why, Window, Wish},
};
use banyan_tests::{TestNetwork, simulated_processor::SimulatedProcessor, test_package::Behaviour};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// How long the processor must be quiet (seconds).
const IDLE_AFTER: u64 = 3;
/// How soon after that the machine must notice: a check each second, the averaging, and the time to ask it.
const NOTICED: Duration = Duration::from_secs(12);
/// The limit for conditions that are reported at once: 2 s, and the time to ask the agent.
const AT_ONCE: Duration = Duration::from_secs(3);
const SMALL: usize = 300_000;

fn installed(status: &DeploymentStatus) -> usize {
    status.addressees.iter().filter(|machine| machine.stage == Reached::Installed).count()
}

/// Returns the update on the first machine.
fn update(network: &TestNetwork) -> Option<Update> {
    network.snapshot(0).updates.into_iter().find(|update| !update.state.is_over())
}

fn because(gate: &Gate) -> Option<&Why> {
    match gate {
        Gate::Closed { because, .. } => Some(because),
        Gate::Open { .. } => None,
    }
}

/// Starts a network of two machines: the first with the test's arguments, the second without restrictions.
fn network(arguments: &[&str], environment: &[(String, String)]) -> TestNetwork {
    let mut network = TestNetwork::start(2);
    network.agents[0].arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    network.agents[0].environment = environment.to_vec();
    network.restart_agent(0);
    network
}

/// Starts a network of two machines. The first transfers only when its simulated processor is idle.
fn when_idle() -> (TestNetwork, SimulatedProcessor) {
    let mut network = TestNetwork::start(2);
    let processor = SimulatedProcessor::start(Path::new(&network.path("m0.processor")));
    network.agents[0].processor = Some(processor.file().to_owned());
    network.agents[0].arguments = vec!["--idle-after".to_owned(), IDLE_AFTER.to_string()];
    network.restart_agent(0);
    network.tell(0, &Request::SetWindow { window: Window::Idle, night: None });
    (network, processor)
}

/// Waits for something that is noticed as it happens, not at the next check.
fn at_once(network: &TestNetwork, what: &str, holds: impl Fn(&TestNetwork) -> bool) {
    let since = Instant::now();
    network.wait_until(what, holds);
    let took = since.elapsed();
    assert!(took <= AT_ONCE, "{what}: only after {took:?}");
}

/// Deploys a release. Waits until the second machine has it and the first reports this reason for not receiving.
/// Verifies that the first has received nothing.
fn waits(network: &TestNetwork, version: &str, why: impl Fn(&Why) -> bool) -> String {
    network.publish("hello", version, SMALL, Behaviour::Works);
    let deployment = network.deploy(&format!("hello@{version}"), "all", 2);
    network.wait_for_status(&deployment, "the other has it", |status| installed(status) == 1);
    let holds = |network: &TestNetwork| {
        update(network).is_some_and(|update| because(&update.verdict.receive).is_some_and(&why))
    };
    network.wait_until("the machine reports why it is waiting", holds);
    let update = update(network).expect("the update is still there");
    assert_eq!((update.progress.held, network.says(0, "hello")), (0, None), "the machine received something");
    deployment
}

fn finishes(network: &TestNetwork, deployment: &str) -> usize {
    let over = |update: &Update| update.order.to_string() == deployment && update.state.is_over();
    network.wait_until("the update has ended on this machine", |network| network.snapshot(0).updates.iter().any(over));
    let finished = |status: &DeploymentStatus| status.state == DeploymentState::Finished;
    installed(&network.wait_for_status(deployment, "the deployment has finished", finished))
}

fn arrives(network: &TestNetwork, deployment: &str) {
    assert_eq!(finishes(network, deployment), 2, "both machines must have it");
}

#[test]
fn nothing_is_transferred_while_the_computer_is_in_use() {
    let (network, processor) = when_idle();
    processor.set_in_use(true);
    let busy = |why: &Why| matches!(why, Why::NotIdle { unquiet: Unquiet::Processor(percent), .. } if *percent >= 40);
    let deployment = waits(&network, "1.0", busy);
    let snapshot = network.snapshot(0);
    let load = &snapshot.scheduling.signals.load;
    assert!(load.at.is_some() && load.value.is_some_and(|load| !load.idle), "{load:?}");
    processor.set_in_use(false);
    let since = Instant::now();
    network.wait_until("the transfer makes progress", |network| {
        update(network).is_none_or(|update| update.progress.held > 0)
    });
    let took = since.elapsed();
    assert!(took <= Duration::from_secs(IDLE_AFTER) + NOTICED, "it took {took:?}");
    arrives(&network, &deployment);
}

#[test]
fn a_transfer_stops_when_the_user_returns_and_resumes_where_it_was() {
    const RATE: u64 = 1_000_000;
    // One chunk in transit in each of two stripes.
    const SLACK: u64 = 512 << 10;
    let (network, processor) = when_idle();
    let limits =
        |download| Request::SetLimits { download, upload: None, daily_upload: None, forward: true, free_disk: 0 };
    network.tell(0, &limits(Some(RATE)));
    network.publish("hello", "1.0", 30_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    let held = |network: &TestNetwork| update(network).map_or(0, |update| update.progress.held);
    network.wait_until("the machine is idle and has received something", |network| held(network) > 0);
    processor.set_in_use(true);
    let closed = |network: &TestNetwork| {
        update(network).is_some_and(|update| matches!(because(&update.verdict.receive), Some(Why::NotIdle { .. })))
    };
    at_once(&network, "transfers stop", closed);
    let (stopped_at, stood) =
        (held(&network), network.snapshot(0).scheduling.signals.load.at.expect("the load was measured"));
    // The machine keeps measuring, and nothing is transferred meanwhile.
    network.wait_until("the machine has measured three more times", |network| {
        network.snapshot(0).scheduling.signals.load.at.is_some_and(|at| at >= stood.plus(3))
    });
    let still = held(&network);
    assert!(still - stopped_at <= SLACK, "{stopped_at} bytes when it stopped, {still} bytes later");
    processor.set_in_use(false);
    network.tell(0, &limits(None));
    arrives(&network, &deployment);
    let (received, size) = (network.snapshot(0).sharing.today.received, network.status(&deployment).size);
    assert!(received >= size && received <= size + 2 * SLACK, "{received} bytes were received for a file of {size}");
}

#[test]
fn the_agents_own_work_does_not_count_as_use() {
    let (network, processor) = when_idle();
    let agent = network.service(0).expect("the agent is running").id();
    let stat = |field: usize| -> u64 {
        let text = fs::read_to_string(format!("/proc/{agent}/stat")).expect("the agent is running");
        text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(field)?.parse().ok()).expect("proc(5)")
    };
    // User and system time, in hundredths of a second.
    let ticks = || stat(11) + stat(12);
    assert!(stat(16) >= 10, "the agent does not run at low priority");
    processor.add_process(agent);
    let before = ticks();
    network.publish("hello", "1.0", 100_000_000, Behaviour::Works);
    let deployment = network.deploy("hello", "machine:m0", 2);
    assert_eq!(finishes(&network, &deployment), 1);
    let used = ticks() - before;
    assert!(used >= 5, "the agent has worked for only {used} hundredths of a second");
    let log = network.log_of(0);
    let stopped = log.lines().filter(|line| line.contains("receive=Err")).count();
    assert!(stopped <= 1, "the agent's own work counted as activity:\n{}", network.logs());
}

#[test]
fn at_night_begins_in_the_evening() {
    /// Seconds until the night begins: enough to deploy something before.
    const UNTIL_NIGHT: u64 = 25;
    let mut network = TestNetwork::start(2);
    network.publish("hello", "1.0", SMALL, Behaviour::Works);
    network.tell(0, &Request::SetWindow { window: Window::Night, night: Some(Night::default()) });
    // A time zone in which it is shortly before 22:00. POSIX time zones count westward.
    let begins = UnixSeconds::now().plus(UNTIL_NIGHT);
    let east = (22 * 3600 + 86_400 - begins.0 % 86_400) % 86_400;
    let zone = format!("XXX-{:02}:{:02}:{:02}", east / 3600, east / 60 % 60, east % 60);
    network.agents[0].environment = vec![("TZ".to_owned(), zone)];
    network.restart_agent(0);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_until("the machine knows the order", |network| update(network).is_some());
    let waiting = update(&network).expect("the update is still there");
    let expected = Gate::Closed { because: Why::Window { window: Window::Night, by: By::User }, until: Some(begins) };
    assert_eq!((waiting.progress.held, waiting.verdict.receive), (0, expected));
    arrives(&network, &deployment);
    let history = network.snapshot(0).history;
    let received = history.iter().find(|entry| entry.what == Happened::Received).expect("the update was received");
    assert!(received.at >= begins, "{} seconds before the night", begins.0 - received.at.0);
}

#[test]
fn a_metered_network_is_not_used_until_the_user_allows_this_one() {
    let bus = SystemBus::start();
    let networks = Networks::start(&bus);
    // The order comes as soon as the machine has started, whose services are slow then.
    networks.answer_after(Duration::from_millis(1500));
    let network = network(&[], &[bus.environment()]);
    let over = |id: &'static str| move |why: &Why| matches!(why, Why::Metered { network, may_overrule: true } if network.id.0 == id);
    let deployment = waits(&network, "1.0", over(PHONE));
    networks.answer_after(Duration::ZERO);
    let seen = network.snapshot(0).scheduling.signals.network;
    assert!(seen.value.is_some_and(|network| network.metered && network.name == "Phone") && seen.at.is_some());
    let id = NetworkId(PHONE.to_owned());
    network.tell(0, &Request::Overrule { signal: Overruled::Metered(id), on: true });
    arrives(&network, &deployment);
    assert!(network.snapshot(0).scheduling.signals.network.overruled);

    // Choosing to ignore one network does not apply to another network of the same name.
    networks.at_home();
    at_once(&network, "the machine has noticed the other network", |network| {
        network.snapshot(0).scheduling.signals.network.value.is_some_and(|network| network.id.0 == HOME)
    });
    assert!(!network.snapshot(0).scheduling.signals.network.overruled);
    network.publish("hello", "2.0", SMALL, Behaviour::Works);
    let deployment = network.deploy("hello@2.0", "all", 2);
    network.wait_until("the machine reports why it is waiting", |network| {
        update(network).is_some_and(|update| because(&update.verdict.receive).is_some_and(over(HOME)))
    });
    networks.set_metered(4);
    at_once(&network, "the machine has noticed that this network is not metered", |network| {
        network.snapshot(0).scheduling.signals.network.value.is_some_and(|network| !network.metered)
    });
    arrives(&network, &deployment);
    // Without the service, nothing is known about the network.
    drop(networks);
    at_once(&network, "the machine has noticed that the service is gone", |network| {
        network.snapshot(0).scheduling.signals.network.value.is_none()
    });
}

#[test]
fn nothing_is_transferred_on_battery_or_in_power_saver_mode() {
    let bus = SystemBus::start();
    let battery = Battery::start(&bus, 25.0);
    let network = network(&[], &[bus.environment()]);
    let low = |why: &Why| matches!(why, Why::Battery { charge: Some(25), least: Some(40), .. });
    let deployment = waits(&network, "1.0", low);
    // First power-saver mode starts, then mains power returns: now only the profile is in the way.
    let profiles = Profiles::start(&bus, "power-saver");
    let power = |network: &TestNetwork| network.snapshot(0).scheduling.signals.power.value;
    at_once(&network, "the machine has noticed the profile", |network| power(network).is_some_and(|power| power.saver));
    battery.set(false);
    at_once(&network, "the machine has noticed the mains power", |network| {
        power(network).is_some_and(|power| !power.battery)
    });
    let waiting = update(&network).expect("the update is waiting");
    assert!(matches!(because(&waiting.verdict.receive), Some(Why::PowerSaver { .. })), "{waiting:?}");
    assert_eq!(update(&network).expect("the update is waiting").progress.held, 0);
    profiles.set("balanced");
    arrives(&network, &deployment);
}

#[test]
fn a_present_user_keeps_the_machine_from_being_idle() {
    let bus = SystemBus::start();
    let logind = Logind::start(&bus);
    let network = network(&[], &[bus.environment()]);
    network.tell(0, &Request::SetWindow { window: Window::Idle, night: None });
    // Only the user's presence counts here, not the other work of this computer.
    network.tell(0, &Request::Overrule { signal: Overruled::Processor, on: true });
    let deployment = waits(&network, "1.0", |why| matches!(why, Why::NotIdle { unquiet: Unquiet::Person, .. }));
    assert_eq!(network.snapshot(0).scheduling.signals.presence.value, Some(Presence::Here));
    logind.lock();
    at_once(&network, "the machine has noticed that the user has gone", |network| {
        network.snapshot(0).scheduling.signals.presence.value == Some(Presence::Away)
    });
    arrives(&network, &deployment);
}

/// Waits until the first machine holds the whole release, and returns the update.
fn ready(network: &TestNetwork) -> Update {
    network.wait_until("the release has arrived", |network| {
        update(network).is_some_and(|update| update.state == UpdateState::Ready)
    });
    update(network).expect("the update is still there")
}

#[test]
fn nothing_is_installed_during_a_full_screen_program() {
    let network = TestNetwork::start(2);
    let film = network.keep_saying(0, &Request::Report { full_screen: Some(true) });
    network.publish("hello", "1.0", SMALL, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the other has it", |status| installed(status) == 1);
    let waiting = ready(&network);
    assert!(matches!(because(&waiting.verdict.install), Some(Why::FullScreen { may_overrule: true })), "{waiting:?}");
    assert_eq!(
        (network.snapshot(0).scheduling.signals.full_screen.value, network.says(0, "hello")),
        (Some(true), None)
    );
    // The program that reported the film has ended, so its report no longer applies.
    drop(film);
    arrives(&network, &deployment);
    assert_eq!(network.snapshot(0).scheduling.signals.full_screen.value, None);
}

#[test]
fn an_install_runs_at_low_priority_unless_a_user_waits_for_it() {
    assert!(nix::unistd::geteuid().is_root(), "only root can raise its priority again");
    let network = TestNetwork::start(1);
    let _film = network.keep_saying(0, &Request::Report { full_screen: Some(true) });
    let deploy = |version: &str| {
        network.publish("hello", version, SMALL, Behaviour::TellsItsPriority);
        (network.deploy(&format!("hello@{version}"), "all", 2), ready(&network).order)
    };
    let priority = || {
        let written = network.agents[0].root.join("opt/banyan/packages/hello/current/share/priority");
        fs::read_to_string(written).expect("the probe has written the file").trim().to_owned()
    };
    let (deployment, order) = deploy("1.0");
    network.tell(0, &Request::Wish { order, stage: Stage::Install, wish: Wish::Now });
    finishes(&network, &deployment);
    assert_eq!(priority(), "0", "the install must run at normal priority while a user waits");
    let (deployment, _) = deploy("2.0");
    network.tell(0, &Request::Overrule { signal: Overruled::FullScreen, on: true });
    finishes(&network, &deployment);
    assert_eq!(priority(), "10");
}
