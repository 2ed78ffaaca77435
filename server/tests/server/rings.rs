//! Tests of deployments with rings: who may install when, what halts them, who joins later, and what administrators can
//! do about it.

use crate::{
    permit_queue::{ask, check_in, installed, online},
    receipts::{CONTENT, authenticate},
    world::{Agent, PATIENCE, Refused, World, assert_refused},
};
use banyan_proto::{
    DeploymentId, OrderId, Reason, ServerCopies,
    admin::{
        Deploy, Deployed, DeploymentState, DeploymentStatus, MachinesLeft, MissingProof, Promoted, Retried,
        RingVerdict, Selection, Stage, Totals,
    },
    api::{Event, Help},
    assignments::DeleteAssigned,
    order::{Spread, Window},
    rollout::{Gates, Rollout},
};
use hyper::StatusCode;
use std::time::{Duration, Instant};

/// Rings without a soak time.
fn rings(text: &str) -> Rollout {
    let gates = Gates { soak_seconds: Some(0), ..Gates::default() };
    Rollout { rings: text.split(',').map(|size| size.parse().unwrap()).collect(), gates, ..Rollout::default() }
}

impl World {
    async fn try_roll_out(&self, to: Selection, rollout: Rollout) -> Result<DeploymentId, Refused> {
        let request = Deploy {
            package: "hello".into(),
            version: None,
            to,
            stripes: 1,
            spread: Spread::CutThrough,
            window: Window::Any,
            deadline: None,
            allow: vec![],
            include_protected: false,
            server_copies: ServerCopies::ONE,
            rollout,
        };
        Ok(self.admin().await.post::<Deployed>("/api/v1/deployments", &request).await?.id)
    }
    async fn control(&self, id: DeploymentId, what: &str) -> Result<MachinesLeft, Refused> {
        self.admin().await.post(&format!("/api/v1/deployments/{id}/{what}"), &()).await
    }
    /// Waits until the deployment's status is as wanted.
    async fn wait_for(&self, id: DeploymentId, wanted: impl Fn(&DeploymentStatus) -> bool) -> DeploymentStatus {
        let begun = Instant::now();
        loop {
            let status = self.status(id.first_order()).await;
            if wanted(&status) {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "{status:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Returns the agents by ring, and how each ring's gate is.
fn by_ring<'a>(status: &DeploymentStatus, agents: &'a [Agent]) -> Vec<Vec<&'a Agent>> {
    let of_ring = |ring: u32| {
        let machines = status.addressees.iter().filter(|machine| machine.ring == ring);
        machines.map(|machine| agents.iter().find(|agent| agent.id == machine.id).unwrap()).collect()
    };
    status.rings.iter().map(|ring| of_ring(ring.ring)).collect()
}

async fn fails(agent: &Agent, order: OrderId, reason: Reason) {
    agent.report(1, order, Event::Failed { reason, detail: "exit 1".into(), restored: true }).await;
}

/// Publishes a release and rolls it out to this many machines, which all have the content.
async fn roll_out(machines: usize, rollout: Rollout) -> (World, Vec<Agent>, DeploymentId) {
    let mut world = World::new().await;
    let mut agents = Vec::new();
    for number in 0..machines {
        agents.push(world.agent(&format!("m{number}")).await);
    }
    world.publish("hello", 1, &[("any", CONTENT)]).await;
    let id = world.try_roll_out(Selection::All, rollout).await.unwrap();
    for agent in &agents {
        authenticate(agent, id.first_order()).await;
    }
    (world, agents, id)
}

#[tokio::test]
async fn each_ring_installs_when_the_one_before_has_passed_and_its_machines_are_told() {
    let (world, agents, id) = roll_out(4, rings("1,50%,all")).await;
    let order = id.first_order();
    let status = world.status(order).await;
    let by_ring = by_ring(&status, &agents);
    assert_eq!(by_ring.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2]);
    let verdicts: Vec<_> = status.rings.iter().map(|ring| ring.verdict).collect();
    assert!(matches!(verdicts[0], RingVerdict::Undecided(MissingProof { reports: 1, .. })), "{verdicts:?}");
    assert_eq!(verdicts[1..], [RingVerdict::Waits, RingVerdict::Waits]);

    let [first, second, third, fourth] = [by_ring[0][0], by_ring[1][0], by_ring[2][0], by_ring[2][1]];
    assert_eq!(ask(first, order).await, Ok(()));
    for later in [second, third, fourth] {
        assert_eq!(ask(later, order).await, Err(Reason::WaitsForRing));
    }
    let mut sessions = [online(second, order).await, online(third, order).await];
    let [of_second, of_third] = &mut sessions;
    let (invited, others, ()) = tokio::join!(
        check_in(second, of_second, order, 60),
        check_in(third, of_third, order, 2),
        installed(first, order)
    );
    assert_eq!((invited, others), (vec![order], vec![]));
    assert_eq!(ask(second, order).await, Ok(()));
    assert_eq!(ask(third, order).await, Err(Reason::WaitsForRing));
    assert_eq!(world.status(order).await.rings[0].verdict, RingVerdict::Passed);

    installed(second, order).await;
    assert_eq!(check_in(third, of_third, order, 60).await, [order]);
    for last in [third, fourth] {
        assert_eq!(ask(last, order).await, Ok(()));
        installed(last, order).await;
    }
    let status = world.status(order).await;
    assert_eq!(status.state, DeploymentState::Finished);
    assert!(status.rings.iter().all(|ring| ring.verdict == RingVerdict::Passed), "{:?}", status.rings);
    assert_eq!(status.totals, Totals { done: 4, ..Totals::default() });
}

#[tokio::test]
async fn a_failing_first_machine_halts_the_deployment_also_over_a_restart_until_it_is_resumed() {
    let (mut world, agents, id) = roll_out(4, rings("1,all")).await;
    let order = id.first_order();
    let status = world.status(order).await;
    let by_ring = by_ring(&status, &agents);
    let (first, later) = (by_ring[0][0], by_ring[1][0]);
    assert_eq!(ask(first, order).await, Ok(()));
    fails(first, order, Reason::ProbeFailed).await;
    for _ in 0..2 {
        let status = world.status(order).await;
        assert_eq!(status.state, DeploymentState::Halted);
        let halt = status.halt.unwrap();
        assert_eq!((halt.ring, halt.failed, halt.of, halt.reason), (Some(1), 1, 1, Some(Reason::ProbeFailed)));
        assert_eq!(halt.machines, [first.id]);
        let name = &status.addressees.iter().find(|machine| machine.id == first.id).unwrap().label;
        assert!(halt.detail.contains("ring 1 of 2") && halt.detail.contains(name.as_str()), "{}", halt.detail);
        assert_eq!(status.rings[0].verdict, RingVerdict::Failed);
        assert_eq!(ask(later, order).await, Err(Reason::FailedElsewhere));
        world.restart().await;
    }

    // Whoever resumes it accepts the failure. But nothing is proved by that, so the next ring needs a decision, too.
    let left = world.control(id, "resume").await.unwrap();
    assert_eq!((left.installed, left.waiting), (0, 3));
    let is_blocked = |verdict| matches!(verdict, RingVerdict::Undecided(missing) if missing.nobody_left);
    world.wait_for(id, |status| is_blocked(status.rings[0].verdict)).await;
    assert_eq!(ask(later, order).await, Err(Reason::WaitsForRing));
    let promote = format!("/api/v1/deployments/{id}/promote");
    assert_eq!(world.admin().await.post::<Promoted>(&promote, &()).await.unwrap().ring, 2);
    assert_eq!(ask(later, order).await, Ok(()));
    // Another failure halts it again: a third of the second ring is more than 5 %.
    fails(later, order, Reason::ProbeFailed).await;
    assert_eq!(world.status(order).await.halt.unwrap().ring, Some(2));
}

#[tokio::test]
async fn failed_machines_try_again_in_the_same_deployment_and_are_counted_once() {
    let (world, agents, id) = roll_out(3, rings("1,all")).await;
    let order = id.first_order();
    let status = world.status(order).await;
    let first = by_ring(&status, &agents)[0][0];
    fails(first, order, Reason::ProbeFailed).await;
    let again: Retried = world.admin().await.post(&format!("/api/v1/deployments/{id}/retry"), &()).await.unwrap();
    assert_eq!((again.machines, again.repaired.len()), (1, 0));
    let second = again.orders[0];
    assert!(again.is_halted);
    let help = first.session().await.get::<Help>(&format!("/v1/orders/{second}/help")).await;
    assert_refused(help, StatusCode::CONFLICT, Reason::Halted);
    world.control(id, "resume").await.unwrap();
    authenticate(first, second).await;
    assert_eq!(ask(first, second).await, Ok(()));
    first.report(2, second, Event::Installed { already: false, milliseconds: 1, remark: None }).await;
    let status = world.wait_for(id, |status| status.rings[0].verdict == RingVerdict::Passed).await;
    assert_eq!(status.rings[0].totals, Totals { done: 1, ..Totals::default() });
    let machine = status.addressees.iter().find(|machine| machine.id == first.id).unwrap();
    assert_eq!((machine.ring, machine.stage, machine.attempts.len()), (1, Stage::Installed, 1));
}

#[tokio::test]
async fn a_gate_without_proof_holds_until_an_administrator_opens_the_next_ring() {
    let (world, agents, id) = roll_out(3, rings("1,all")).await;
    let order = id.first_order();
    let status = world.status(order).await;
    let by_ring = by_ring(&status, &agents);
    let (first, later) = (by_ring[0][0], by_ring[1][0]);
    // The machine had the release before, so its success proves nothing.
    first.report(1, order, Event::Installed { already: true, milliseconds: 1, remark: None }).await;
    let status = world.status(order).await;
    assert!(matches!(status.rings[0].verdict, RingVerdict::Undecided(MissingProof { reports: 1, .. })));
    assert_eq!(ask(later, order).await, Err(Reason::WaitsForRing));
    let promote = format!("/api/v1/deployments/{id}/promote");
    assert_eq!(world.admin().await.post::<Promoted>(&promote, &()).await.unwrap().ring, 2);
    assert_eq!(ask(later, order).await, Ok(()));
    let refused = world.admin().await.post::<Promoted>(&promote, &()).await;
    assert_refused(refused, StatusCode::CONFLICT, Reason::BadRequest);
}

#[tokio::test]
async fn halting_and_cancelling_say_who_stopped_who_finishes_and_who_has_it() {
    let (world, agents, id) = roll_out(4, rings("2,all")).await;
    let order = id.first_order();
    let status = world.status(order).await;
    let by_ring = by_ring(&status, &agents);
    let (done, installing, waiting) = (by_ring[0][0], by_ring[0][1], by_ring[1][0]);
    installed(done, order).await;
    assert_eq!(ask(installing, order).await, Ok(()));
    let expected = MachinesLeft { installed: 1, finishing: 1, waiting: 2 };
    assert_eq!(world.control(id, "halt").await.unwrap(), expected);
    assert_eq!(ask(waiting, order).await, Err(Reason::Halted));
    assert_eq!(world.control(id, "cancel").await.unwrap(), expected);
    assert_eq!(ask(waiting, order).await, Err(Reason::Cancelled));
    installed(installing, order).await;
    let status = world.status(order).await;
    assert_eq!(status.state, DeploymentState::Cancelled);
    assert_eq!(status.totals, Totals { done: 2, excluded: 2, ..Totals::default() });
    assert_refused(world.control(id, "resume").await, StatusCode::CONFLICT, Reason::BadRequest);
    assert_refused(world.control(id, "halt").await, StatusCode::CONFLICT, Reason::BadRequest);
}

#[tokio::test]
async fn machines_that_are_selected_later_join_in_the_last_ring_unless_the_membership_is_fixed() {
    let (mut world, _agents, live) = roll_out(2, rings("1,all")).await;
    world.publish("other", 2, &[("any", &[3; 20_000])]).await;
    let fixed = Deploy {
        package: "other".into(),
        version: None,
        to: Selection::All,
        stripes: 1,
        spread: Spread::CutThrough,
        window: Window::Any,
        deadline: None,
        allow: vec![],
        include_protected: false,
        server_copies: ServerCopies::ONE,
        rollout: Rollout { fixed: true, ..Rollout::default() },
    };
    let fixed = world.admin().await.post::<Deployed>("/api/v1/deployments", &fixed).await.unwrap().id;
    assert!(world.status(live.first_order()).await.takes_newcomers);
    assert!(!world.status(fixed.first_order()).await.takes_newcomers);

    let late = world.agent("late").await;
    let other = world.agent("other").await;
    let status = world.wait_for(live, |status| status.addressees.len() == 4).await;
    let of = |id| status.addressees.iter().find(|machine| machine.id == id).unwrap();
    assert_eq!((of(late.id).ring, of(other.id).ring), (2, 2));
    let order = of(late.id).order.unwrap();
    assert_ne!(order, live.first_order());
    authenticate(&late, order).await;
    assert_eq!(ask(&late, order).await, Err(Reason::WaitsForRing));
    assert_eq!(world.status(fixed.first_order()).await.addressees.len(), 2);

    // A newer deployment to the same machines takes the newcomers over.
    world.publish("hello", 3, &[("any", &[4; 20_000])]).await;
    let newer = world.try_roll_out(Selection::All, Rollout::default()).await.unwrap();
    let older = world.status(live.first_order()).await;
    assert!(!older.takes_newcomers && older.state == DeploymentState::Superseded, "{older:#?}");
    world.agent("latest").await;
    world.wait_for(newer, |status| status.addressees.len() == 5).await;
    assert_eq!(world.status(live.first_order()).await.addressees.len(), 4);
}

#[tokio::test]
async fn a_group_or_tag_by_which_machines_join_a_deployment_is_not_deleted() {
    let mut world = World::new().await;
    world.agent("a").await;
    world.publish("hello", 1, &[("any", CONTENT)]).await;
    world.publish("other", 2, &[("any", CONTENT)]).await;
    let by_group = world.deploy("hello", Selection::Group("office".into()), 1).await;
    let by_filter = world.deploy("other", Selection::Filter("group = OFFICE and not tag:exam".into()), 1).await;
    let delete = async |kind: &str, name: &str, expect| {
        let request = DeleteAssigned { name: name.into(), expect };
        world.admin().await.post::<()>(&format!("/api/v1/{kind}/delete"), &request).await
    };
    let refused = delete("groups", "Office", 1).await.unwrap_err().1.detail;
    assert!([by_group, by_filter].iter().all(|id| refused.contains(&id.short())), "{refused}");
    assert_refused(delete("tags", "EXAM", 0).await, StatusCode::CONFLICT, Reason::BadRequest);
    for order in [by_group, by_filter] {
        world.control(DeploymentId::of_first_order(order), "cancel").await.unwrap();
    }
    delete("groups", "office", 1).await.unwrap();
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let mut world = World::new().await;
    world.agent("a").await;
    world.publish("hello", 1, &[("any", CONTENT)]).await;
    let with = |gates| Rollout { gates, ..rings("1,all") };
    for wrong in [
        rings("1,5"),
        rings("all,all"),
        Rollout { gates: Gates { soak_seconds: Some(9), ..Gates::default() }, ..Rollout::default() },
        with(Gates { min_reports: Some(5), ..Gates::default() }),
        with(Gates { success_percent: Some(0), ..Gates::default() }),
    ] {
        let refused = world.try_roll_out(Selection::All, wrong).await;
        assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
    }
}
