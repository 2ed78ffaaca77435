//! The test environment: a server with its own data folder, an administrator, and minimal machines (key, certificate,
//! HTTP).

use crate::publisher::{Publisher, manifest};
use banyan_proto::{
    ALPN_ADMINISTRATOR, ALPN_HTTP, ALPN_PEER, Address, Digest, KeyRing, MachineId, OrderId, Reason, ServerCopies,
    admin::{
        Deploy, Deployed, DeploymentStatus, Info, Machine, NewToken, Profile, Publish, RegisterRoot, Selection,
        TokenCreated,
    },
    api::{ApiError, CheckIn, EnrolReply, EnrolRequest, Event, Report, Reports},
    code::EXPORTER_LABEL,
    order::{Spread, Window},
    rollout::Rollout,
    time::UnixSeconds,
};
use banyan_server::start::{Running, Settings, start};
use banyan_wire::{
    socket::Keepalive,
    tls::{Credentials, SERVER_NAME, pinned_client},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1::SendRequest, header};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// How long any step may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One HTTP connection.
pub(crate) struct Session {
    send: SendRequest<Full<Bytes>>,
    pub(crate) exporter: [u8; 32],
    pub(crate) token: Option<String>,
    /// Finishes when the connection closes.
    pub(crate) ended: tokio::task::JoinHandle<()>,
    /// How long requests prefer to wait for an answer (seconds).
    pub(crate) waits: Option<u32>,
    /// Further headers of each request.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// A refused request, as a client sees it.
pub(crate) type Refused = (StatusCode, ApiError);

impl Session {
    /// Connects and completes the TLS handshake. Sends no request.
    pub(crate) async fn open(server: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let exporter = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).unwrap();
        let (send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        let ended = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { send, exporter, token: None, waits: None, headers: vec![], ended })
    }
    pub(crate) async fn raw(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> hyper::Result<(StatusCode, Bytes)> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
    /// Returns the headers of an answer.
    pub(crate) async fn headers(&mut self, method: Method, path: &str) -> header::HeaderMap {
        self.send(method, path, vec![]).await.expect("the connection failed").headers().clone()
    }
    async fn send(&mut self, method: Method, path: &str, body: Vec<u8>) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, SERVER_NAME);
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(seconds) = self.waits {
            request = request.header("prefer", format!("wait={seconds}"));
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        self.send.ready().await?;
        timeout(PATIENCE, self.send.send_request(request.body(Full::from(body)).unwrap()))
            .await
            .expect("the server did not answer in time")
    }
    async fn ask<T: DeserializeOwned>(&mut self, method: Method, path: &str, body: Vec<u8>) -> Result<T, Refused> {
        let (status, body) = self.raw(method, path, body).await.expect("the connection failed");
        if status.is_success() {
            let body = if body.is_empty() { b"null".as_slice() } else { &body };
            Ok(serde_json::from_slice(body).expect("the answer cannot be parsed"))
        } else {
            let error = serde_json::from_slice(&body);
            Err((status, error.unwrap_or_else(|_| panic!("{status} without an API error: {body:?}"))))
        }
    }
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Refused> {
        self.ask(Method::GET, path, vec![]).await
    }
    pub(crate) async fn post<T: DeserializeOwned>(&mut self, path: &str, body: &impl Serialize) -> Result<T, Refused> {
        self.ask(Method::POST, path, serde_json::to_vec(body).unwrap()).await
    }
}

/// An enrolled machine.
pub(crate) struct Agent {
    pub(crate) id: MachineId,
    pub(crate) keys: KeyRing,
    pub(crate) credentials: Credentials,
    pub(crate) reply: EnrolReply,
    pub(crate) server: SocketAddr,
}

impl Agent {
    pub(crate) async fn open(&self) -> std::io::Result<Session> {
        self.open_as(&[ALPN_HTTP]).await
    }
    /// Opens a session that offers these protocols.
    pub(crate) async fn open_as(&self, protocols: &[&[u8]]) -> std::io::Result<Session> {
        Session::open(self.server, self.credentials.connector(None, protocols).unwrap()).await
    }
    pub(crate) async fn session(&self) -> Session {
        self.open().await.unwrap()
    }
    pub(crate) fn peer_acceptor(&self) -> Arc<rustls::ServerConfig> {
        self.credentials.acceptor(None, false, &[ALPN_PEER]).unwrap()
    }
    pub(crate) fn check_in(&self, addresses: Vec<Address>, crl_number: u64, wait_seconds: u32) -> CheckIn {
        let (label, software) = ("m".into(), "test".into());
        CheckIn {
            boot: 1,
            last: 0,
            label,
            addresses,
            software,
            crl_number,
            epoch: 1,
            known: vec![],
            wait_seconds,
            publishers: None,
            policy: None,
            clock: None,
            server_addresses: None,
            site_budget: None,
            stop_number: None,
        }
    }
    pub(crate) async fn report(&self, number: u64, order: OrderId, event: Event) {
        let report = Report { number, at: UnixSeconds::now(), order: Some(order), event };
        self.session().await.post::<()>("/v1/reports", &Reports { reports: vec![report] }).await.unwrap();
    }
}

/// Creates a certificate request and its key.
pub(crate) fn csr() -> (String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap(), key)
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    running: Option<Running>,
    pub(crate) address: SocketAddr,
    pub(crate) profile: Profile,
    pub(crate) publisher: Publisher,
}

