//! Accepts connections on the server's port, with limits on handshake time and connection count. Passes machines that
//! speak the framed protocol to the node, and everything else to the HTTP API.

use crate::server::Server;
use axum::Router;
use banyan_proto::{ALPN_PEER, MachineId, UnixSeconds, code::EXPORTER_LABEL};
use banyan_wire::{
    connection,
    socket::Socket,
    tls::{machine_of, valid_until},
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
use socket2::{SockRef, TcpKeepalive};
use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

/// Time limit for receiving a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long shutdown waits for a response in progress.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// TCP keepalive idle time: a machine that vanished silently is detected after about this long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// The remote end of an HTTP connection. Attached to each of the connection's requests.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    /// The machine's identifier, from the certificate that TLS verified; `None` without a certificate.
    pub(crate) machine: Option<MachineId>,
    /// When that certificate expires.
    pub(crate) until: Option<UnixSeconds>,
    /// The remote IP address.
    pub(crate) from: IpAddr,
    /// The TLS session's exporter value, which proofs are bound to (rule A3).
    pub(crate) exporter: [u8; 32],
}

impl Peer {
    /// Returns whether the certificate has expired. The machine may then renew it and do nothing else (rule I8).
    /// Checked for each request, because a connection can outlast the certificate that opened it.
    pub(crate) fn is_late(&self, now: UnixSeconds) -> bool {
        self.until.is_some_and(|until| until < now)
    }
}

/// Accepts connections until the server stops.
pub(crate) async fn serve(nms: Arc<Server>, listener: TcpListener, router: Router) {
    loop {
        let (stream, from) = match nms.stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                // The usual cause is too many open files, which resolves as connections close.
                warn!("failed to accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (nms, router, ip) = (Arc::clone(&nms), router.clone(), from.ip().to_canonical());
        let Ok(handshake_guard) = nms.connections.begin_handshake(ip) else {
            debug!(%ip, "connection closed: too many handshakes in progress");
            continue;
        };
        nms.tasks.clone().spawn(async move {
            let handshake = connection::handshake(stream, nms.tls.acceptor()).await;
            drop(handshake_guard);
            match handshake {
                Ok(stream) => dispatch(&nms, stream, ip, router).await,
                Err(error) => debug!(%ip, "TLS handshake failed: {error}"),
            }
        });
    }
}

async fn dispatch(nms: &Arc<Server>, stream: TlsStream<Socket>, from: IpAddr, router: Router) {
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let until = certificate.and_then(valid_until);
    let machine = match certificate.map(machine_of) {
        None => None,
        Some(Ok(id)) if nms.registry.is_trusted(id) => Some(id),
        Some(_) => {
            warn!(%from, "connection closed: its certificate belongs to an unknown or revoked machine");
            return;
        }
    };
    if session.alpn_protocol() == Some(ALPN_PEER) {
        match (machine, until, nms.node.get()) {
            (Some(id), Some(until), Some(node)) if until >= Server::now() && nms.registry.exclusion(id).is_none() => {
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
    serve_http(nms, stream, Peer { machine, until, from, exporter }, router).await;
}

async fn serve_http(nms: &Arc<Server>, stream: TlsStream<Socket>, peer: Peer, router: Router) {
    let socket = SockRef::from(stream.get_ref().0.tcp());
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive)) {
        debug!("failed to set socket options: {error}");
    }
    let Ok(guard) = nms.connections.admit(peer.machine, peer.from) else {
        warn!(from = %peer.from, machine = ?peer.machine, "connection closed: too many connections");
        return;
    };
    // Revoked between handshake and admission: the revocation's cut ran before this connection was registered.
    if peer.machine.is_some_and(|id| !nms.registry.is_trusted(id)) {
        return;
    }
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        inner.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                debug!(from = %peer.from, "HTTP connection failed: {error}");
            }
        }
        () = guard.cut.cancelled() => debug!(machine = ?peer.machine, "connection cut"),
        () = nms.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(timeout(SHUTDOWN_GRACE, connection).await);
        }
    }
}
