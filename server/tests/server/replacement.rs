//! Tests of replacing a reinstalled computer: it gets a new identity and the old one is retired. The administrator's
//! join code decides that; a matching label never does.

use crate::world::{Refused, World, assert_refused, csr};
use banyan_proto::{
    Reason,
    admin::{DeploymentState, Machine, NewToken, Selection, Stage, TokenCreated},
};
use hyper::{Method, StatusCode};

async fn token(world: &World, replaces: &Machine, uses: u32) -> Result<String, Refused> {
    let wanted = NewToken { uses, expires_seconds: 60, group: None, replaces: Some(replaces.id) };
    Ok(world.admin().await.post::<TokenCreated>("/api/v1/tokens", &wanted).await?.secret.into())
}

#[tokio::test]
async fn the_old_identity_is_retired_when_the_new_one_enrols_in_its_place() {
    let mut world = World::new().await;
    let old = world.agent("till-3").await;
    world.publish("hello", 1, &[("any", &[7; 50_000])]).await;
    let order = world.deploy("hello", Selection::All, 2).await;
    let row = world.machines().await.remove(0);
    let secret = token(&world, &row, 1).await.unwrap();
    assert!(
        old.open().await.unwrap().raw(Method::GET, "/v1/crl", vec![]).await.is_ok(),
        "the old machine must still be accepted"
    );

    let (csr, key) = csr();
    let new = world.try_enrol(&World::enrolment(&secret, "till-3", &csr), &key).await.unwrap();
    assert_ne!(new.id, old.id);
    let machines = world.machines().await;
    let of = |id| machines.iter().find(|machine| machine.id == id).unwrap();
    assert_eq!(
        (of(old.id).out, of(old.id).replaced_by, of(old.id).revoked),
        (Some(Reason::Retired), Some(new.id), true)
    );
    assert_eq!(
        (of(new.id).out, of(new.id).group.as_deref()),
        (None, Some("office")),
        "it inherits the old machine's group"
    );
    let refused = match old.open().await {
        Ok(mut session) => session.raw(Method::GET, "/v1/crl", vec![]).await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "a retired machine was accepted");
    // The old machine's part in the deployment has ended, and the label refers to the new machine.
    let status = world.status(order).await;
    assert_eq!(status.state, DeploymentState::Finished);
    assert_eq!((status.addressees[0].stage, status.addressees[0].reason), (Stage::Failed, Some(Reason::Retired)));
    let next = world.deploy("hello", Selection::Machines(vec!["till-3".into()]), 2).await;
    assert_eq!(world.status(next).await.addressees[0].id, new.id);

    world.restart().await;
    let machines = world.machines().await;
    assert!(machines.iter().any(|machine| machine.id == old.id && machine.out == Some(Reason::Retired)));
}

#[tokio::test]
async fn the_same_label_alone_retires_nobody() {
    let world = World::new().await;
    let old = world.agent("till-3").await;
    world.agent("till-3").await;
    assert!(world.machines().await.iter().all(|machine| machine.out.is_none()));
    assert!(old.open().await.unwrap().raw(Method::GET, "/v1/crl", vec![]).await.is_ok());
}

#[tokio::test]
async fn a_code_replaces_one_machine_that_there_is() {
    let world = World::new().await;
    world.agent("a").await;
    let row = world.machines().await.remove(0);
    assert_refused(token(&world, &row, 2).await, StatusCode::BAD_REQUEST, Reason::BadRequest);
    let unknown = Machine { id: banyan_proto::MachineId([9; 16]), ..row };
    assert_refused(token(&world, &unknown, 1).await, StatusCode::NOT_FOUND, Reason::NotFound);
}
