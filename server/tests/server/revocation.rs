//! Tests of revocation: a revoked machine is cut off and stays out.

use crate::world::{PATIENCE, World, assert_refused};
use banyan_proto::{
    ALPN_PEER, Reason,
    admin::{DeploymentState, Selection, Stage},
    api::{CheckInReply, Event},
    frame::Frame,
    peer::{Control, Hello},
};
use banyan_wire::tls::{Crl, SERVER_NAME};
use hyper::{Method, StatusCode};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

#[tokio::test]
async fn a_revoked_machine_is_cut_off_at_once_and_refused_at_the_next_handshake() {
    let world = World::new().await;
    let (good, bad) = (world.agent("good").await, world.agent("bad").await);
    let mut polling = bad.session().await;
    let first: CheckInReply = polling.post("/v1/check-in", &bad.check_in(vec![], 0, 0)).await.unwrap();
    let mut idle = good.session().await;
    let long = good.check_in(vec![], first.crl_number, 60);
    let waiting = tokio::spawn(async move { idle.post::<CheckInReply>("/v1/check-in", &long).await });

    // A greeted, idle connection of the peer protocol.
    let stream = TcpStream::connect(world.address).await.unwrap();
    let connector = TlsConnector::from(bad.credentials.connector(None, &[ALPN_PEER]).unwrap());
    let mut peer = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), stream).await.unwrap();
    let hello = Hello { versions: vec![1], software: "test".into(), crl_number: u64::MAX, stop_number: None };
    peer.write_all(&Frame::Control(Control::Hello(hello)).encode()).await.unwrap();
    assert!(peer.read(&mut [0; 64]).await.unwrap() > 0, "the server did not greet");

    world.admin().await.post::<()>(&format!("/api/v1/machines/{}/revoke", bad.id), &()).await.unwrap();

    timeout(PATIENCE, polling.ended).await.expect("the open HTTP connection was not cut").unwrap();
    let mut rest = Vec::new();
    drop(timeout(PATIENCE, peer.read_to_end(&mut rest)).await.expect("the open peer connection was not cut"));

    // With TLS 1.3 a client learns that it was refused only when it reads.
    let again = match bad.open().await {
        Ok(mut session) => session.raw(Method::GET, "/v1/crl", vec![]).await.is_ok(),
        Err(_) => false,
    };
    assert!(!again, "a revoked certificate was accepted");

    // All other machines learn of it at once.
    let news = timeout(PATIENCE, waiting).await.expect("the long poll was not answered").unwrap().unwrap();
    assert!(news.crl_number > first.crl_number);
    let (status, der) = good.session().await.raw(Method::GET, "/v1/crl", vec![]).await.unwrap();
    assert!(status.is_success());
    let crl = Crl::read(der.to_vec(), &good.credentials.ca).unwrap();
    assert_eq!(crl.number, news.crl_number);
    assert!(crl.revokes(&bad.credentials.certificate) && !crl.revokes(&good.credentials.certificate));
    assert!(world.machines().await.iter().all(|machine| machine.revoked == (machine.id == bad.id)));
}

#[tokio::test]
async fn a_revocation_survives_a_restart() {
    let mut world = World::new().await;
    let bad = world.agent("bad").await;
    world.admin().await.post::<()>("/api/v1/machines/bad/revoke", &()).await.unwrap();
    world.restart().await;
    let again = match bad.open().await {
        Ok(mut session) => session.raw(Method::GET, "/v1/crl", vec![]).await.is_ok(),
        Err(_) => false,
    };
    assert!(!again, "a revoked certificate was accepted after a restart");
    assert!(world.agent("good").await.session().await.raw(Method::GET, "/v1/crl", vec![]).await.is_ok());
}

#[tokio::test]
async fn a_deployment_does_not_wait_for_a_machine_that_is_revoked() {
    let mut world = World::new().await;
    let (good, bad) = (world.agent("good").await, world.agent("bad").await);
    world.publish("hello", 1, &[("any", &[1; 50_000])]).await;
    let both = world.deploy("hello", Selection::All, 1).await;
    bad.report(1, both, Event::Progress { held: 2, of: 4 }).await;
    world.admin().await.post::<()>("/api/v1/machines/bad/revoke", &()).await.unwrap();
    let status = world.status(both).await;
    let of = |label: &str| status.addressees.iter().find(|one| one.label == label).map(|one| (one.stage, one.reason));
    assert_eq!(of("bad"), Some((Stage::Failed, Some(Reason::Revoked))));
    assert_eq!(of("good").map(|(stage, _)| stage), Some(Stage::Expected));
    assert_eq!(status.state, DeploymentState::Running);
    good.report(1, both, Event::Installed { already: false, milliseconds: 5, remark: None }).await;
    assert_eq!(world.status(both).await.state, DeploymentState::Finished);

    // The last machine that a deployment waits for.
    world.publish("hello", 2, &[("any", &[2; 50_000])]).await;
    let alone = world.deploy("hello", Selection::All, 1).await;
    world.admin().await.post::<()>("/api/v1/machines/good/revoke", &()).await.unwrap();
    assert_eq!(world.status(alone).await.state, DeploymentState::Finished);
}

#[tokio::test]
async fn a_revoked_machine_is_refused_as_a_target_with_words_that_lead_on() {
    let mut world = World::new().await;
    world.agent("good").await;
    world.agent("bad").await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    world.admin().await.post::<()>("/api/v1/machines/bad/revoke", &()).await.unwrap();
    let refused = world.try_deploy("hello", Selection::Machines(vec!["bad".into()]), 1).await;
    let detail = refused.as_ref().unwrap_err().1.detail.clone();
    assert_refused(refused, StatusCode::UNPROCESSABLE_ENTITY, Reason::Revoked);
    assert!(detail.contains("leave it out") && !detail.contains("readmit"), "{detail}");
    let refused = world.admin().await.post::<()>("/api/v1/machines/bad/readmit", &()).await;
    assert_refused(refused, StatusCode::CONFLICT, Reason::Revoked);
}
