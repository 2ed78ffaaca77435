//! Verifies that a machine which may not share says so in its reply to the offer, and that the list bypasses it.
//! Switched off, over quota, paused or outside its hours, it shares nothing, and all others get the whole file.

use banyan_proto::{
    UnixSeconds,
    admin::{DeploymentState, Stage},
    local::{PauseFor, Request},
    schedule::{Gate, Week, Why, Window},
};
use banyan_tests::{World, test_package::Behaviour};

const BYTES: usize = 6_000_000;

fn forward(daily_upload: Option<u64>, forward: bool) -> Request {
    Request::SetLimits { download: None, upload: None, daily_upload, forward, free_disk: 0 }
}

#[test]
fn whatever_keeps_it_from_passing_on() {
    let world = World::start(6);
    let mut week = Week::NEVER;
    // Three days away from today, in any time zone; 1970-01-01 was a Thursday.
    week.set(usize::try_from(UnixSeconds::now().0 / 86_400 + 3 + 3).expect("the day is in range"), 20, true);
    world.tell(0, &forward(None, false));
    world.tell(1, &forward(Some(0), true));
    world.tell(2, &Request::Pause { until: PauseFor::UntilResumed });
    world.tell(3, &Request::SetWindow { window: Window::Weekly(week), night: None });
    world.publish("hello", "1.0", BYTES, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    let receives = |label: &str| !["m2", "m3"].contains(&label);
    let status = world.wait_for_status(&deployment, "all that may receive have it", |status| {
        status.addressees.iter().all(|one| one.stage == Stage::Installed || !receives(&one.label))
    });
    for which in 0..4 {
        let passed_on: u64 = world.ask(which).orders.iter().map(|order| order.passed_on).sum();
        assert_eq!(passed_on, 0, "machine {which} must not share");
    }
    let log = (0..6).map(|which| world.log_of(which)).collect::<String>();
    assert!(status.server_sent > 0, "{log}");
    // Once it is allowed again, it gets the release, too.
    world.tell(2, &Request::Resume);
    world.tell(3, &Request::SetWindow { window: Window::Any, night: None });
    world.wait_for_status(&deployment, "all have it", |status| status.state == DeploymentState::Finished);
}

#[test]
fn a_quota_that_ends_in_the_middle_is_kept_and_the_others_get_the_rest_elsewhere() {
    const QUOTA: u64 = 4_000_000;
    let mut world = World::start(4);
    for which in 0..4 {
        world.tell(which, &forward(Some(QUOTA), true));
    }
    world.publish("hello", "1.0", 2 * BYTES, Behaviour::Works);
    let deployment = world.deploy("hello", "all", 2);
    world.wait_for_status(&deployment, "all have it", |status| status.state == DeploymentState::Finished);
    let given = |world: &World, which: usize| world.snapshot(which).sharing.today.given;
    let most = (0..4).max_by_key(|which| given(&world, *which)).expect("four");
    let ended = world.snapshot(most);
    let Gate::Closed { because, .. } = ended.scheduling.verdict.forward else { panic!("{:?}", ended.sharing) };
    assert!(matches!(because, Why::QuotaUsed { quota: QUOTA, .. }), "{because:?}");
    for which in 0..4 {
        let content: u64 = world.ask(which).orders.iter().map(|order| order.passed_on).sum();
        let given = given(&world, which);
        assert!(content <= given && given <= QUOTA + QUOTA / 100, "{which}: {content} content, {given} in all");
    }
    // After a kill and restart, the quota is remembered.
    world.kill_agent(most);
    world.start_agent(most);
    world.wait_until("the agent is back", |world| world.try_ask(most).is_some());
    assert!(given(&world, most) + (300 << 10) > QUOTA, "{}", given(&world, most));
    let again = world.snapshot(most).scheduling.verdict.forward;
    assert!(matches!(again, Gate::Closed { because: Why::QuotaUsed { .. }, .. }), "{again:?}");
}
