//! A connection to one other machine: dialled or accepted, its identity verified, the greetings exchanged.

use crate::{
    bandwidth_yield::SocketHandle,
    socket::{Socket, SocketControl},
    tls::{self, machine_name, machine_of},
};
use banyan_proto::{
    ALPN_PEER, Address, MachineId, Reason,
    frame::{self, Frame},
    limits,
    peer::{Control, Hello},
};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError,
    pki_types::{CertificateDer, ServerName},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, TlsStream};

/// How long a machine may take to answer a dial; all its addresses are tried at once (rule L7).
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the greetings may take on an accepted connection.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long, and for how many bytes, a refused client may take to disconnect.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_LINGER_BYTES: u64 = 64 << 10;
/// How many protocol versions of the other side are named when none is in common.
const MAX_NAMED_VERSIONS: usize = 8;

/// An open connection to an identified machine.
pub struct Connection {
    /// The peer's identifier, from its certificate.
    pub peer: MachineId,
    /// The peer's certificate.
    pub certificate: CertificateDer<'static>,
    /// The peer's greeting.
    pub hello: Hello,
    pub(crate) read: ReadHalf<TlsStream<Socket>>,
    pub(crate) write: WriteHalf<TlsStream<Socket>>,
    pub(crate) control: SocketControl,
    /// A second handle on the socket, for statistics.
    pub(crate) handle: Option<SocketHandle>,
}

/// The reason why no connection was established.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct ConnectionError {
    /// The reason code for the state machine and the report.
    pub reason: Reason,
    /// A description for log readers.
    pub detail: String,
}

impl ConnectionError {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
impl From<io::Error> for ConnectionError {
    /// Distinguishes a wrong or revoked machine from an unreachable one.
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        let reason = match tls {
            Some(TlsError::InvalidCertificate(error)) => reason_of(error),
            Some(TlsError::AlertReceived(AlertDescription::CertificateExpired)) => Reason::CertificateExpired,
            // What the TLS library answers to a valid certificate when its own revocation list has expired.
            Some(TlsError::AlertReceived(AlertDescription::UnknownCA)) => Reason::RevocationListExpired,
            Some(TlsError::AlertReceived(_)) => Reason::Revoked,
            _ => Reason::Unreachable,
        };
        Self::new(reason, error.to_string())
    }
}

/// Returns the reason for an invalid certificate. What depends on the time is told apart from a wrong machine.
fn reason_of(error: &CertificateError) -> Reason {
    match error {
        CertificateError::Revoked => Reason::Revoked,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::CertificateExpired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Reason::ClockWrong,
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            Reason::RevocationListExpired
        }
        _ => Reason::WrongIdentity,
    }
}

/// Connects to a machine at all its addresses at once. The first connection that proves to be that machine wins.
///
/// # Errors
/// When none succeeds within [`DIAL_TIMEOUT`].
pub async fn dial(
    peer: MachineId,
    addresses: Vec<Address>,
    tls: Arc<ClientConfig>,
    hello: Hello,
) -> Result<Connection, ConnectionError> {
    let mut attempts: JoinSet<_> = addresses
        .into_iter()
        .map(|address| {
            let (tls, hello) = (Arc::clone(&tls), hello.clone());
            async move {
                // A text, so that a host name is looked up now, and each address that it has is tried.
                let stream = Socket::from(TcpStream::connect(address.to_string()).await?);
                stream.prepare()?;
                let name = ServerName::try_from(machine_name(peer))
                    .map_err(|_| ConnectionError::new(Reason::InternalError, "the name is not a DNS name"))?;
                let stream = TlsConnector::from(tls).connect(name, stream).await?;
                greet(TlsStream::Client(stream), hello).await
            }
        })
        .collect();
    let first = async {
        let mut last = ConnectionError::new(Reason::Unreachable, "no address of this machine is known");
        while let Some(attempt) = attempts.join_next().await {
            match attempt {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => last = error,
                Err(error) => last = ConnectionError::new(Reason::InternalError, error.to_string()),
            }
        }
        Err(last)
    };
    timeout(DIAL_TIMEOUT, first).await.unwrap_or_else(|_| {
        Err(ConnectionError::new(Reason::Unreachable, format!("no answer in {} seconds", DIAL_TIMEOUT.as_secs())))
    })
}

/// Exchanges greetings on an accepted connection.
///
/// # Errors
/// When the peer presents no machine certificate, or does not greet.
pub async fn accept(
    stream: tokio_rustls::server::TlsStream<Socket>,
    hello: Hello,
) -> Result<Connection, ConnectionError> {
    stream.get_ref().0.prepare()?;
    timeout(GREETING_TIMEOUT, greet(TlsStream::Server(stream), hello))
        .await
        .unwrap_or_else(|_| Err(ConnectionError::new(Reason::ProtocolBroken, "no greeting received")))
}

