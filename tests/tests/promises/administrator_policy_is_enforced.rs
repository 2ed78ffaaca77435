//! Verifies that a policy applies on every machine at once, together with the users' choices. The stricter of two
//! limits wins and its owner is named. Defaults apply where users chose nothing. Deadlines are announced and kept.

use banyan_proto::{
    Reason, UnixSeconds,
    admin::{DeploymentState, Stage},
    local::{PauseFor, Reply, Request},
    schedule::{By, Gate, Rate, Stage as Gated, Verdict, Week, Why, Window},
};
use banyan_tests::{TestNetwork, test_package::Behaviour};

/// Returns a week that is closed now and for at least a day, in any time zone.
fn closed_now() -> Window {
    let mut week = Week::NEVER;
    // Three days away from today. 1970-01-01 was a Thursday, which is day 3 when Monday is 0.
    week.set(usize::try_from(UnixSeconds::now().0 / 86_400 + 3 + 3).expect("the day is in range"), 20, true);
    Window::Weekly(week)
}
fn forward_rate(verdict: &Verdict) -> Option<Rate> {
    match verdict.forward {
        Gate::Open { limit } => limit.rate,
        Gate::Closed { .. } => None,
    }
}
fn hears(network: &TestNetwork, number: u64) {
    network.wait_until("every machine has the policy", |network| {
        (0..network.agents.len()).all(|which| network.snapshot(which).scheduling.policy.number == number)
    });
}

#[test]
fn the_stricter_limit_applies_and_defaults_reach_users_without_a_choice() {
    let mut network = TestNetwork::start(3);
    let chosen =
        |upload| Request::SetLimits { download: None, upload, daily_upload: None, forward: true, free_disk: 0 };
    network.tell(1, &chosen(Some(500_000)));
    network.tell(2, &chosen(Some(9_000_000)));
    let closed = closed_now();
    let policy = format!("upload = 2000000\n[defaults]\nwindow = \"{closed}\"\n[bounds]\npause = 0\nupload = 400000\n");
    network.set_policy(&policy, None);
    hears(&network, 1);
    let rate = |bytes_per_second, by| Some(Rate { bytes_per_second, by });
    assert_eq!(
        forward_rate(&network.snapshot(1).scheduling.verdict),
        rate(500_000, By::User),
        "the users' limit is stricter"
    );
    assert_eq!(forward_rate(&network.snapshot(2).scheduling.verdict), rate(2_000_000, By::Policy));
    // No user at m0 has chosen anything, so the administrator's defaults apply.
    let scheduling = network.snapshot(0).scheduling;
    assert_eq!((scheduling.choice.as_ref(), &scheduling.effective().window), (None, &closed));
    let by_policy = |gate: &Gate| matches!(gate, Gate::Closed { because: Why::Window { by: By::Policy, .. }, .. });
    assert!(by_policy(&scheduling.verdict.receive), "{:?}", scheduling.verdict.receive);
    // A choice outside the bounds is refused in the administrator's name, and nothing changes.
    let hello = Request::Hello { version: banyan_proto::local::LOCAL_VERSION };
    for out in [Request::Pause { until: PauseFor::UntilResumed }, chosen(Some(399_999))] {
        let replies = network.say(1, &[hello.clone(), out]);
        let refused = matches!(&replies[1], Reply::Error(error)
            if error.reason == Reason::NotAllowed && error.detail.contains("administrator"));
        assert!(refused, "{replies:?}");
    }
    assert_eq!(forward_rate(&network.snapshot(1).scheduling.verdict), rate(500_000, By::User));

    // The policy survives without a server and after `kill -9`.
    network.kill_server();
    network.kill_agent(0);
    network.start_agent(0);
    network.wait_until("the agent is back", |network| network.log_of(0).matches("ready").count() == 2);
    assert!(by_policy(&network.snapshot(0).scheduling.verdict.receive));
    network.start_server();

    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deployment = network.deploy("hello", "all", 2);
    network.wait_for_status(&deployment, "the others have it", |status| {
        status.addressees.iter().filter(|machine| machine.stage == Stage::Installed).count() == 2
    });
    network.wait_until("m0 knows the order", |network| !network.snapshot(0).updates.is_empty());
    let update = network.snapshot(0).updates.remove(0);
    assert!(update.progress.held == 0 && by_policy(&update.verdict.receive), "{update:?}");
    // Once removed, the policy stops applying at once.
    network.banyan(&["policy", "reset"]);
    network.wait_for_status(&deployment, "m0 has it", |status| status.state == DeploymentState::Finished);
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 1.0"));
    hears(&network, 2);
    assert_eq!(forward_rate(&network.snapshot(2).scheduling.verdict), rate(9_000_000, By::User));
}

#[test]
fn a_deadline_is_announced_and_kept_whatever_users_chose() {
    let network = TestNetwork::start(1);
    let closed = closed_now().to_string();
    network.publish("hello", "1.0", 300_000, Behaviour::Works);
    let deploy = |more: &[&str]| {
        let text = network.banyan(&[&["deploy", "hello", "--to", "all", "--json"][..], more].concat());
        let answer: serde_json::Value = serde_json::from_str(&text).expect("the output is valid JSON");
        answer["id"].as_str().expect("an id").to_owned()
    };
    let before = UnixSeconds::now().plus(20 * 3600);
    let deployment = deploy(&["--window", &closed, "--deadline", "20h"]);
    network.wait_until("the machine knows the order", |network| !network.snapshot(0).updates.is_empty());
    let update = network.snapshot(0).updates.remove(0);
    let deadline = update.install_deadline.expect("the update has a deadline");
    assert!((before.0..before.0 + 60).contains(&deadline.0), "{deadline} is not in 20 hours");
    assert_eq!(update.receive_deadline, Some(deadline));
    assert!(
        matches!(&update.verdict.receive, Gate::Closed { because: Why::Window { by: By::Order, .. }, until: Some(_) }),
        "{:?}",
        update.verdict
    );
    let announced = |stage| update.verdict.announce.iter().any(|one| one.stage == stage && one.at == deadline);
    assert!(announced(Gated::Receive), "{:?}", update.verdict);
    assert_eq!(update.progress.held, 0);

    // The user chose a closed week, too. The policy's deadline, a second after the order was signed, has already
    // passed.
    network.tell(0, &Request::SetWindow { window: closed_now(), night: None });
    network.tell(0, &Request::SetInstallWindow { window: closed_now() });
    network.set_policy("[deadline]\nreceive = 1\ninstall = 1\ngrace = 0\n", None);
    network
        .wait_for_status(&deployment, "the update was installed", |status| status.state == DeploymentState::Finished);
    assert_eq!(network.says(0, "hello").as_deref(), Some("hello 1.0"));
}
