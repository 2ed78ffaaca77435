//! Tests of publishing, deployments and per-machine progress.

use crate::{
    publisher::manifest,
    world::{PATIENCE, World, assert_refused},
};
use banyan_proto::{
    Address, DeploymentId, Digest, Reach, Reason, ServerCopies,
    admin::{
        Deploy, Deployed, DeploymentState, DeploymentStatus, Publish, Release, Retried, Selection, Stage, Upload,
        UploadState,
    },
    api::{CheckInReply, Event},
    frame::Frame,
    order::{Spread, Window},
    peer::{Control, Hello},
    rollout::Rollout,
};
use hyper::{Method, StatusCode};
use tokio::{io::AsyncWriteExt as _, time::timeout};

#[tokio::test]
async fn a_release_is_only_published_with_its_files_and_only_with_the_right_ones() {
    let mut world = World::new().await;
    let right = vec![1; 40_000];
    let described = manifest("hello", 1, &[("any", &right)]);
    let (targets, text) = world.publisher.release(&described);
    let publish = Publish { targets, manifest: text };
    let mut admin = world.admin().await;
    let early = admin.post::<()>("/api/v1/releases", &publish).await;
    assert_refused(early, StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact);
    // Content uploaded under another file's name.
    let path = format!("/api/v1/artifacts/{}", Digest::of(&right));
    let (status, _) = admin.raw(Method::PUT, &path, vec![2; 40_000]).await.unwrap();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let state = format!("{path}/upload");
    let nothing = Upload { state: UploadState::Interrupted, received: 0 };
    assert_eq!(admin.get::<Upload>(&state).await.unwrap(), nothing);
    assert!(world.upload(&right).await.is_success());
    let stored = Upload { state: UploadState::Stored, received: 40_000 };
    assert_eq!(admin.get::<Upload>(&state).await.unwrap(), stored);
    admin.post::<()>("/api/v1/releases", &publish).await.unwrap();
    let releases: Vec<Release> = admin.get("/api/v1/releases").await.unwrap();
    assert_eq!((releases.len(), releases[0].version.as_str()), (1, "1.1"));

    // Chunk hashes that do not match the file: machines could never verify it.
    let mut wrong = manifest("hello", 2, &[("any", &right)]);
    wrong.artifacts[0].chunks.0[1] = Digest::of(b"x");
    let (targets, manifest) = world.publisher.release(&wrong);
    let refused = admin.post::<()>("/api/v1/releases", &Publish { targets, manifest }).await;
    assert_refused(refused, StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact);
}

#[tokio::test]
async fn a_machine_that_can_be_dialled_waits_for_its_offer_and_another_one_does_not() {
    let mut world = World::new().await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    for (label, addresses) in [("open", vec![address]), ("closed", vec![])] {
        let agent = world.agent_on(label, "linux-x86_64", addresses.clone()).await;
        let mut session = agent.session().await;
        let mut ask = agent.check_in(addresses, u64::MAX, 0);
        session.post::<CheckInReply>("/v1/check-in", &ask).await.unwrap();
        if label == "open" {
            let (stream, _) = timeout(PATIENCE, listener.accept()).await.expect("it is dialled").unwrap();
            let mut stream = tokio_rustls::TlsAcceptor::from(agent.peer_acceptor()).accept(stream).await.unwrap();
            let hello = Hello { versions: vec![1], software: "test".into(), crl_number: u64::MAX, stop_number: None };
            stream.write_all(&Frame::Control(Control::Hello(hello)).encode()).await.unwrap();
        }
        let reach = || async {
            let machines = world.machines().await;
            machines.into_iter().find(|machine| machine.id == agent.id).unwrap().reach
        };
        let known = async {
            while reach().await.is_none() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, known).await.expect("the server finds out");
        assert_eq!(reach().await == Some(Reach::Everyone), label == "open", "{label}");
        let order = world.deploy("hello", Selection::Machines(vec![agent.id.to_string()]), 2).await;
        (ask.boot, ask.wait_seconds) = (2, 60);
        let reply: CheckInReply = session.post("/v1/check-in", &ask).await.unwrap();
        assert_eq!(reply.orders[0].order, order);
        assert_eq!(reply.orders[0].patience_seconds > 0, label == "open", "{label}");
    }
}

