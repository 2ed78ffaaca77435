//! Tests of raising the epoch after a restore from a backup: what was signed before becomes invalid, and no machine is
//! locked out by a number that it has seen and the restored server does not know.

use crate::world::{World, assert_refused};
use banyan_proto::{
    InstallPermit, Reason, Signed, UnixSeconds,
    admin::{DeploymentState, Info, Selection, Stage},
    api::{CheckIn, CheckInReply, Help, InstallPermitRequest, ReceiptReply, ReceiptRequest},
};
use banyan_server::{restore::raise_epoch, start::StartError};
use hyper::StatusCode;

#[tokio::test]
async fn what_was_open_ends_and_everything_works_again() {
    let mut world = World::new().await;
    let agent = world.agent("a").await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let before = world.deploy("hello", Selection::All, 2).await;
    let data = world.folder.path().join("data");
    assert!(matches!(raise_epoch(&data).await, Err(StartError::Running(_))));
    let ask = agent.check_in(vec![], u64::MAX, 0);
    let first: CheckInReply = agent.session().await.post("/v1/check-in", &ask).await.unwrap();
    assert_eq!(first.epoch.unwrap().verify(&agent.keys).unwrap().epoch, 1);

    world.stop().await;
    let now = UnixSeconds::now();
    let raised = raise_epoch(&data).await.unwrap();
    // The same backup may be restored again later: the new epoch must be above that of the first restore.
    assert!(raised.from == 1 && raised.to >= now.0 && raised.ended == 1, "{raised:?}");
    world.restart().await;

    let info: Info = world.admin().await.get("/api/v1/info").await.unwrap();
    assert_eq!(info.epoch, raised.to);
    let reply: CheckInReply = agent.session().await.post("/v1/check-in", &ask).await.unwrap();
    let said = reply.epoch.unwrap().verify(&agent.keys).unwrap();
    assert_eq!((said.server, said.epoch), (agent.reply.server, raised.to));
    // Lists that the lost server signed after the backup have lower numbers.
    assert!(reply.crl_number > first.crl_number && reply.crl_number >= now.0);
    assert!(reply.orders.is_empty());
    let status = world.status(before).await;
    let row = &status.addressees[0];
    assert_eq!(
        (status.state, row.stage, row.reason),
        (DeploymentState::Finished, Stage::Failed, Some(Reason::EpochBack))
    );
    let mut session = agent.session().await;
    let over = (StatusCode::CONFLICT, Reason::EpochBack);
    let help = session.get::<Help>(&format!("/v1/orders/{before}/help")).await;
    assert_refused(help.map(|_| ()), over.0, over.1);
    let receipt =
        ReceiptRequest { order: before, artifact: banyan_proto::Digest([1; 32]), ways: vec![], sources: vec![] };
    assert_refused(session.post::<ReceiptReply>("/v1/receipt", &receipt).await, over.0, over.1);

    let again = world.deploy("hello", Selection::All, 2).await;
    let help: Help = session.get(&format!("/v1/orders/{again}/help")).await.unwrap();
    assert_eq!(help.offers[0].order.verify(&agent.keys).unwrap().epoch, raised.to);
}

#[tokio::test]
async fn no_install_permit_is_given_for_an_order_of_before() {
    let (mut world, agent, order) = crate::receipts::authenticated().await;
    let go = InstallPermitRequest { order };
    agent.session().await.post::<Signed<InstallPermit>>("/v1/go-ahead", &go).await.unwrap();
    world.stop().await;
    raise_epoch(&world.folder.path().join("data")).await.unwrap();
    world.restart().await;
    let refused = agent.session().await.post::<Signed<InstallPermit>>("/v1/go-ahead", &go).await;
    assert_refused(refused, StatusCode::CONFLICT, Reason::EpochBack);
}

#[tokio::test]
async fn a_folder_without_a_server_is_told_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(raise_epoch(folder.path()).await, Err(StartError::NoServer(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_server_that_was_restored_without_it_hears_so_from_its_machines() {
    let world = World::new().await;
    let agent = world.agent("a").await;
    let ahead = CheckIn { epoch: 7, ..agent.check_in(vec![], u64::MAX, 0) };
    agent.session().await.post::<CheckInReply>("/v1/check-in", &ahead).await.unwrap();
    let said = b"was this server restored from a backup?";
    // Stored in the background.
    let is_stored = || {
        let log = std::fs::read(world.folder.path().join("data/server.sqlite-wal")).unwrap();
        log.windows(said.len()).any(|part| part == said)
    };
    for _ in 0..500 {
        if is_stored() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no suspicious event was stored");
}
