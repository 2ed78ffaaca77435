//! Tests of enrolment and authentication.

use crate::world::{Session, World, assert_refused, csr};
use banyan_proto::{
    ALPN_HTTP, Digest, Reason,
    admin::{Info, OpenToken},
    api::{CheckInReply, RenewReply, RenewRequest},
};
use banyan_wire::tls::{Credentials, machine_of, pinned_client};
use hyper::{Method, StatusCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::sync::Arc;

#[tokio::test]
async fn nothing_enrols_before_a_root_is_registered() {
    let world = World::bare().await;
    let secret = world.token(1, 60).await;
    let (csr, key) = csr();
    let request = World::enrolment(&secret, "a", &csr);
    assert_refused(world.try_enrol(&request, &key).await.map(|_| ()), StatusCode::CONFLICT, Reason::NoRoot);
    world.register_root().await.unwrap();
    let agent = world.try_enrol(&request, &key).await.unwrap();
    assert_eq!(agent.reply.root, world.publisher.root_text, "the refusal must not use up the secret");
}

#[tokio::test]
async fn a_join_secret_lets_in_as_many_as_it_says_and_no_longer_than_it_says() {
    let world = World::new().await;
    let secret = world.token(2, 60).await;
    let refused = |result: Result<_, _>| assert_refused(result, StatusCode::FORBIDDEN, Reason::JoinRefused);
    // All at once: the uses must be counted one by one.
    let tries = (0..6).map(|_| async {
        let (csr, key) = csr();
        world.try_enrol(&World::enrolment(&secret, "same", &csr), &key).await.map(|agent| agent.id)
    });
    let mut tries = tries.map(Box::pin).collect::<Vec<_>>();
    let results = tokio::join!(
        tries.pop().unwrap(),
        tries.pop().unwrap(),
        tries.pop().unwrap(),
        tries.pop().unwrap(),
        tries.pop().unwrap(),
        tries.pop().unwrap()
    );
    let results = [results.0, results.1, results.2, results.3, results.4, results.5];
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (2, 4));
    bad.into_iter().for_each(|result| refused(result.map(|_| ())));
    // The same label twice gives two machines with different identities.
    let machines = world.machines().await;
    assert_eq!(machines.len(), 2);
    assert_ne!(machines[0].id, machines[1].id);
    assert!(machines.iter().all(|machine| machine.group.as_deref() == Some("office") && machine.label == "same"));

    let (csr, key) = csr();
    refused(world.try_enrol(&World::enrolment(&"00".repeat(16), "b", &csr), &key).await.map(|_| ()));
    refused(world.try_enrol(&World::enrolment("not hexadecimal", "b", &csr), &key).await.map(|_| ()));
    let short = world.token(1, 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    refused(world.try_enrol(&World::enrolment(&short, "b", &csr), &key).await.map(|_| ()));
}

#[tokio::test]
async fn a_revoked_join_code_lets_nobody_in_and_open_ones_are_listed_without_their_secret() {
    let mut world = World::new().await;
    let (used, kept, bad) = (world.token(1, 60).await, world.token(2, 600).await, world.token(2, 60).await);
    let id = |secret: &str| Digest::of(&data_encoding::HEXLOWER.decode(secret.as_bytes()).unwrap());
    for secret in [&used, &kept, &bad] {
        let (csr, key) = csr();
        world.try_enrol(&World::enrolment(secret, "a", &csr), &key).await.unwrap();
    }
    let revoke = |id: Digest| format!("/api/v1/tokens/{id}/revoke");
    world.admin().await.post::<()>(&revoke(id(&bad)), &()).await.unwrap();
    let unknown = world.admin().await.post::<()>(&revoke(Digest::of(b"another")), &()).await;
    assert_refused(unknown, StatusCode::NOT_FOUND, Reason::NotFound);
    world.restart().await;
    let open: Vec<OpenToken> = world.admin().await.get("/api/v1/tokens").await.unwrap();
    assert_eq!(open.iter().map(|token| token.id).collect::<Vec<_>>(), [id(&kept)]);
    assert_eq!((open[0].uses_left, open[0].group.as_deref()), (1, Some("office")));
    assert!(open[0].created.is_some_and(|created| created.plus(600) == open[0].expires));
    let (_, text) = world.admin().await.raw(Method::GET, "/api/v1/tokens", vec![]).await.unwrap();
    assert!(!String::from_utf8(text.to_vec()).unwrap().contains(&kept), "the list contains the secret");

    let (csr, key) = csr();
    let refused = world.try_enrol(&World::enrolment(&bad, "b", &csr), &key).await.map(|agent| agent.id);
    let (status, error) = refused.unwrap_err();
    assert_eq!((status, error.reason), (StatusCode::FORBIDDEN, Reason::JoinRefused));
    assert!(error.detail.contains("revoked"), "{error}");
    assert_refused(
        world.stranger().await.get::<()>("/api/v1/tokens").await,
        StatusCode::UNAUTHORIZED,
        Reason::NotAllowed,
    );
    // What has enrolled with it stays.
    assert!(world.machines().await.iter().all(|machine| !machine.revoked));
}

#[tokio::test]
async fn a_request_that_makes_no_sense_uses_nothing_up() {
    let world = World::new().await;
    let secret = world.token(1, 60).await;
    let (csr, key) = csr();
    for request in [
        World::enrolment(
            &secret,
            "a",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        ),
        World::enrolment(&secret, "", &csr),
        World::enrolment(&secret, "a\nb", &csr),
    ] {
        assert_refused(world.try_enrol(&request, &key).await.map(|_| ()), StatusCode::BAD_REQUEST, Reason::BadRequest);
    }
    let mut long = World::enrolment(&secret, "a", &csr);
    long.software = "x".repeat(100 << 10);
    assert_refused(world.try_enrol(&long, &key).await.map(|_| ()), StatusCode::PAYLOAD_TOO_LARGE, Reason::BadRequest);
    world.try_enrol(&World::enrolment(&secret, "a", &csr), &key).await.unwrap();
}

#[tokio::test]
async fn a_client_that_pins_another_ca_does_not_speak_to_this_server() {
    let world = World::bare().await;
    let config = pinned_client(Digest::of(b"another"), &[ALPN_HTTP]).unwrap();
    assert!(Session::open(world.address, Arc::new(config)).await.is_err());
}

#[tokio::test]
async fn administrators_show_their_token_and_machines_their_certificate() {
    let world = World::new().await;
    let not_allowed = (StatusCode::UNAUTHORIZED, Reason::NotAllowed);
    let mut stranger = world.stranger().await;
    assert_refused(stranger.get::<Info>("/api/v1/info").await, not_allowed.0, not_allowed.1);
    assert_refused(stranger.get::<Info>("/v1/metadata").await, not_allowed.0, not_allowed.1);
    let agent = world.agent("a").await;
    let mut session = agent.session().await;
    assert_refused(session.get::<Info>("/api/v1/info").await, not_allowed.0, not_allowed.1);
    assert_refused(session.get::<Info>("/v1/nowhere").await, StatusCode::NOT_FOUND, Reason::NotFound);
    let reply: CheckInReply = session.post("/v1/check-in", &agent.check_in(vec![], u64::MAX, 0)).await.unwrap();
    assert!(reply.orders.is_empty());
}

#[tokio::test]
async fn a_renewed_certificate_is_for_the_same_identity_and_works() {
    let world = World::new().await;
    let agent = world.agent("a").await;
    let (csr, key) = csr();
    let reply: RenewReply = agent.session().await.post("/v1/renew", &RenewRequest { csr }).await.unwrap();
    let certificate = CertificateDer::from_pem_slice(reply.certificate.as_bytes()).unwrap();
    assert_eq!(machine_of(&certificate).unwrap(), agent.id);
    let credentials = Credentials {
        certificate,
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        ca: agent.credentials.ca.clone(),
    };
    let mut session = Session::open(world.address, credentials.connector(None, &[ALPN_HTTP]).unwrap()).await.unwrap();
    session.post::<CheckInReply>("/v1/check-in", &agent.check_in(vec![], u64::MAX, 0)).await.unwrap();
}

#[tokio::test]
async fn a_machine_whose_answer_was_lost_gets_the_same_answer_until_it_checks_in() {
    let mut world = World::new().await;
    let refused = |result: Result<_, _>| assert_refused(result, StatusCode::FORBIDDEN, Reason::JoinRefused);
    let (secret, (request, key)) = (world.token(1, 60).await, csr());
    let lost = world.try_enrol(&World::enrolment(&secret, "a", &request), &key).await.unwrap();
    world.restart().await;
    let agent = world.try_enrol(&World::enrolment(&secret, "a", &request), &key).await.unwrap();
    assert_eq!((agent.id, &agent.reply.certificate), (lost.id, &lost.reply.certificate));
    assert_eq!(world.machines().await.len(), 1);
    let (others_request, others_key) = csr();
    let other = World::enrolment(&secret, "a", &others_request);
    refused(world.try_enrol(&other, &others_key).await.map(|_| ()));
    let another_secret = World::enrolment(&world.token(1, 60).await, "a", &request);
    assert_ne!(world.try_enrol(&another_secret, &key).await.unwrap().id, agent.id, "another secret, another identity");

    // The restart took the machine's row over as stored. This one enrols, loses the answer and checks in at one server.
    let (secret, (request, key)) = (world.token(2, 60).await, csr());
    let agent = world.try_enrol(&World::enrolment(&secret, "b", &request), &key).await.unwrap();
    let check_in = agent.check_in(vec![], 0, 0);
    agent.session().await.post::<CheckInReply>("/v1/check-in", &check_in).await.unwrap();
    // A copy of the computer, with its key, must not become the same machine. It takes the second use.
    let copy = world.try_enrol(&World::enrolment(&secret, "b", &request), &key).await.unwrap();
    assert_ne!(copy.id, agent.id);
    // A machine that was revoked meanwhile stays out.
    world.admin().await.post::<()>(&format!("/api/v1/machines/{}/revoke", copy.id), &()).await.unwrap();
    let again = world.try_enrol(&World::enrolment(&secret, "b", &request), &key).await.map(|_| ());
    assert_refused(again, StatusCode::FORBIDDEN, Reason::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_is_completed_although_its_connection_is_cut() {
    let world = World::new().await;
    for micros in (0..40).map(|n| n * 100) {
        let (secret, (request, key)) = (world.token(1, 60).await, csr());
        let body = serde_json::to_vec(&World::enrolment(&secret, "a", &request)).unwrap();
        let mut session = world.stranger().await;
        let sent = session.raw(Method::POST, "/v1/enrol", body);
        drop(tokio::time::timeout(std::time::Duration::from_micros(micros), sent).await);
        drop(session);
        let agent = world.try_enrol(&World::enrolment(&secret, "a", &request), &key).await.unwrap();
        let check_in = agent.check_in(vec![], 0, 0);
        agent.session().await.post::<CheckInReply>("/v1/check-in", &check_in).await.unwrap();
    }
    assert_eq!(world.machines().await.len(), 40);
}
