//! Tests of idempotency keys: a repeated request is carried out once, also while it is under way and after a restart.

use crate::world::{Session, World, assert_refused};
use banyan_proto::{
    Reason, ServerCopies,
    admin::{Deploy, Deployed, DeploymentStatus, Selection},
    order::{Spread, Window},
    rollout::Rollout,
};
use hyper::StatusCode;

fn deploy(package: &str) -> Deploy {
    Deploy {
        package: package.into(),
        version: None,
        to: Selection::All,
        stripes: 1,
        spread: Spread::CutThrough,
        window: Window::Any,
        deadline: None,
        allow: vec![],
        include_protected: false,
        server_copies: ServerCopies::ONE,
        rollout: Rollout::default(),
    }
}

async fn with_key(world: &World, key: &str) -> Session {
    let mut session = world.admin().await;
    session.headers.push(("idempotency-key", key.into()));
    session
}

#[tokio::test]
async fn a_repeated_deployment_is_started_once() {
    let mut world = World::new().await;
    let _machine = world.agent("a").await;
    world.publish("tool", 1, &[("any", b"content")]).await;
    let path = "/api/v1/deployments";
    // Two clicks at once.
    let (mut one, mut other) = (with_key(&world, "k1").await, with_key(&world, "k1").await);
    let request = deploy("tool");
    let (first, second) = tokio::join!(one.post::<Deployed>(path, &request), other.post::<Deployed>(path, &request));
    let id = first.unwrap().id;
    assert_eq!(second.unwrap().id, id);
    // A retry, on another connection and after a restart.
    assert_eq!(with_key(&world, "k1").await.post::<Deployed>(path, &request).await.unwrap().id, id);
    world.restart().await;
    assert_eq!(with_key(&world, "k1").await.post::<Deployed>(path, &request).await.unwrap().id, id);
    let count = world.admin().await.get::<Vec<DeploymentStatus>>(path).await.unwrap().len();
    assert_eq!(count, 1);
    // The key belongs to that request.
    let another = Deploy { stripes: 2, ..request.clone() };
    let refused = with_key(&world, "k1").await.post::<Deployed>(path, &another).await;
    assert_refused(refused, StatusCode::CONFLICT, Reason::BadRequest);
    assert_ne!(with_key(&world, "k2").await.post::<Deployed>(path, &request).await.unwrap().id, id);
    // A refusal is repeated, too.
    for _ in 0..2 {
        let refused = with_key(&world, "k3").await.post::<Deployed>(path, &deploy("nothing")).await;
        assert_refused(refused, StatusCode::NOT_FOUND, Reason::NotPublished);
    }
    let long = "k".repeat(129);
    let refused = with_key(&world, &long).await.post::<Deployed>(path, &request).await;
    assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
}
