//! Accepts connections on the server's port, with limits on handshake time and connection count. Passes machines that
//! speak the framed protocol to the node, and everything else to the HTTP API.
//!
//! Accepting, and all that administrators ask for, runs on threads of their own. So an administrator does not wait behind
//! the handshakes and requests of thousands of machines, which take turns on other threads. Handshakes have their own
//! threads, too, so that machines that are connected do not wait behind those that connect.

use crate::net::{
    client_hello,
    connections::{Connections, Place, TooMany},
    peer_node::PeerNode,
    tls_configuration::TlsConfiguration,
};
use crate::refusal::Refusal;
use axum::Router;
use banyan_proto::{ALPN_PEER, MachineId, Reason, UnixSeconds, code::EXPORTER_LABEL};
use banyan_wire::{
    connection, open_files,
    rare_log::RareLog,
    socket::{Keepalive, Socket},
    tls::{Validity, machine_of, validity},
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

/// Time limit for receiving a request's headers, and for a connection without a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for callers without a certificate.
const STRANGERS_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Memory for a request's headers and for what arrives of its body at once (bytes).
const MAX_HEADER_BYTES: usize = 64 << 10;
/// How long shutdown waits for a response in progress.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// The remote end of an HTTP connection. Attached to each of the connection's requests.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    /// The machine's identifier, from the certificate that TLS verified; `None` without a certificate.
    pub(crate) machine: Option<MachineId>,
    /// When that certificate is valid.
    pub(crate) certificate: Option<Validity>,
    /// The remote IP address.
    pub(crate) from: IpAddr,
    /// The TLS session's exporter value, which proofs are bound to (rule A3).
    pub(crate) exporter: [u8; 32],
}

impl Caller {
    /// Returns whether the certificate has expired or is not valid yet. The machine may then renew it and do nothing
    /// else (rule I8). Checked for each request, because a connection can outlast the certificate that opened it.
    pub(crate) fn must_renew(&self, now: UnixSeconds) -> bool {
        self.certificate.is_some_and(|valid| !valid.contains(now))
    }
}

/// Decides which machines may connect.
pub(crate) trait Admission: Send + Sync + 'static {
    /// Returns whether this machine is registered and not revoked.
    fn is_trusted(&self, machine: MachineId) -> bool;
    /// Returns why this machine is excluded, or `None` if it is not.
    fn exclusion(&self, machine: MachineId) -> Option<Reason>;
}

/// Answers each request of a machine that this server does not know, so that the machine can say what is wrong.
fn refusing() -> Router {
    Router::new().fallback(|| async {
        let detail = "this server does not know the machine: it was revoked, or it was enrolled after the backup that this \
                      server was restored from; empty its --data folder and enrol it again";
        Refusal::forbidden(Reason::Revoked, detail)
    })
}

/// The server's port.
pub(crate) struct Acceptor<A> {
    pub(crate) admission: Arc<A>,
    pub(crate) tls: Arc<TlsConfiguration>,
    pub(crate) connections: Connections,
    /// When a machine that has vanished is noticed.
    pub(crate) keepalive: Keepalive,
    /// Takes the connections of the peer protocol.
    pub(crate) node: PeerNode,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
    /// Carries one task for each connection.
    pub(crate) tasks: TaskTracker,
    /// Runs the TLS handshakes of callers that do not announce an administrator.
    pub(crate) handshakes: Handle,
    /// Runs their connections afterwards.
    pub(crate) machines: Handle,
}

/// What the callers may ask for.
#[derive(Clone)]
pub(crate) struct Routers {
    /// Callers that announce an administrator.
    pub(crate) administrators: Router,
    /// Everybody else. Administrators' programs that do not announce themselves can use it, too.
    pub(crate) all: Router,
}

/// Gives a connection to another runtime, whose threads then wait for its data.
fn move_to(runtime: &Handle, stream: TcpStream) -> io::Result<TcpStream> {
    let stream = stream.into_std()?;
    let _entered = runtime.enter();
    TcpStream::from_std(stream)
}

/// Says once a minute that connections were refused.
fn warn_of_refusal(why: TooMany, from: IpAddr, machine: Option<MachineId>) {
    static MACHINES: RareLog = RareLog::each_minute();
    static OTHERS: RareLog = RareLog::each_minute();
    let limit = open_files::limit().soft;
    match why {
        TooMany::Machines => {
            if let Some(more) = MACHINES.due() {
                warn!(
                    more,
                    limit,
                    "connection of a machine refused: {why}; raise the hard limit of open files (systemd: LimitNOFILE)"
                );
            }
        }
        TooMany::OfMachine | TooMany::Strangers | TooMany::Announced => {
            if let Some(more) = OTHERS.due() {
                warn!(%from, ?machine, more, "connection refused: {why}");
            }
        }
    }
}