async fn greet(stream: TlsStream<Socket>, mine: Hello) -> Result<Connection, ConnectionError> {
    let broken = |detail: String| ConnectionError::new(Reason::ProtocolBroken, detail);
    let (socket, session) = stream.get_ref();
    let (control, handle) = (socket.control(), socket.duplicate_handle());
    if session.alpn_protocol() != Some(ALPN_PEER) {
        return Err(broken("the peer does not speak this protocol".into()));
    }
    let certificate = session
        .peer_certificates()
        .and_then(<[_]>::first)
        .ok_or_else(|| ConnectionError::new(Reason::WrongIdentity, "the peer presented no certificate"))?
        .clone()
        .into_owned();
    let peer =
        machine_of(&certificate).map_err(|error| ConnectionError::new(Reason::WrongIdentity, error.to_string()))?;
    let (mut read, mut write) = tokio::io::split(stream);
    write.write_all(&Frame::Control(Control::Hello(mine.clone())).encode()).await?;
    write.flush().await?;
    let mut header = [0; frame::HEADER];
    read.read_exact(&mut header).await?;
    let wrong = |error: frame::FrameError| ConnectionError::new(error.reason(), error.to_string());
    let (kind, length) = frame::parse_header(header, limits::HELLO_BYTES).map_err(wrong)?;
    if frame::is_chunk(kind) {
        return Err(broken("the peer sent content before the greeting".into()));
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).await?;
    match frame::parse_body(kind, body) {
        Ok(Frame::Control(Control::Hello(hello))) if mine.common_version(&hello).is_some() => {
            Ok(Connection { peer, certificate, hello, read, write, control, handle })
        }
        Ok(Frame::Control(Control::Hello(hello))) => {
            let list = |versions: &[u16]| {
                versions.iter().take(MAX_NAMED_VERSIONS).map(u16::to_string).collect::<Vec<_>>().join(", ")
            };
            let (theirs, ours) = (list(&hello.versions), list(&mine.versions));
            let detail = format!("{} supports the protocol versions {theirs}; this side {ours}", hello.software);
            Err(ConnectionError::new(Reason::NoCommonVersion, detail))
        }
        Ok(_) => Err(broken("the peer sent another message before the greeting".into())),
        Err(error) => Err(wrong(error)),
    }
}

/// Performs the TLS handshake on an incoming connection, within a time limit.
///
/// # Errors
/// When the handshake fails or takes too long.
pub async fn handshake(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<tokio_rustls::server::TlsStream<Socket>> {
    let handshaken = async {
        let accepting = tokio_rustls::TlsAcceptor::from(config).accept(Socket::from(stream)).into_fallible();
        match accepting.await {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                linger(stream).await;
                Err(error)
            }
        }
    };
    timeout(GREETING_TIMEOUT, handshaken)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")))
}

/// Gives a refused client time to read the reason. In TLS 1.3 the client sends its first request together with its
/// certificate. Closing before that has been read resets the connection, and the alert is lost.
async fn linger(mut stream: Socket) {
    let drained = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(MAX_LINGER_BYTES), &mut tokio::io::sink()).await
    };
    drop(timeout(LINGER_TIMEOUT, drained).await);
}

/// The TLS configurations of a node; replaced as a whole when the revocation list changes.
#[derive(Clone)]
pub struct TlsPair {
    /// For incoming connections.
    pub acceptor: Arc<rustls::ServerConfig>,
    /// For connections to peers.
    pub connector: Arc<ClientConfig>,
}

impl TlsPair {
    /// Returns both configurations for a machine: certificates on both sides, revocation list enforced.
    ///
    /// # Errors
    /// When certificate, key, CA or list do not match.
    pub fn for_peers(credentials: &tls::Credentials, crl: Option<&tls::Crl>) -> Result<Self, tls::IdentityError> {
        Ok(Self {
            acceptor: credentials.acceptor(crl, false, &[ALPN_PEER])?,
            connector: credentials.connector(crl, &[ALPN_PEER])?,
        })
    }
}

impl Connection {
    /// Sends one frame without a node, for programs that speak the protocol directly, such as tests.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.send_bytes(&frame.encode()).await
    }
    /// Sends bytes that need not be a frame.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await?;
        self.write.flush().await
    }
    /// Reads the next frame without a node.
    ///
    /// # Errors
    /// When the peer is gone or sends something else.
    pub async fn next(&mut self) -> io::Result<Frame> {
        let mut header = [0; frame::HEADER];
        self.read.read_exact(&mut header).await?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let (kind, length) = frame::parse_header(header, limits::CONTROL_BYTES).map_err(invalid)?;
        let mut body = vec![0; length];
        self.read.read_exact(&mut body).await?;
        frame::parse_body(kind, body).map_err(invalid)
    }
}
