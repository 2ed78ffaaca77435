//! Verifies that users' choices are followed: a paused machine receives nothing while the others do, speeds stay below
//! limits, and a choice survives `kill -9`.

use banyan_proto::{
    UnixSeconds,
    admin::{DeploymentState, DeploymentStatus, Stage},
    local::{PauseFor, Request},
    schedule::{Week, Why, Window},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};
use std::time::Instant;

const BYTES: usize = 24_000_000;

fn limits(download: Option<u64>, upload: Option<u64>) -> Request {
    Request::SetLimits { download, upload, daily_upload: None, forward: true, free_disk: 0 }
}

fn installed(status: &DeploymentStatus) -> usize {
    status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count()
}

fn held(network: &TestNetwork, which: usize) -> u64 {
    network.snapshot(which).updates.first().map_or(0, |update| update.progress.held)
}

#[test]
fn a_paused_transfer_stops_and_resumes_where_it_was() {
    let network = TestNetwork::start(4);
    const RATE: u64 = 2_000_000;
    network.tell(1, &limits(Some(RATE), None));
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_until("something has arrived", |network| held(network, 1) > 0);
    network.tell(1, &Request::Pause { until: PauseFor::UntilResumed });
    let at_pause = held(&network, 1);
    let status = network.wait_for_status(&deployment, "the others have it", |status| installed(status) == 3);
    let since = held(&network, 1);
    assert!(since < status.size && since - at_pause <= 2 * RATE, "{at_pause} bytes at the pause, {since} bytes later");
    let update = network.snapshot(1).updates.remove(0);
    assert!(matches!(
        update.verdict.receive,
        banyan_proto::schedule::Gate::Closed { because: Why::Paused { .. }, until: None }
    ));
    network.tell(1, &limits(None, None));
    network.tell(1, &Request::Resume);
    let status =
        network.wait_for_status(&deployment, "all have it", |status| status.state == DeploymentState::Finished);
    assert_eq!(installed(&status), 4, "{status:#?}");
    let sent: u64 = (0..4).map(|which| network.ask(which).orders[0].passed_on).sum::<u64>() + status.server_sent;
    assert!(sent <= 4 * status.size + status.size / 3, "{sent} bytes were sent for 4 times {}", status.size);
    let today = network.snapshot(1).sharing.today;
    assert!(today.received >= status.size, "the usage history is wrong: {today:?}");
}

#[test]
fn a_choice_survives_kill_9_and_the_machine_waits_for_its_window() {
    let mut network = TestNetwork::start(3);
    let mut week = Week::NEVER;
    // Three days away from today, in any time zone. 1970-01-01 was a Thursday, which is day 3 when Monday is 0.
    week.set(usize::try_from(UnixSeconds::now().0 / 86_400 + 3 + 3).expect("the day is in range"), 20, true);
    let window = Request::SetWindow { window: Window::Weekly(week), night: None };
    network.tell(2, &window);
    network.kill_agent(2);
    network.start_agent(2);
    network.wait_until("the agent is back", |network| network.log_of(2).matches("ready").count() == 2);
    let choice = network.snapshot(2).scheduling.choice.expect("the choice is stored");
    assert_eq!(choice.window, Window::Weekly(week));
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the others have it", |status| installed(status) == 2);
    network.wait_until("the machine knows the order", |network| !network.snapshot(2).updates.is_empty());
    let update = network.snapshot(2).updates.remove(0);
    assert_eq!(update.progress.held, 0);
    assert!(matches!(
        update.verdict.receive,
        banyan_proto::schedule::Gate::Closed { because: Why::Window { .. }, until: Some(_) }
    ));
    assert_eq!((update.package.as_str(), update.version.as_str()), ("hello", "1.0"));
    // The user asks for this update now.
    let wish = banyan_proto::schedule::Wish::Now;
    network.tell(2, &Request::Wish { order: update.order, stage: banyan_proto::schedule::Stage::Receive, wish });
    network.wait_for_status(&deployment, "the machine has it", |status| status.state == DeploymentState::Finished);
    assert_eq!(network.says(2, "hello").as_deref(), Some("hello 1.0"));
}

#[test]
fn speeds_stay_below_the_limits() {
    let network = TestNetwork::start(4);
    const RATE: u64 = 1_000_000;
    // Allowed excess over the rate: a chunk on each stream, and accumulated allowance.
    const SLACK: u64 = 1_500_000;
    for which in 0..4 {
        network.tell(which, &limits(Some(2 * RATE), Some(RATE)));
    }
    network.publish("hello", "1.0", 8_000_000, Behaviour::Works);
    let begun = Instant::now();
    let deployment = network.deploy("hello", "all", 2);
    let status =
        network.wait_for_status(&deployment, "all have it", |status| status.state == DeploymentState::Finished);
    let took = begun.elapsed();
    let allowed = |rate: u64| rate * (u64::try_from(took.as_millis()).expect("short") + 500) / 1000 + SLACK;
    assert!(status.size <= allowed(2 * RATE), "{} bytes were received in {took:?}", status.size);
    for which in 0..4 {
        let passed_on = network.ask(which).orders[0].passed_on;
        assert!(passed_on <= allowed(RATE), "machine {which} shared {passed_on} bytes in {took:?}");
    }
}
