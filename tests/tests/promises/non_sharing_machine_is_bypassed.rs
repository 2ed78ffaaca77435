//! Verifies that a machine which may not share says so in its reply to the offer, and that the list bypasses it.
//! Switched off, over quota, paused or outside its hours, it shares nothing, and all others get the whole file.

use banyan_proto::{
    UnixSeconds,
    admin::{DeploymentState, Stage},
    local::{PauseFor, Request},
    schedule::{Gate, Week, Why, Window},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};

const BYTES: usize = 6_000_000;

fn forward(daily_upload: Option<u64>, forward: bool) -> Request {
    Request::SetLimits { download: None, upload: None, daily_upload, forward, free_disk: 0 }
}

#[test]
fn a_machine_that_may_not_share_is_bypassed_for_every_reason() {
    let network = TestNetwork::start(6);
    let mut week = Week::NEVER;
    // Three days away from today, in any time zone; 1970-01-01 was a Thursday.
    week.set(usize::try_from(UnixSeconds::now().0 / 86_400 + 3 + 3).expect("the day is in range"), 20, true);
    network.tell(0, &forward(None, false));
    network.tell(1, &forward(Some(0), true));
    network.tell(2, &Request::Pause { until: PauseFor::UntilResumed });
    network.tell(3, &Request::SetWindow { window: Window::Weekly(week), night: None });
    network.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    let receives = |label: &str| !["m2", "m3"].contains(&label);
    let status = network.wait_for_status(&deployment, "all that may receive have it", |status| {
        status.addressees.iter().all(|one| one.stage == Stage::Installed || !receives(&one.label))
    });
    for which in 0..4 {
        let passed_on: u64 = network.ask(which).orders.iter().map(|order| order.passed_on).sum();
        assert_eq!(passed_on, 0, "machine {which} must not share");
    }
    let log = (0..6).map(|which| network.log_of(which)).collect::<String>();
    assert!(status.server_sent > 0, "{log}");
    // Once it is allowed again, it gets the release, too.
    network.tell(2, &Request::Resume);
    network.tell(3, &Request::SetWindow { window: Window::Any, night: None });
    network.wait_for_status(&deployment, "all have it", |status| status.state == DeploymentState::Finished);
}

#[test]
fn a_quota_used_up_during_a_transfer_is_kept_and_others_receive_the_rest_elsewhere() {
    const QUOTA: u64 = 4_000_000;
    let mut network = TestNetwork::start(4);
    for which in 0..4 {
        network.tell(which, &forward(Some(QUOTA), true));
    }
    network.publish("hello", "1.0", 2 * BYTES, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "all have it", |status| status.state == DeploymentState::Finished);
    let given = |network: &TestNetwork, which: usize| network.snapshot(which).sharing.today.given;
    let most = (0..4).max_by_key(|which| given(&network, *which)).expect("four");
    let ended = network.snapshot(most);
    let Gate::Closed { because, .. } = ended.scheduling.verdict.forward else { panic!("{:?}", ended.sharing) };
    assert!(matches!(because, Why::QuotaUsed { quota: QUOTA, .. }), "{because:?}");
    for which in 0..4 {
        let content: u64 = network.ask(which).orders.iter().map(|order| order.passed_on).sum();
        let given = given(&network, which);
        assert!(content <= given && given <= QUOTA + QUOTA / 100, "{which}: {content} content, {given} in all");
    }
    // After a kill and restart, the quota is remembered.
    network.kill_agent(most);
    network.start_agent(most);
    network.wait_until("the agent is back", |network| network.try_ask(most).is_some());
    assert!(given(&network, most) + (300 << 10) > QUOTA, "{}", given(&network, most));
    let again = network.snapshot(most).scheduling.verdict.forward;
    assert!(matches!(again, Gate::Closed { because: Why::QuotaUsed { .. }, .. }), "{again:?}");
}
