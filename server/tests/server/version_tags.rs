//! Tests of version tags: a change that names another version than the present one is refused and changes nothing.

use crate::world::{Session, World, assert_refused};
use banyan_proto::{
    Reason,
    admin::{ChangedMeanwhile, GroupPolicy, SetPolicy},
    assignments::{NameSite, NamedSite, RenameMachine, RenamedMachine},
    schedule::Policy,
    site_budget::{SetSiteBudget, SiteStatus},
};
use hyper::{Method, StatusCode};

async fn if_match(world: &World, version: &str) -> Session {
    let mut session = world.admin().await;
    session.headers.push(("if-match", format!("\"{version}\"")));
    session
}

async fn policy_of_lab(world: &World) -> GroupPolicy {
    let policies: Vec<GroupPolicy> = world.admin().await.get("/api/v1/policies").await.unwrap();
    policies.into_iter().find(|policy| policy.group.as_deref() == Some("office")).unwrap()
}

#[tokio::test]
async fn the_later_of_two_edits_is_refused_with_what_is_set_now() {
    let world = World::new().await;
    let machine = world.agent("a").await; // in the group `office`
    let ask = |upload| SetPolicy {
        group: Some("office".into()),
        policy: Some(Policy { upload: Some(upload), ..Policy::default() }),
        rank: None,
    };
    let seen = policy_of_lab(&world).await.version.unwrap();
    // A change of another policy does not matter.
    let all = SetPolicy { group: None, policy: Some(Policy::default()), rank: None };
    world.admin().await.post::<()>("/api/v1/policies", &all).await.unwrap();
    if_match(&world, &seen).await.post::<()>("/api/v1/policies", &ask(7)).await.unwrap();
    let body = serde_json::to_vec(&ask(9)).unwrap();
    let (status, answer) = if_match(&world, &seen).await.raw(Method::POST, "/api/v1/policies", body).await.unwrap();
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let answer: ChangedMeanwhile = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer.reason, Reason::ChangedMeanwhile);
    let present = policy_of_lab(&world).await;
    assert_eq!(answer.present["version"], present.version.clone().unwrap());
    assert_eq!((answer.present["policy"]["upload"].as_u64(), present.policy.upload), (Some(7), Some(7)));
    if_match(&world, &present.version.unwrap()).await.post::<()>("/api/v1/policies", &ask(9)).await.unwrap();

    // The same for names of machines, budgets and named sites.
    let path = format!("/api/v1/machines/{}/rename", machine.id);
    let version = world.machines().await[0].version.clone().unwrap();
    let rename = |name: &str| RenameMachine { name: Some(name.into()) };
    if_match(&world, &version).await.post::<RenamedMachine>(&path, &rename("b")).await.unwrap();
    let late = if_match(&world, &version).await.post::<RenamedMachine>(&path, &rename("c")).await;
    assert_refused(late, StatusCode::PRECONDITION_FAILED, Reason::ChangedMeanwhile);
    let sites: Vec<SiteStatus> = world.admin().await.get("/api/v1/sites").await.unwrap();
    let (site, version) = (sites[0].site, sites[0].version.clone().unwrap());
    let budget = serde_json::from_value(serde_json::json!([{ "hours": "any", "download": 5000 }])).unwrap();
    let set = SetSiteBudget { site, budget: Some(budget) };
    if_match(&world, &version).await.post::<()>("/api/v1/sites", &set).await.unwrap();
    let late = if_match(&world, &version).await.post::<()>("/api/v1/sites", &set).await;
    assert_refused(late, StatusCode::PRECONDITION_FAILED, Reason::ChangedMeanwhile);
    let name = |range: &str| NameSite { name: "branch".into(), ranges: vec![range.parse().unwrap()] };
    world.admin().await.post::<()>("/api/v1/sites/names", &name("10.0.0.0/16")).await.unwrap();
    let named: Vec<NamedSite> = world.admin().await.get("/api/v1/sites/names").await.unwrap();
    let version = named[0].version.clone().unwrap();
    if_match(&world, &version).await.post::<()>("/api/v1/sites/names", &name("10.1.0.0/16")).await.unwrap();
    let late = if_match(&world, &version).await.post::<()>("/api/v1/sites/names", &name("10.2.0.0/16")).await;
    assert_refused(late, StatusCode::PRECONDITION_FAILED, Reason::ChangedMeanwhile);
}
