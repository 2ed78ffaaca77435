//! A proxy between the command line and the server that sees inside TLS, because it has the server's key. It counts the
//! bytes of uploads, stops forwarding them, and lets the server answer at once that it is at work.

use crate::TestNetwork;
use banyan_proto::{ALPN_HTTP, Address, admin::Profile};
use banyan_wire::tls::{Credentials, SERVER_NAME, pinned_client};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use std::{
    fs, io,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::Notify,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What the proxy does and has seen.
struct Inspection {
    uploaded: AtomicU64,
    /// After how many bytes uploads stop.
    stop_after: AtomicU64,
    is_stopped: AtomicBool,
    /// Wakes stopped uploads.
    resumed: Notify,
    /// How often a client asked how far an upload is.
    state_requests: AtomicU64,
    /// How often a client asked whether work is done.
    polls: AtomicU64,
    /// Whether the answer to the next request to deploy is lost.
    loses_next: AtomicBool,
    connections: Mutex<JoinSet<()>>,
}

/// The proxy. It ends when this is dropped.
pub struct InspectingProxy {
    profile: String,
    inspection: Arc<Inspection>,
    _runtime: Runtime,
}

impl InspectingProxy {
    /// Starts a proxy in front of the network's server.
    ///
    /// # Panics
    /// When it cannot listen, or the server's files are missing.
    #[must_use]
    pub fn start(network: &TestNetwork) -> Self {
        let inspection = Arc::new(Inspection {
            uploaded: AtomicU64::new(0),
            stop_after: AtomicU64::new(u64::MAX),
            is_stopped: AtomicBool::new(false),
            resumed: Notify::new(),
            state_requests: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            loses_next: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let runtime = Runtime::new().expect("a runtime can be started");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let real = network.profile();
        let (server, ca) = (real.servers[0].as_socket().expect("the server has an IP address"), real.ca);
        let client = pinned_client(ca, &[ALPN_HTTP]).expect("a TLS configuration");
        let (acceptor, connector) = (TlsAcceptor::from(acceptor(network)), TlsConnector::from(Arc::new(client)));
        let profile = network.path("proxy.toml");
        let text = toml::to_string(&Profile { servers: vec![Address::from(address)], ..real }).expect("a profile");
        fs::write(&profile, text).expect("the file can be written");
        let shared = Arc::clone(&inspection);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connector, inspection) = (acceptor.clone(), connector.clone(), Arc::clone(&shared));
                let relay = async move { drop(relay(stream, server, &acceptor, &connector, &inspection).await) };
                shared.connections.lock().unwrap_or_else(PoisonError::into_inner).spawn(relay);
            }
        });
        Self { profile, inspection, _runtime: runtime }
    }
    /// Returns an administrator's command that goes through the proxy.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = crate::programs::banyan();
        command.args(["--profile", &self.profile]).args(arguments);
        command
    }
    /// Returns how many bytes of uploads have passed since the last call.
    #[must_use]
    pub fn take_uploaded(&self) -> u64 {
        self.inspection.uploaded.swap(0, Ordering::SeqCst)
    }
    /// Stops each upload after so many bytes. Connections stay open, as in a network that is cut.
    pub fn stop_uploads_after(&self, bytes: u64) {
        self.inspection.is_stopped.store(false, Ordering::SeqCst);
        self.inspection.stop_after.store(bytes, Ordering::SeqCst);
    }
    /// Lets later uploads pass. Those that are stopped stay so.
    pub fn let_uploads_pass(&self) {
        self.inspection.stop_after.store(u64::MAX, Ordering::SeqCst);
    }
    /// Lets all uploads pass, also those that are stopped.
    pub fn resume_uploads(&self) {
        self.let_uploads_pass();
        self.inspection.resumed.notify_waiters();
    }
    /// Returns whether an upload has been stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inspection.is_stopped.load(Ordering::SeqCst)
    }
    /// Returns how often a client has asked whether work is done.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.inspection.polls.load(Ordering::SeqCst)
    }
    /// Returns how often a client has asked how far an upload is.
    #[must_use]
    pub fn state_requests(&self) -> u64 {
        self.inspection.state_requests.load(Ordering::SeqCst)
    }
    /// Passes the next request to deploy on, and closes its connection instead of passing on the answer.
    pub fn lose_next_answer(&self) {
        self.inspection.loses_next.store(true, Ordering::SeqCst);
    }
    /// Returns whether an answer is still to be lost.
    #[must_use]
    pub fn will_lose_an_answer(&self) -> bool {
        self.inspection.loses_next.load(Ordering::SeqCst)
    }
    /// Closes all connections.
    pub fn close_connections(&self) {
        self.inspection.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

fn acceptor(network: &TestNetwork) -> Arc<rustls::ServerConfig> {
    let read = |name: &str| fs::read(network.path(&format!("server/keys/{name}"))).expect("the server has this key");
    let certificate = |name: &str| CertificateDer::from_pem_slice(&read(name)).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&read("server.key")).expect("a key");
    let credentials = Credentials { certificate: certificate("server.pem"), key, ca: certificate("ca.pem") };
    credentials.acceptor(None, true, &[ALPN_HTTP]).expect("a TLS configuration")
}

async fn relay(
    stream: TcpStream,
    server: SocketAddr,
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    inspection: &Inspection,
) -> io::Result<()> {
    let client = acceptor.accept(stream).await?;
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let server = connector.connect(name, TcpStream::connect(server).await?).await?;
    let (from_client, mut to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let is_lost = AtomicBool::new(false);
    tokio::select! {
        ended = forward_requests(from_client, to_server, inspection, &is_lost) => ended,
        ended = forward_answers(from_server, &mut to_client, &is_lost) => ended,
    }
}

/// Passes answers on, until one is to be lost.
async fn forward_answers(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    is_lost: &AtomicBool,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 || is_lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
    }
}

async fn forward_requests(
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    inspection: &Inspection,
    is_lost: &AtomicBool,
) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        head.push_str("prefer: wait=0\r\n\r\n");
        if head.starts_with("GET /api/v1/work/") {
            inspection.polls.fetch_add(1, Ordering::SeqCst);
        }
        if head.contains("/upload HTTP/1.1") {
            inspection.state_requests.fetch_add(1, Ordering::SeqCst);
        }
        if head.starts_with("POST /api/v1/deployments ") && inspection.loses_next.swap(false, Ordering::SeqCst) {
            is_lost.store(true, Ordering::SeqCst);
        }
        to.write_all(head.as_bytes()).await?;
        forward_body(&mut from, &mut to, length, head.starts_with("PUT "), inspection).await?;
        to.flush().await?;
    }
}

async fn forward_body(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    length: u64,
    is_upload: bool,
    inspection: &Inspection,
) -> io::Result<()> {
    let (mut left, mut buffer) = (length, vec![0; 16 << 10]);
    while left > 0 {
        if is_upload && length - left >= inspection.stop_after.load(Ordering::SeqCst) {
            to.flush().await?;
            let resumed = inspection.resumed.notified();
            inspection.is_stopped.store(true, Ordering::SeqCst);
            resumed.await;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read(&mut buffer[..most]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&buffer[..read]).await?;
        left -= read as u64;
        if is_upload {
            inspection.uploaded.fetch_add(read as u64, Ordering::SeqCst);
        }
    }
    Ok(())
}
