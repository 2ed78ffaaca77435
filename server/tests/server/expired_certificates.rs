//! Tests of expired certificates: for 400 days after expiry a machine may renew its certificate, and do nothing else.

use crate::world::{Agent, Session, World, assert_refused, csr};
use banyan_proto::{
    ALPN_HTTP, ALPN_PEER, InstallPermit, MachineId, OrderId, Reason, Signed, UnixSeconds,
    api::{CheckInReply, Help, InstallPermitRequest, ReceiptReply, ReceiptRequest, RenewReply, RenewRequest, Reports},
    peer::Metadata,
};
use banyan_wire::tls::{Credentials, SERVER_NAME, machine_name, machine_of};
use hyper::StatusCode;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SerialNumber, date_time_ymd};
use rustls::{
    AlertDescription, Error as TlsError,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

const DAY: u64 = 24 * 3600;

/// Gives the agent a certificate from the server's own CA that expired `ago` seconds ago. It has the serial number of
/// the certificate that the agent enrolled with, which the revocation list refers to.
fn aged(world: &World, agent: Agent, ago: u64) -> Agent {
    ending(world, agent, UnixSeconds(UnixSeconds::now().0 - ago))
}

fn ending(world: &World, agent: Agent, until: UnixSeconds) -> Agent {
    let keys = world.folder.path().join("data/keys");
    let ca = KeyPair::from_pem(&std::fs::read_to_string(keys.join("ca.key")).unwrap()).unwrap();
    let issuer = Issuer::from_ca_cert_der(&agent.credentials.ca, ca).unwrap();
    let certificate = sign(&agent, &issuer, until);
    with(agent, certificate)
}

fn sign(agent: &Agent, issuer: &Issuer<'_, KeyPair>, until: UnixSeconds) -> CertificateDer<'static> {
    let (_, enrolled) = x509_parser::parse_x509_certificate(&agent.credentials.certificate).unwrap();
    let key = KeyPair::try_from(&agent.credentials.key).unwrap();
    let mut params = CertificateParams::new(vec![machine_name(agent.id)]).unwrap();
    params.serial_number = Some(SerialNumber::from_slice(enrolled.raw_serial()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let at = |time: UnixSeconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(time.0);
    (params.not_before, params.not_after) = (at(UnixSeconds(until.0 - 90 * DAY)), at(until));
    params.signed_by(&key, issuer).unwrap().der().clone()
}

fn with(agent: Agent, certificate: CertificateDer<'static>) -> Agent {
    let credentials = Credentials { certificate, ..agent.credentials };
    Agent { credentials, ..agent }
}

/// Returns the TLS alert that a refused client receives if, as clients do, it sends a request at once.
async fn alert(world: &World, agent: &Agent) -> Option<AlertDescription> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let config = agent.credentials.connector(None, &[ALPN_HTTP]).unwrap();
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    stream.write_all(b"GET /v1/crl HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let error = stream.read_to_end(&mut Vec::new()).await.err()?;
    match error.get_ref()?.downcast_ref() {
        Some(TlsError::AlertReceived(alert)) => Some(*alert),
        _ => panic!("no alert: {error}"),
    }
}

async fn renew(session: &mut Session) -> Result<(CertificateDer<'static>, KeyPair), crate::world::Refused> {
    let (csr, key) = csr();
    let reply: RenewReply = session.post("/v1/renew", &RenewRequest { csr }).await?;
    Ok((CertificateDer::from_pem_slice(reply.certificate.as_bytes()).unwrap(), key))
}

#[tokio::test]
async fn it_may_renew_and_is_refused_everything_else_until_it_has() {
    let world = World::new().await;
    let old = aged(&world, world.agent("drawer").await, 399 * DAY);
    let mut session = old.session().await;
    let expired = (StatusCode::FORBIDDEN, Reason::CertificateExpired);
    let order = OrderId([1; 16]);
    let check_in = old.check_in(vec![], u64::MAX, 0);
    assert_refused(session.post::<CheckInReply>("/v1/check-in", &check_in).await, expired.0, expired.1);
    assert_refused(session.get::<()>("/v1/crl").await, expired.0, expired.1);
    assert_refused(session.get::<Metadata>("/v1/metadata").await, expired.0, expired.1);
    let help = session.get::<Help>(&format!("/v1/orders/{order}/help")).await;
    assert_refused(help.map(|_| ()), expired.0, expired.1);
    let receipt = ReceiptRequest { order, artifact: banyan_proto::Digest([2; 32]), ways: vec![], sources: vec![] };
    assert_refused(session.post::<ReceiptReply>("/v1/receipt", &receipt).await, expired.0, expired.1);
    let go = InstallPermitRequest { order };
    assert_refused(session.post::<Signed<InstallPermit>>("/v1/go-ahead", &go).await, expired.0, expired.1);
    assert_refused(session.post::<()>("/v1/reports", &Reports { reports: vec![] }).await, expired.0, expired.1);

    let (certificate, key) = renew(&mut session).await.unwrap();
    assert_eq!(machine_of(&certificate).unwrap(), old.id);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let back = Agent { credentials: Credentials { certificate, key, ca: old.credentials.ca.clone() }, ..old };
    back.session().await.post::<CheckInReply>("/v1/check-in", &check_in).await.unwrap();
}

#[tokio::test]
async fn a_connection_does_not_outlast_the_certificate_it_was_opened_with() {
    let world = World::new().await;
    let until = UnixSeconds::now().plus(2);
    let agent = ending(&world, world.agent("a").await, until);
    let mut session = agent.session().await;
    let check_in = agent.check_in(vec![], u64::MAX, 0);
    session.post::<CheckInReply>("/v1/check-in", &check_in).await.unwrap();
    while UnixSeconds::now() <= until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = session.post::<CheckInReply>("/v1/check-in", &check_in).await;
    assert_refused(after, StatusCode::FORBIDDEN, Reason::CertificateExpired);
    renew(&mut session).await.unwrap();
}

#[tokio::test]
async fn after_400_days_it_is_too_late_and_that_is_said() {
    let world = World::new().await;
    let old = aged(&world, world.agent("forgotten").await, 401 * DAY);
    assert_eq!(alert(&world, &old).await, Some(AlertDescription::CertificateExpired));
}

#[tokio::test]
async fn a_revoked_machine_does_not_come_back_by_being_late() {
    let world = World::new().await;
    let old = aged(&world, world.agent("stolen").await, 30 * DAY);
    world.admin().await.post::<()>("/api/v1/machines/stolen/revoke", &()).await.unwrap();
    assert_eq!(alert(&world, &old).await, Some(AlertDescription::CertificateRevoked));
}

#[tokio::test]
async fn an_expired_certificate_of_another_ca_is_worth_nothing() {
    let world = World::new().await;
    let agent = world.agent("a").await;
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let issuer = Issuer::new(params, KeyPair::generate().unwrap());
    let certificate = sign(&agent, &issuer, UnixSeconds(UnixSeconds::now().0 - DAY));
    assert_eq!(alert(&world, &with(agent, certificate)).await, Some(AlertDescription::UnknownCA));
}

#[tokio::test]
async fn a_machine_that_the_server_does_not_know_gets_only_a_refusal() {
    let world = World::new().await;
    let stranger = Agent { id: MachineId::random(), ..world.agent("a").await };
    let mut session = aged(&world, stranger, DAY).open().await.unwrap();
    let (status, _) = session.raw(hyper::Method::POST, "/v1/renew", b"{}".to_vec()).await.unwrap();
    assert_eq!(status, hyper::StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_peer_protocol_is_not_spoken_with_it() {
    let world = World::new().await;
    let greets = async |agent: &Agent| {
        let stream = TcpStream::connect(world.address).await.unwrap();
        let connector = TlsConnector::from(agent.credentials.connector(None, &[ALPN_PEER]).unwrap());
        let mut peer = connector.connect(ServerName::try_from(SERVER_NAME).unwrap(), stream).await.unwrap();
        // The server greets at once, or hangs up.
        matches!(peer.read(&mut [0; 64]).await, Ok(1..))
    };
    let agent = world.agent("a").await;
    assert!(greets(&agent).await);
    assert!(!greets(&aged(&world, agent, DAY)).await);
}
