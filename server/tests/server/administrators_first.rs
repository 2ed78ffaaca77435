//! Tests that machines do not keep administrators waiting, however many there are.

use crate::world::{PATIENCE, World, assert_refused};
use banyan_proto::{
    ALPN_ADMINISTRATOR, ALPN_HTTP, Reason,
    admin::{DeploymentState, DeploymentStatus, Info, MachinesLeft, Selection},
    api::CheckInReply,
};
use hyper::StatusCode;
use std::{thread, time::Duration};
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

#[tokio::test]
async fn administrators_are_answered_while_every_thread_of_the_machines_is_busy() {
    let mut world = World::new().await;
    world.agent("a").await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let order = world.deploy("hello", Selection::All, 1).await;
    // The server's node has noted that the machine has no address. A note that is being stored when the thread stops
    // would hold the database.
    while world.status(order).await.addressees[0].reason.is_none() {
        sleep(Duration::from_millis(20)).await;
    }
    let (server, profile) = (world.address, world.profile.clone());
    let administrator = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let conversation = async {
            let mut session = World::administrator(server, &profile).await;
            session.post::<MachinesLeft>(&format!("/api/v1/deployments/{order}/halt"), &()).await.unwrap();
            session.get::<Vec<DeploymentStatus>>("/api/v1/deployments").await.unwrap()
        };
        runtime.block_on(async { timeout(PATIENCE, conversation).await })
    });
    // This thread is the only one that serves machines here, and until the administrator is done it serves none.
    let listed = administrator.join().unwrap().expect("the administrator waits for the machines' thread");
    assert_eq!(listed.iter().map(|one| one.state).collect::<Vec<_>>(), [DeploymentState::Halted]);
}

#[tokio::test]
async fn only_administrators_get_what_is_kept_for_them() {
    let world = World::new().await;
    let agent = world.agent("a").await;
    let ask = agent.check_in(vec![], u64::MAX, 0);
    // A machine that announces an administrator: its connection is closed.
    if let Ok(mut session) = agent.open_as(&[ALPN_ADMINISTRATOR, ALPN_HTTP]).await {
        assert!(session.raw(hyper::Method::POST, "/v1/check-in", serde_json::to_vec(&ask).unwrap()).await.is_err());
    }
    // Without its certificate, the machines' requests are not there.
    let mut session = world.admin().await;
    let refused = session.post::<CheckInReply>("/v1/check-in", &ask).await;
    assert_refused(refused, StatusCode::NOT_FOUND, Reason::NotFound);
    // Without the token, announcing an administrator is worth nothing.
    session.token = None;
    let refused = session.get::<Info>("/api/v1/info").await;
    assert_refused(refused, StatusCode::UNAUTHORIZED, Reason::NotAllowed);
    // The machine itself is still served, and so is an administrator's program that does not announce itself.
    agent.session().await.post::<CheckInReply>("/v1/check-in", &ask).await.unwrap();
    let mut unannounced = world.stranger().await;
    unannounced.token = Some(world.profile.token.expose().to_owned());
    unannounced.get::<Info>("/api/v1/info").await.unwrap();
}

#[tokio::test]
async fn the_newest_deployments_are_listed_without_the_others() {
    let mut world = World::new().await;
    world.agent("a").await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(world.deploy("hello", Selection::All, 1).await);
    }
    orders.reverse();
    let mut admin = world.admin().await;
    for (query, expected) in [("", &orders[..]), ("?limit=2", &orders[..2]), ("?limit=1", &orders[..1])] {
        let listed: Vec<DeploymentStatus> = admin.get(&format!("/api/v1/deployments{query}")).await.unwrap();
        assert_eq!(listed.iter().map(|one| one.id.first_order()).collect::<Vec<_>>(), expected, "{query}");
    }
    let refused = admin.get::<Vec<DeploymentStatus>>("/api/v1/deployments?limit=many").await;
    assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
}