impl World {
    /// Starts a server without a root of trust.
    pub(crate) async fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Self::start_in(folder.path(), SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let profile: Profile = toml::from_str(&std::fs::read_to_string(running.profile()).unwrap()).unwrap();
        let address = running.address();
        let mut admin =
            Session::open(address, Arc::new(pinned_client(profile.ca, &[ALPN_HTTP]).unwrap())).await.unwrap();
        admin.token = Some(profile.token.expose().to_owned());
        let info: Info = admin.get("/api/v1/info").await.unwrap();
        let publisher = Publisher::new(&info.online_keys);
        Self { folder, running: Some(running), address, profile, publisher }
    }
    /// Starts a server with a root of trust.
    pub(crate) async fn new() -> Self {
        let world = Self::bare().await;
        world.register_root().await.unwrap();
        world
    }
    async fn start_in(folder: &Path, listen: SocketAddr) -> Running {
        start(Settings { data: folder.join("data"), listen, advertise: vec![], keepalive: Keepalive::default() })
            .await
            .unwrap()
    }
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.running = Some(Self::start_in(self.folder.path(), self.address).await);
    }
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }
    pub(crate) async fn register_root(&self) -> Result<(), Refused> {
        let root = self.publisher.root_text.clone();
        self.admin().await.post("/api/v1/root", &RegisterRoot { root, targets: None }).await
    }
    /// Opens a session that knows the CA and has no credentials.
    pub(crate) async fn stranger(&self) -> Session {
        let config = pinned_client(self.profile.ca, &[ALPN_HTTP]).unwrap();
        Session::open(self.address, Arc::new(config)).await.unwrap()
    }
    /// Opens an administrator's session, announced as `banyan` does.
    pub(crate) async fn admin(&self) -> Session {
        Self::administrator(self.address, &self.profile).await
    }
    pub(crate) async fn administrator(server: SocketAddr, profile: &Profile) -> Session {
        let config = pinned_client(profile.ca, &[ALPN_ADMINISTRATOR, ALPN_HTTP]).unwrap();
        let mut session = Session::open(server, Arc::new(config)).await.unwrap();
        session.token = Some(profile.token.expose().to_owned());
        session
    }
    pub(crate) async fn token(&self, uses: u32, expires_seconds: u64) -> String {
        let wanted = NewToken { uses, expires_seconds, group: Some("office".into()), replaces: None };
        self.admin().await.post::<TokenCreated>("/api/v1/tokens", &wanted).await.unwrap().secret.into()
    }
    pub(crate) fn enrolment(secret: &str, label: &str, csr: &str) -> EnrolRequest {
        EnrolRequest {
            secret: secret.into(),
            csr: csr.into(),
            label: label.into(),
            platform: "linux-x86_64".into(),
            addresses: vec![],
            software: "test".into(),
        }
    }
    pub(crate) async fn try_enrol(&self, request: &EnrolRequest, key: &KeyPair) -> Result<Agent, Refused> {
        let reply: EnrolReply = self.stranger().await.post("/v1/enrol", request).await?;
        let credentials = Credentials {
            certificate: CertificateDer::from_pem_slice(reply.certificate.as_bytes()).unwrap(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            ca: CertificateDer::from_pem_slice(reply.ca.as_bytes()).unwrap(),
        };
        Ok(Agent { id: reply.machine, keys: reply.keys.clone(), credentials, reply, server: self.address })
    }
    pub(crate) async fn agent(&self, label: &str) -> Agent {
        self.agent_on(label, "linux-x86_64", vec![]).await
    }
    pub(crate) async fn agent_on(&self, label: &str, platform: &str, addresses: Vec<Address>) -> Agent {
        let secret = self.token(1, 60).await;
        let (csr, key) = csr();
        let request = EnrolRequest { platform: platform.into(), addresses, ..Self::enrolment(&secret, label, &csr) };
        self.try_enrol(&request, &key).await.unwrap()
    }
    pub(crate) async fn upload(&self, bytes: &[u8]) -> StatusCode {
        let path = format!("/api/v1/artifacts/{}", Digest::of(bytes));
        self.admin().await.raw(Method::PUT, &path, bytes.to_vec()).await.unwrap().0
    }
    /// Publishes a release with these files.
    pub(crate) async fn publish(&mut self, package: &str, sequence: u64, files: &[(&str, &[u8])]) {
        for (_, bytes) in files {
            assert!(self.upload(bytes).await.is_success());
        }
        let (targets, manifest) = self.publisher.release(&manifest(package, sequence, files));
        self.admin().await.post::<()>("/api/v1/releases", &Publish { targets, manifest }).await.unwrap();
    }
    /// Starts a deployment. Returns its first order, whose id is also the deployment's.
    pub(crate) async fn try_deploy(&self, package: &str, to: Selection, stripes: u8) -> Result<OrderId, Refused> {
        let request = Deploy {
            package: package.into(),
            version: None,
            to,
            stripes,
            spread: Spread::CutThrough,
            window: Window::Any,
            deadline: None,
            allow: vec![],
            include_protected: false,
            server_copies: ServerCopies::ONE,
            rollout: Rollout::default(),
        };
        Ok(self.admin().await.post::<Deployed>("/api/v1/deployments", &request).await?.id.first_order())
    }
    pub(crate) async fn deploy(&self, package: &str, to: Selection, stripes: u8) -> OrderId {
        self.try_deploy(package, to, stripes).await.unwrap()
    }
    pub(crate) async fn status(&self, id: OrderId) -> DeploymentStatus {
        self.admin().await.get(&format!("/api/v1/deployments/{id}")).await.unwrap()
    }
    pub(crate) async fn machines(&self) -> Vec<Machine> {
        self.admin().await.get("/api/v1/machines").await.unwrap()
    }
}

/// Asserts that the request was refused with this status and reason.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(result: Result<T, Refused>, status: StatusCode, reason: Reason) {
    let (found, error) = result.expect_err("the request must be refused");
    assert_eq!((found, error.reason), (status, reason), "{error}");
    assert!(!error.detail.is_empty());
}
