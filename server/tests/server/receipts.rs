//! Tests of receipts and install permits: issued only for the right machine, path, artifact and connection.

use crate::world::{Agent, Session, World, assert_refused};
use banyan_proto::{
    Digest, InstallPermit, MachineId, OrderId, Reason, Receipt, RollingCode, Signed,
    admin::{MachinesLeft, Selection, Stage},
    api::{ByteSource, Help, InstallPermitRequest, ReceiptRequest, Way},
    peer::Offer,
};
use hyper::StatusCode;

pub(crate) const CONTENT: &[u8] = &[7; 50_000];

/// `world` must live as long as the test: its folder holds the database.
struct ThreeMachines {
    world: World,
    agents: Vec<Agent>,
    order: OrderId,
}

/// Creates three machines and a deployment to all of them.
async fn deploy_to_three() -> ThreeMachines {
    let mut world = World::new().await;
    let mut agents = Vec::new();
    for label in ["a", "b", "c"] {
        agents.push(world.agent(label).await);
    }
    world.publish("hello", 1, &[("any", CONTENT)]).await;
    let order = world.deploy("hello", Selection::All, 2).await;
    ThreeMachines { world, agents, order }
}

async fn offers(agent: &Agent, order: OrderId) -> Vec<Offer> {
    agent.session().await.get::<Help>(&format!("/v1/orders/{order}/help")).await.unwrap().offers
}

fn way(offer: &Offer, session: &Session, order: OrderId) -> Way {
    let proof = offer.code.prove(&session.exporter, order, Digest::of(CONTENT));
    Way { stripe: offer.stripe, path: offer.path.clone(), proof }
}

fn request(order: OrderId, ways: Vec<Way>) -> ReceiptRequest {
    ReceiptRequest { order, artifact: Digest::of(CONTENT), ways, sources: vec![] }
}

async fn ask(session: &mut Session, request: &ReceiptRequest) -> Result<Signed<Receipt>, crate::world::Refused> {
    session.post("/v1/receipt", request).await
}

/// Gets the receipt of a machine that holds the order's artifact, which has the content of these tests.
pub(crate) async fn authenticate(agent: &Agent, order: OrderId) {
    let offers = offers(agent, order).await;
    let mut session = agent.session().await;
    let ways = offers.iter().map(|offer| way(offer, &session, order)).collect();
    ask(&mut session, &request(order, ways)).await.unwrap();
}

/// Returns a machine that holds an order's artifact and has its receipt.
pub(crate) async fn authenticated() -> (World, Agent, OrderId) {
    let ThreeMachines { world, mut agents, order } = deploy_to_three().await;
    let agent = agents.remove(0);
    authenticate(&agent, order).await;
    (world, agent, order)
}

#[tokio::test]
async fn the_right_proof_gives_a_receipt_that_counts_once_and_then_an_install_permit() {
    let ThreeMachines { mut world, agents, order } = deploy_to_three().await;
    let agent = &agents[0];
    let mut session = agent.session().await;
    assert_refused(
        session.post::<Signed<InstallPermit>>("/v1/go-ahead", &InstallPermitRequest { order }).await,
        StatusCode::FORBIDDEN,
        Reason::CodeWrong,
    );
    let offers = offers(agent, order).await;
    assert_eq!(offers.len(), 2);
    let ways = offers.iter().map(|offer| way(offer, &session, order)).collect();
    let mut wanted = request(order, ways);
    wanted.sources = vec![ByteSource { machine: agent.reply.server, bytes: 50_000 }];
    let first = ask(&mut session, &wanted).await.unwrap();
    let receipt = first.verify(&agent.keys).unwrap();
    assert_eq!((receipt.order, receipt.machine, receipt.artifact), (order, agent.id, Digest::of(CONTENT)));

    let status = world.status(order).await;
    let found = status.addressees.iter().find(|found| found.id == agent.id).unwrap();
    assert_eq!((found.stage, found.chunks.0, &found.sources), (Stage::Authenticated, found.chunks.1, &wanted.sources));
    assert!(found.verified_after.is_some());

    // One valid stripe is enough, on another connection, after a restart; the receipt is the same.
    world.restart().await;
    let mut session = agent.session().await;
    let one = request(order, vec![way(&offers[1], &session, order)]);
    let again = ask(&mut session, &one).await.unwrap();
    assert_eq!(again, first);

    let go: Signed<InstallPermit> = session.post("/v1/go-ahead", &InstallPermitRequest { order }).await.unwrap();
    let go = go.verify(&agent.keys).unwrap();
    assert_eq!((go.order, go.machine), (order, agent.id));
    assert!(go.timestamp_version > 0 && go.snapshot_version > 0);
}