impl<A: Admission> Acceptor<A> {
    /// Accepts connections until the server stops. Administrators are served by the threads that run this.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, routers: Routers) {
        loop {
            let (stream, from) = match self.stop.run_until_cancelled(listener.accept()).await {
                None => return,
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => {
                    // The usual cause is too many open files, which resolves as connections close.
                    static FAILED: RareLog = RareLog::each_minute();
                    if let Some(more) = FAILED.due() {
                        let limit = open_files::limit().soft;
                        warn!(more, limit, "failed to accept a connection: {error}; slow callers make room");
                    }
                    self.connections.make_room();
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let ip = from.ip().to_canonical();
            let place = match self.connections.arrive(ip) {
                Ok(place) => place,
                Err(why) => {
                    warn_of_refusal(why, ip, None);
                    continue;
                }
            };
            self.tasks.spawn(Arc::clone(&self).receive(stream, ip, place, routers.clone()));
        }
    }

    /// Waits for the caller's first message, which decides who serves it.
    async fn receive(self: Arc<Self>, stream: TcpStream, ip: IpAddr, place: Place, routers: Routers) {
        let announces = match place.cut.run_until_cancelled(client_hello::announces_administrator(&stream)).await {
            Some(Ok(announces)) => announces,
            Some(Err(error)) => return debug!(%ip, "connection closed before its handshake: {error}"),
            None => return debug!(%ip, "silent connection cut, to make room"),
        };
        if let Err(why) = place.leave_arrivals(announces) {
            return warn_of_refusal(why, ip, None);
        }
        if announces {
            if let Some(stream) = self.handshake(stream, ip, &place).await {
                self.dispatch(stream, ip, place, routers.administrators).await;
            }
            return;
        }
        let stream = match move_to(&self.machines, stream) {
            Ok(stream) => stream,
            Err(error) => return debug!(%ip, "failed to pass on a connection: {error}"),
        };
        let this = Arc::clone(&self);
        let handshake = async move {
            if let Some(stream) = this.handshake(stream, ip, &place).await {
                let served = Arc::clone(&this);
                let serve = async move { served.dispatch(stream, ip, place, routers.all).await };
                this.tasks.spawn_on(serve, &this.machines);
            }
        };
        self.tasks.spawn_on(handshake, &self.handshakes);
    }

    async fn handshake(&self, stream: TcpStream, ip: IpAddr, place: &Place) -> Option<TlsStream<Socket>> {
        let handshake = connection::handshake(stream, self.tls.acceptor());
        match place.cut.run_until_cancelled(handshake).await {
            Some(Ok(stream)) => return Some(stream),
            Some(Err(error)) => debug!(%ip, "TLS handshake failed: {error}"),
            None => debug!(%ip, "slow TLS handshake cut, to make room"),
        }
        None
    }

    /// Passes a connection to the node or to the HTTP API, by the protocol that it negotiated.
    async fn dispatch(&self, stream: TlsStream<Socket>, from: IpAddr, place: Place, router: Router) {
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let valid = certificate.and_then(validity);
        let machine = match certificate.map(machine_of) {
            None => None,
            Some(Ok(id)) if self.admission.is_trusted(id) => Some(id),
            Some(_) => {
                static UNKNOWN: RareLog = RareLog::each_minute();
                if let Some(more) = UNKNOWN.due() {
                    warn!(%from, more, "connection refused: its certificate belongs to an unknown or revoked machine");
                }
                if session.alpn_protocol() != Some(ALPN_PEER) {
                    let caller = Caller { machine: None, certificate: None, from, exporter: [0; 32] };
                    self.serve_http(stream, caller, place, refusing()).await;
                }
                return;
            }
        };
        if machine.is_some() && place.is_announced() {
            debug!(%from, ?machine, "connection closed: a machine announces an administrator");
            return;
        }
        if session.alpn_protocol() == Some(ALPN_PEER) {
            match (machine, valid, self.node.get()) {
                (Some(id), Some(valid), Some(node))
                    if valid.contains(UnixSeconds::now()) && self.admission.exclusion(id).is_none() =>
                {
                    // The node counts its connections itself.
                    drop(place);
                    node.accept(stream);
                }
                _ => debug!(%from, ?machine, "peer connection closed: no valid certificate, or an excluded machine"),
            }
            return;
        }
        let exporter = match session.export_keying_material([0; 32], EXPORTER_LABEL, None) {
            Ok(exporter) => exporter,
            Err(error) => {
                warn!(%from, "connection closed: no TLS exporter: {error}");
                return;
            }
        };
        self.serve_http(stream, Caller { machine, certificate: valid, from, exporter }, place, router).await;
    }

    async fn serve_http(&self, stream: TlsStream<Socket>, caller: Caller, place: Place, router: Router) {
        let socket = stream.get_ref().0.tcp();
        // A machine that vanished is offline once its connection is.
        if let Err(error) = socket.set_nodelay(true).and_then(|()| self.keepalive.set(socket)) {
            debug!("failed to set socket options: {error}");
        }
        if let Some(id) = caller.machine
            && let Err(why) = place.become_machine(id)
        {
            warn_of_refusal(why, caller.from, caller.machine);
            return;
        }
        // Revoked between handshake and admission: the revocation's cut ran before this connection was registered.
        if caller.machine.is_some_and(|id| !self.admission.is_trusted(id)) {
            return;
        }
        let inner = TowerToHyperService::new(router);
        let place = Arc::new(place);
        let cut = place.cut.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(Arc::clone(&place));
            inner.call(request)
        });
        let mut builder = http1::Builder::new();
        let patience = if caller.machine.is_some() { HEADER_TIMEOUT } else { STRANGERS_HEADER_TIMEOUT };
        builder.timer(TokioTimer::new()).header_read_timeout(patience).max_buf_size(MAX_HEADER_BYTES);
        // The library's date stands still after the clock was set back. Documents that need a time have their own.
        builder.auto_date_header(false);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(from = %caller.from, "HTTP connection failed: {error}");
                }
            }
            () = cut.cancelled() => debug!(machine = ?caller.machine, "connection cut"),
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                drop(timeout(SHUTDOWN_GRACE, connection).await);
            }
        }
    }
}