#[tokio::test]
async fn machines_hear_of_an_order_through_the_long_poll_once_per_start() {
    let mut world = World::new().await;
    let agent = world.agent("a").await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let mut session = agent.session().await;
    let mut ask = agent.check_in(vec![], u64::MAX, 60);
    let body = serde_json::to_value(&ask).unwrap();
    let waiting = tokio::spawn(async move { session.post::<CheckInReply>("/v1/check-in", &body).await.unwrap() });
    let order = world.deploy("hello", Selection::All, 2).await;
    let reply = timeout(PATIENCE, waiting).await.expect("the poll was not answered at once").unwrap();
    assert_eq!(reply.orders.iter().map(|expected| expected.order).collect::<Vec<_>>(), [order]);

    // The same start waits for the full time, a new start is told at once, and one that knows the order is told
    // nothing.
    let mut session = agent.session().await;
    ask.wait_seconds = 1;
    let (took, reply) = loop {
        let begun = std::time::Instant::now();
        let reply: CheckInReply = session.post("/v1/check-in", &ask).await.unwrap();
        // The server tells the machine at once that it could not dial it.
        if reply.undelivered.is_empty() {
            break (begun.elapsed(), reply);
        }
    };
    assert!(took.as_millis() >= 900 && reply.orders.len() == 1);
    (ask.boot, ask.wait_seconds) = (2, 60);
    let reply: CheckInReply = session.post("/v1/check-in", &ask).await.unwrap();
    assert_eq!(reply.orders.len(), 1);
    (ask.known, ask.wait_seconds) = (vec![order], 0);
    let reply: CheckInReply = session.post("/v1/check-in", &ask).await.unwrap();
    assert!(reply.orders.is_empty());
}

#[tokio::test]
async fn reports_move_a_machine_on_and_count_once() {
    let mut world = World::new().await;
    let (a, b) = (world.agent("a").await, world.agent("b").await);
    world.publish("hello", 1, &[("any", &[1; 50_000])]).await;
    let order = world.deploy("hello", Selection::Machines(vec!["a".into(), b.id.to_string()]), 2).await;
    let stage = |status: &DeploymentStatus, label: &str| {
        status.addressees.iter().find(|found| found.label == label).map(|found| found.stage).unwrap()
    };
    a.report(1, order, Event::Progress { held: 2, of: 4 }).await;
    a.report(2, order, Event::Installed { already: false, milliseconds: 5, remark: None }).await;
    // A report with a number that was already used is ignored, whatever it contains.
    a.report(2, order, Event::Failed { reason: Reason::ProbeFailed, detail: String::new(), restored: true }).await;
    let status = world.status(order).await;
    assert_eq!((stage(&status, "a"), stage(&status, "b")), (Stage::Installed, Stage::Expected));
    assert_eq!(status.counts, [(Stage::Expected, 1), (Stage::Installed, 1)]);
    assert_eq!(status.state, DeploymentState::Running);
    b.report(1, order, Event::Failed { reason: Reason::ProbeFailed, detail: "exit 1".into(), restored: true }).await;
    let status = world.status(order).await;
    assert_eq!(status.state, DeploymentState::Finished);
    let failed = status.addressees.iter().find(|found| found.label == "b").unwrap();
    assert_eq!((failed.reason, failed.detail.as_deref()), (Some(Reason::ProbeFailed), Some("exit 1")));

    // A retry is a new order in the same deployment, for the failed machine alone. The first attempt stays visible.
    let retry = format!("/api/v1/deployments/{order}/retry");
    let again: Retried = world.admin().await.post(&retry, &()).await.unwrap();
    assert_eq!((again.id, again.machines, again.orders.len()), (DeploymentId::of_first_order(order), 1, 1));
    let status = world.status(order).await;
    assert_eq!((status.state, status.orders.len()), (DeploymentState::Running, 2));
    let of = |status: &DeploymentStatus, label: &str| {
        status.addressees.iter().find(|found| found.label == label).cloned().unwrap()
    };
    let (done, trying) = (of(&status, "a"), of(&status, "b"));
    assert_eq!((done.order, done.stage, done.attempts.len()), (Some(order), Stage::Installed, 0));
    assert_eq!((trying.order, trying.stage), (Some(again.orders[0]), Stage::Expected));
    let first = &trying.attempts[0];
    assert_eq!((first.order, first.stage, first.reason), (order, Stage::Failed, Some(Reason::ProbeFailed)));
    b.report(2, again.orders[0], Event::Installed { already: false, milliseconds: 5, remark: None }).await;
    assert_eq!(world.status(order).await.state, DeploymentState::Finished);
    let all: Vec<DeploymentStatus> = world.admin().await.get("/api/v1/deployments").await.unwrap();
    assert_eq!(all.iter().map(|found| found.id).collect::<Vec<_>>(), [again.id]);
    let nobody = world.admin().await.post::<Retried>(&retry, &()).await;
    assert_refused(nobody, StatusCode::CONFLICT, Reason::BadRequest);
}