#[tokio::test]
async fn the_way_through_an_ancestor_is_recomputed_and_any_other_way_is_refused() {
    let ThreeMachines { world, agents, order } = deploy_to_three().await;
    let by_id = |id: MachineId| agents.iter().find(|agent| agent.id == id).unwrap();
    let status = world.status(order).await;
    // The planned tree of stripe 0: the server, its head, and two machines below that.
    let below = status.addressees.iter().find(|found| found.planned[0] != status.server).unwrap();
    let (child, parent) = (by_id(below.id), by_id(below.planned[0]));
    let other = agents.iter().find(|agent| agent.id != child.id && agent.id != parent.id).unwrap();
    let (to_child, to_parent, to_other) =
        (offers(child, order).await, offers(parent, order).await, offers(other, order).await);
    let mut session = child.session().await;
    let through = |code: &RollingCode, path: Vec<MachineId>, session: &Session| {
        let code = code.child(child.id, to_child[0].sublist.subtree(0).hash);
        let proof = code.prove(&session.exporter, order, Digest::of(CONTENT));
        request(order, vec![Way { stripe: 0, path, proof }])
    };
    let server = status.server;
    let refused = |result| assert_refused(result, StatusCode::FORBIDDEN, Reason::CodeWrong);

    // Through a machine that is not an ancestor in this tree, though its code is genuine.
    let wrong = through(&to_other[0].code, vec![server, other.id], &session);
    refused(ask(&mut session, &wrong).await);
    // The parent's code, claimed to have come directly from the server.
    let wrong = through(&to_parent[0].code, vec![server], &session);
    refused(ask(&mut session, &wrong).await);
    // A path without the server, an empty path, and circular ones.
    for path in [vec![parent.id], vec![], vec![server, parent.id, parent.id], vec![server, child.id]] {
        let wrong = through(&to_parent[0].code, path, &session);
        refused(ask(&mut session, &wrong).await);
    }
    let found = world.status(order).await.addressees.into_iter().find(|found| found.id == child.id).unwrap();
    assert_eq!((found.stage, found.reason), (Stage::Expected, Some(Reason::CodeWrong)));

    let right = through(&to_parent[0].code, vec![server, parent.id], &session);
    ask(&mut session, &right).await.unwrap();
}

#[tokio::test]
async fn a_proof_replayed_from_another_connection_is_refused() {
    let ThreeMachines { world: _world, agents, order } = deploy_to_three().await;
    let offers = offers(&agents[0], order).await;
    let (first, mut second) = (agents[0].session().await, agents[0].session().await);
    let replayed = request(order, vec![way(&offers[0], &first, order)]);
    assert_refused(ask(&mut second, &replayed).await, StatusCode::FORBIDDEN, Reason::CodeWrong);
}

#[tokio::test]
async fn the_code_of_another_machine_is_refused() {
    let ThreeMachines { world: _world, agents, order } = deploy_to_three().await;
    let stolen = offers(&agents[0], order).await;
    let mut session = agents[1].session().await;
    let ways = stolen.iter().map(|offer| way(offer, &session, order)).collect();
    assert_refused(ask(&mut session, &request(order, ways)).await, StatusCode::FORBIDDEN, Reason::CodeWrong);
}

#[tokio::test]
async fn another_artifact_than_the_orders_is_refused() {
    let ThreeMachines { world: _world, agents, order } = deploy_to_three().await;
    let offers = offers(&agents[0], order).await;
    let mut session = agents[0].session().await;
    let other = Digest::of(b"another file");
    let proof = offers[0].code.prove(&session.exporter, order, other);
    let ways = vec![Way { stripe: 0, path: offers[0].path.clone(), proof }];
    let wrong = ReceiptRequest { artifact: other, ..request(order, ways.clone()) };
    assert_refused(ask(&mut session, &wrong).await, StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact);
    // A proof over another file, together with the right digest.
    assert_refused(ask(&mut session, &request(order, ways)).await, StatusCode::FORBIDDEN, Reason::CodeWrong);
}

#[tokio::test]
async fn a_machine_that_the_order_is_not_for_gets_neither_help_nor_receipt() {
    let ThreeMachines { world, agents, order } = deploy_to_three().await;
    let late = world.agent("late").await;
    let mut session = late.session().await;
    let help = session.get::<Help>(&format!("/v1/orders/{order}/help")).await;
    assert_refused(help.map(|_| ()), StatusCode::FORBIDDEN, Reason::NotAddressed);
    let stolen = offers(&agents[0], order).await;
    let ways = stolen.iter().map(|offer| way(offer, &session, order)).collect();
    assert_refused(ask(&mut session, &request(order, ways)).await, StatusCode::FORBIDDEN, Reason::NotAddressed);
}

#[tokio::test]
async fn a_halted_deployment_gives_no_install_permit_until_it_is_resumed() {
    let ThreeMachines { world, agents, order } = deploy_to_three().await;
    let mut session = agents[0].session().await;
    let offers = offers(&agents[0], order).await;
    let wanted = request(order, vec![way(&offers[0], &session, order)]);
    world.admin().await.post::<MachinesLeft>(&format!("/api/v1/deployments/{order}/halt"), &()).await.unwrap();
    ask(&mut session, &wanted).await.expect("receipts are issued while a deployment is halted");
    let go = InstallPermitRequest { order };
    let halted = session.post::<Signed<InstallPermit>>("/v1/go-ahead", &go).await;
    assert_refused(halted, StatusCode::CONFLICT, Reason::Halted);
    world.admin().await.post::<MachinesLeft>(&format!("/api/v1/deployments/{order}/resume"), &()).await.unwrap();
    session.post::<Signed<InstallPermit>>("/v1/go-ahead", &go).await.unwrap();
}
