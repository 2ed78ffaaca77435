//! Tests of policies: signed, delivered at once, and kept over a restart. Manual installs are ordered only as far as
//! the policy allows.

use crate::{
    publisher::manifest,
    world::{Agent, PATIENCE, World, assert_refused},
};
use banyan_proto::{
    Digest, Reason, Signed,
    admin::{DeploymentState, GroupPolicy, Selection, SetPolicy},
    api::{CheckIn, CheckInReply, Help, PackageRequest},
    schedule::{ByHand, Policy, Who},
};
use hyper::StatusCode;
use tokio::time::timeout;

async fn set(world: &World, group: Option<&str>, policy: Option<Policy>) {
    let asked = SetPolicy { group: group.map(str::to_owned), policy, rank: None };
    world.admin().await.post::<()>("/api/v1/policies", &asked).await.unwrap();
}
fn check_in_with_policy(agent: &Agent, policy: Option<u64>, wait_seconds: u32) -> CheckIn {
    CheckIn { policy, ..agent.check_in(vec![], u64::MAX, wait_seconds) }
}
async fn newer_policy(agent: &Agent, known: Option<u64>) -> Option<Signed<Policy>> {
    let reply: CheckInReply =
        agent.session().await.post("/v1/check-in", &check_in_with_policy(agent, known, 0)).await.unwrap();
    reply.policy
}

#[tokio::test]
async fn a_policy_reaches_machines_signed_at_once_and_outlives_a_restart() {
    let mut world = World::new().await;
    let agent = world.agent("a").await; // in the group `office`
    assert!(newer_policy(&agent, Some(0)).await.is_none(), "no policy was set");
    let mut session = agent.session().await;
    let waiting = check_in_with_policy(&agent, Some(0), 60);
    let poll = tokio::spawn(async move { session.post::<CheckInReply>("/v1/check-in", &waiting).await });
    set(&world, Some("office"), Some(Policy { upload: Some(7), number: 99, ..Policy::default() })).await;
    let reply = timeout(PATIENCE, poll).await.expect("the poll was not answered at once").unwrap().unwrap();
    let policy = reply.policy.expect("the reply must contain a policy").verify(&agent.keys).unwrap();
    assert_eq!((policy.upload, policy.number), (Some(7), 1), "the server assigns the number");
    assert!(newer_policy(&agent, Some(1)).await.is_none(), "a policy is delivered once");
    assert!(newer_policy(&agent, None).await.is_none(), "an older agent must not receive it");
    set(&world, None, Some(Policy { upload: Some(5), ..Policy::default() })).await;
    world.restart().await;
    let of_group = newer_policy(&agent, Some(0)).await.unwrap().verify(&agent.keys).unwrap();
    assert_eq!((of_group.upload, of_group.number), (Some(7), 2));
    set(&world, Some("office"), None).await;
    let of_all = newer_policy(&agent, Some(2)).await.unwrap().verify(&agent.keys).unwrap();
    assert_eq!((of_all.upload, of_all.number), (Some(5), 3));
    let shown: Vec<GroupPolicy> = world.admin().await.get("/api/v1/policies").await.unwrap();
    let shown: Vec<_> = shown.iter().map(|one| (one.group.as_deref(), one.own, one.policy.upload)).collect();
    assert_eq!(shown, [(None, true, Some(5)), (Some("office"), false, Some(5))]);
}

#[tokio::test]
async fn an_invalid_policy_is_refused_and_strangers_set_none() {
    let world = World::new().await;
    let mut policy = Policy::default();
    policy.bounds.windows.clear();
    let asked = SetPolicy { group: None, policy: Some(policy), rank: None };
    let refused = world.admin().await.post::<()>("/api/v1/policies", &asked).await;
    assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
    let asked = SetPolicy { group: None, policy: Some(Policy::default()), rank: None };
    let refused = world.agent("a").await.session().await.post::<()>("/api/v1/policies", &asked).await;
    assert_refused(refused, StatusCode::UNAUTHORIZED, Reason::NotAllowed);
}

#[tokio::test]
async fn a_package_is_ordered_for_the_machine_that_holds_it_as_far_as_the_policy_allows() {
    let mut world = World::new().await;
    let (one, other) = (world.agent("one").await, world.agent("other").await);
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let text = world.publisher.release(&manifest("hello", 1, &[("any", &[1; 20_000])])).1;
    let asked = PackageRequest {
        package: "hello".into(),
        sequence: 1,
        manifest: Digest::of(text.as_bytes()),
        artifact: Digest::of(&[1; 20_000]),
    };
    let ask =
        async |agent: &Agent, asked: &PackageRequest| agent.session().await.post::<Help>("/v1/packages", asked).await;
    let manual_installs = |who, packages: &[&str]| {
        let packages = packages.iter().map(|name| (*name).to_owned()).collect();
        Some(Policy { by_hand: ByHand { who, packages }, ..Policy::default() })
    };
    set(&world, None, manual_installs(Who::Nobody, &[])).await;
    assert_refused(ask(&one, &asked).await, StatusCode::FORBIDDEN, Reason::NotAllowed);
    set(&world, None, manual_installs(Who::Everyone, &["other"])).await;
    assert_refused(ask(&one, &asked).await, StatusCode::FORBIDDEN, Reason::NotAllowed);
    set(&world, None, manual_installs(Who::Administrators, &["hello"])).await;
    // A release that was never published here, or different content for it.
    let never = PackageRequest { manifest: Digest([7; 32]), ..asked.clone() };
    assert_refused(ask(&one, &never).await, StatusCode::CONFLICT, Reason::NotPublished);
    let bytes = PackageRequest { artifact: Digest([7; 32]), ..asked.clone() };
    assert_refused(ask(&one, &bytes).await, StatusCode::CONFLICT, Reason::WrongPlatform);

    let help = ask(&one, &asked).await.unwrap();
    let order = help.offers[0].order.verify(&one.keys).unwrap();
    assert_eq!((help.offers.len(), help.offers[0].sublist.len(), help.offers[0].sublist.head()), (1, 1, one.id));
    assert_eq!((order.package.as_str(), order.manifest), ("hello", asked.manifest));
    let again = ask(&one, &asked).await.unwrap();
    assert_eq!(again.offers[0].order.verify(&one.keys).unwrap().id, order.id, "the same order");
    assert_eq!(world.status(order.id).await.state, DeploymentState::Running);
    // An administrator's deployment takes precedence over a manual install.
    world.publish("hello", 2, &[("any", &[2; 20_000])]).await;
    world.deploy("hello", Selection::Machines(vec![other.id.to_string()]), 1).await;
    assert_refused(ask(&other, &asked).await, StatusCode::CONFLICT, Reason::OrderSuperseded);
}