#[tokio::test]
async fn each_platform_gets_an_order_and_a_machine_without_a_file_ends_with_that_reason() {
    let mut world = World::new().await;
    for (label, platform) in [("l1", "linux-x86_64"), ("l2", "linux-x86_64"), ("w", "windows-x86_64"), ("m", "mac")] {
        world.agent_on(label, platform, vec![]).await;
    }
    world.publish("hello", 1, &[("windows-x86_64", &[1; 20_000]), ("linux-x86_64", &[2; 20_000])]).await;
    let order = world.deploy("hello", Selection::Group("office".into()), 1).await;
    let status = world.status(order).await;
    let mut failed: Vec<&str> = status
        .addressees
        .iter()
        .filter(|found| found.reason == Some(Reason::WrongPlatform) && found.stage == Stage::Failed)
        .map(|found| found.label.as_str())
        .collect();
    failed.sort_unstable();
    assert_eq!(failed, ["m"]);
    assert_eq!(status.counts, [(Stage::Expected, 3), (Stage::Failed, 1)]);
    let orders: Vec<_> = status.orders.iter().map(|order| (order.platform.as_str(), order.machines)).collect();
    assert_eq!(orders, [("linux-x86_64", 2), ("windows-x86_64", 1)]);
    assert_eq!((status.size, status.totals.excluded), (40_000, 1));
    let none = world.try_deploy("hello", Selection::Machines(vec!["m".into()]), 1).await;
    assert_refused(none, StatusCode::UNPROCESSABLE_ENTITY, Reason::WrongPlatform);
    let none = world.try_deploy("hello", Selection::Machines(vec!["nobody".into()]), 1).await;
    assert_refused(none, StatusCode::NOT_FOUND, Reason::NotFound);
    let none = world.try_deploy("other", Selection::All, 1).await;
    assert_refused(none, StatusCode::NOT_FOUND, Reason::NotPublished);
}

#[tokio::test]
async fn a_newer_order_of_the_package_supersedes_the_older_for_the_machines_it_addresses() {
    let mut world = World::new().await;
    let (a, _b) = (world.agent("a").await, world.agent("b").await);
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let first = world.deploy("hello", Selection::All, 2).await;
    a.report(1, first, Event::Installed { already: false, milliseconds: 5, remark: None }).await;
    world.publish("hello", 2, &[("any", &[2; 20_000])]).await;
    let second = world.deploy("hello", Selection::Machines(vec!["a".into()]), 2).await;
    assert_eq!(world.status(first).await.state, DeploymentState::Running, "b has not finished");
    let third = world.deploy("hello", Selection::All, 2).await;
    let old = world.status(first).await;
    assert_eq!(old.state, DeploymentState::Superseded);
    let reasons: Vec<_> = old.addressees.iter().map(|found| (found.stage, found.reason)).collect();
    assert!(reasons.contains(&(Stage::Installed, None)));
    assert!(reasons.contains(&(Stage::Failed, Some(Reason::OrderSuperseded))));
    assert_eq!(world.status(second).await.state, DeploymentState::Superseded);
    assert_eq!(old.replaced, 1);
    let listed: Vec<DeploymentStatus> = world.admin().await.get("/api/v1/deployments").await.unwrap();
    assert_eq!(listed.iter().find(|one| one.id.first_order() == first).unwrap().replaced, 1);
    let refused = world.admin().await.post::<Retried>(&format!("/api/v1/deployments/{first}/retry"), &()).await;
    let detail = refused.as_ref().unwrap_err().1.detail.clone();
    assert_refused(refused, StatusCode::CONFLICT, Reason::OrderSuperseded);
    assert!(detail.contains(&third.short()), "{detail}");
    assert_eq!(
        (world.status(third).await.version.as_str(), world.status(third).await.state),
        ("1.2", DeploymentState::Running)
    );
}

#[tokio::test]
async fn the_copies_that_the_server_may_send_outlive_a_restart() {
    let mut world = World::new().await;
    world.agent("a").await;
    world.publish("hello", 1, &[("any", &[1; 20_000])]).await;
    let request = Deploy {
        package: "hello".into(),
        version: None,
        to: Selection::All,
        stripes: 1,
        spread: Spread::CutThrough,
        window: Window::Any,
        deadline: None,
        allow: vec![],
        include_protected: false,
        server_copies: ServerCopies::Auto,
        rollout: Rollout::default(),
    };
    let mut admin = world.admin().await;
    for spread in [Spread::Verified, Spread::AfterInstall] {
        let refused = admin.post::<Deployed>("/api/v1/deployments", &Deploy { spread, ..request.clone() }).await;
        assert_refused(refused, StatusCode::BAD_REQUEST, Reason::BadRequest);
    }
    let id = admin.post::<Deployed>("/api/v1/deployments", &request).await.unwrap().id;
    drop(admin);
    world.restart().await;
    assert_eq!(world.status(id.first_order()).await.server_copies, ServerCopies::Auto);
}
