//! Clone detection: two running agents with one identity are both quarantined, with the reason, until an administrator
//! readmits the identity. A restart, however quick or rough, is not mistaken for a clone.

use crate::world::{Agent, PATIENCE, Refused, World, assert_refused, csr};
use banyan_proto::{
    ALPN_PEER, Digest, InstallPermit, Reason, Signed,
    admin::Selection,
    api::{
        CheckIn, CheckInReply, Help, InstallPermitRequest, ReceiptReply, ReceiptRequest, RenewReply, RenewRequest,
        Reports,
    },
    audit::AuditPage,
};
use banyan_wire::tls::SERVER_NAME;
use hyper::StatusCode;
use rustls::pki_types::ServerName;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

const QUARANTINED: (StatusCode, Reason) = (StatusCode::FORBIDDEN, Reason::Cloned);

async fn check_in(agent: &Agent, boot: u64, last: u64, wait_seconds: u32) -> Result<u64, Refused> {
    let request = CheckIn { boot, last, ..agent.check_in(vec![], u64::MAX, wait_seconds) };
    let reply: CheckInReply = agent.session().await.post("/v1/check-in", &request).await?;
    Ok(reply.number)
}

/// Runs two agents with this identity: 1 is the first, 2 is its clone. Returns once the clone is detected.
async fn run_clone(agent: &Agent) {
    let first = check_in(agent, 1, 0, 0).await.unwrap();
    check_in(agent, 2, 0, 0).await.unwrap();
    // The answer must not wait for news: the server asks whether the earlier start is still running.
    let second = timeout(PATIENCE, check_in(agent, 1, first, 300))
        .await
        .expect("the check-in was not answered at once")
        .unwrap();
    assert_refused(check_in(agent, 1, second, 0).await, QUARANTINED.0, QUARANTINED.1);
}

#[tokio::test]
async fn restarts_are_no_clones_even_when_the_last_words_of_the_dead_come_late() {
    let world = World::new().await;
    let agent = world.agent("a").await;
    let mut before = (0, 0);
    for boot in 1..20 {
        let number = check_in(&agent, boot, 0, 0).await.unwrap();
        if before.0 > 0 {
            // Sent before kill -9, read afterwards; the answers reach no process.
            check_in(&agent, before.0, before.1, 0).await.unwrap();
            check_in(&agent, before.0, before.1, 0).await.unwrap();
        }
        let number = check_in(&agent, boot, number, 0).await.unwrap();
        before = (boot, number);
    }
    assert_eq!(world.machines().await[0].out, None);
}

#[tokio::test]
async fn whoever_waits_for_news_is_asked_at_once_whether_it_lives() {
    let world = World::new().await;
    let agent = world.agent("a").await;
    let first = check_in(&agent, 1, 0, 0).await.unwrap();
    let waiting = check_in(&agent, 1, first, 300);
    let other = async {
        let first = check_in(&agent, 2, 0, 0).await?;
        check_in(&agent, 2, first, 300).await
    };
    let rest = async {
        let answered = timeout(PATIENCE, waiting).await.expect("the long poll was not answered").unwrap();
        check_in(&agent, 1, answered, 300).await
    };
    let (one, two) =
        timeout(PATIENCE, async { tokio::join!(rest, other) }).await.expect("both agents must be refused in time");
    assert_refused(one, QUARANTINED.0, QUARANTINED.1);
    assert_refused(two, QUARANTINED.0, QUARANTINED.1);
}

#[tokio::test]
async fn a_cloned_identity_takes_part_in_nothing_until_it_is_readmitted() {
    let mut world = World::new().await;
    let (agent, other) = (world.agent("a").await, world.agent("b").await);
    world.publish("hello", 1, &[("any", &[7; 50_000])]).await;
    let order = world.deploy("hello", Selection::All, 2).await;
    run_clone(&agent).await;
    let quarantined = world.machines().await.into_iter().find(|machine| machine.id == agent.id).unwrap();
    assert_eq!((quarantined.out, quarantined.revoked), (Some(Reason::Cloned), false));
    let path = "/api/v1/audit?actor=system:clone-detection";
    let logged: AuditPage = world.admin().await.get(path).await.unwrap();
    let actions: Vec<&str> = logged.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["quarantine_machine"], "{logged:?}");
    let status = world.status(order).await;
    let row = status.addressees.iter().find(|row| row.id == agent.id).unwrap();
    assert_eq!(row.reason, Some(Reason::Cloned));

    // The quarantine survives a restart.
    world.restart().await;
    let mut session = agent.session().await;
    let refused = |result: Result<(), Refused>| assert_refused(result, QUARANTINED.0, QUARANTINED.1);
    refused(session.get::<Help>(&format!("/v1/orders/{order}/help")).await.map(|_| ()));
    let receipt = ReceiptRequest { order, artifact: Digest([2; 32]), ways: vec![], sources: vec![] };
    refused(session.post::<ReceiptReply>("/v1/receipt", &receipt).await.map(|_| ()));
    let go = InstallPermitRequest { order };
    refused(session.post::<Signed<InstallPermit>>("/v1/go-ahead", &go).await.map(|_| ()));
    refused(session.post::<()>("/v1/reports", &Reports { reports: vec![] }).await);
    refused(check_in(&agent, 3, 0, 0).await.map(|_| ()));
    assert!(!greets(&world, &agent).await && greets(&world, &other).await);
    session
        .post::<RenewReply>("/v1/renew", &RenewRequest { csr: csr().0 })
        .await
        .expect("a quarantined machine may renew");

    // A quarantined machine is planned in no list.
    let to_it = || Selection::Machines(vec![agent.id.to_string()]);
    let named = world.try_deploy("hello", to_it(), 2).await;
    assert_refused(named, StatusCode::UNPROCESSABLE_ENTITY, Reason::Cloned);
    let next = world.status(world.deploy("hello", Selection::All, 2).await).await;
    assert_eq!(next.addressees.iter().map(|row| row.id).collect::<Vec<_>>(), [other.id]);

    world.admin().await.post::<()>(&format!("/api/v1/machines/{}/readmit", agent.id), &()).await.unwrap();
    assert!(world.machines().await.iter().all(|machine| machine.out.is_none()));
    let first = check_in(&agent, 1, 0, 0).await.unwrap();
    check_in(&agent, 1, first, 0).await.unwrap();
    assert!(greets(&world, &agent).await);
    world.deploy("hello", to_it(), 2).await;
    // The cause persists, so the machine is quarantined again.
    run_clone(&agent).await;
}

#[tokio::test]
async fn only_a_quarantined_machine_can_be_readmitted() {
    let world = World::new().await;
    world.agent("a").await;
    let readmit = async || world.admin().await.post::<()>("/api/v1/machines/a/readmit", &()).await;
    assert_refused(readmit().await, StatusCode::CONFLICT, Reason::BadRequest);
    world.admin().await.post::<()>("/api/v1/machines/a/revoke", &()).await.unwrap();
    assert_refused(readmit().await, StatusCode::CONFLICT, Reason::Revoked);
}

/// Returns whether the server speaks the peer protocol with this machine: it greets at once, or hangs up.
async fn greets(world: &World, agent: &Agent) -> bool {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let connector = TlsConnector::from(agent.credentials.connector(None, &[ALPN_PEER]).unwrap());
    let mut peer = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), stream).await.unwrap();
    matches!(peer.read(&mut [0; 64]).await, Ok(1..))
}
