//! The port: TLS handshakes with a time limit, caps, and who goes where: machines that speak the framed protocol to the
//! node, everybody else to the HTTP API.

use crate::nms::Nms;
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

/// A request's head must come within this time.
const HEAD: Duration = Duration::from_secs(60);
/// How long an answer under way may take when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// A machine that vanished without a word is noticed after about this time.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Who is on the other side of an HTTP connection; goes with each of its requests.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    /// From its certificate, which TLS has verified; none for strangers.
    pub(crate) machine: Option<MachineId>,
    /// When that certificate ends.
    pub(crate) until: Option<UnixSeconds>,
    /// Where the connection comes from.
    pub(crate) from: IpAddr,
    /// This session's exporter, which proofs are bound to (rule A3).
    pub(crate) exporter: [u8; 32],
}

impl Peer {
    /// Whether its certificate has expired: it may renew it and do nothing else (rule I8). Asked for each request, since a
    /// connection can outlast the certificate it was opened with.
    pub(crate) fn is_late(&self, now: UnixSeconds) -> bool {
        self.until.is_some_and(|until| until < now)
    }
}

/// Accepts connections until the server ends.
pub(crate) async fn serve(nms: Arc<Nms>, listener: TcpListener, router: Router) {
    loop {
        let (stream, from) = match nms.stop.run_until_cancelled(listener.accept()).await {
            None => return,
            Some(Ok(accepted)) => accepted,
            Some(Err(error)) => {
                // Too many open files, usually: it passes when connections end.
                warn!("a connection could not be accepted: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (nms, router, ip) = (Arc::clone(&nms), router.clone(), from.ip().to_canonical());
        let Ok(place) = nms.live.shake(ip) else {
            debug!(%ip, "too many handshakes at once: one more is closed");
            continue;
        };
        nms.tasks.clone().spawn(async move {
            let shaken = connection::handshake(stream, nms.doors.acceptor()).await;
            drop(place);
            match shaken {
                Ok(stream) => lead(&nms, stream, ip, router).await,
                Err(error) => debug!(%ip, "no TLS: {error}"),
            }
        });
    }
}

async fn lead(nms: &Arc<Nms>, stream: TlsStream<Socket>, from: IpAddr, router: Router) {
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let until = certificate.and_then(valid_until);
    let machine = match certificate.map(machine_of) {
        None => None,
        Some(Ok(id)) if nms.registry.is_trusted(id) => Some(id),
        Some(_) => {
            warn!(%from, "a certificate of a machine that this server does not know, or has revoked");
            return;
        }
    };
    if session.alpn_protocol() == Some(ALPN_PEER) {
        match (machine, until, nms.node.get()) {
            (Some(id), Some(until), Some(node)) if until >= Nms::now() && nms.registry.out(id).is_none() => {
                node.accept(stream);
            }
            _ => debug!(%from, ?machine, "the peer protocol without a certificate, with an expired one, or set aside"),
        }
        return;
    }
    let exporter = match session.export_keying_material([0; 32], EXPORTER_LABEL, None) {
        Ok(exporter) => exporter,
        Err(error) => {
            warn!(%from, "no exporter: {error}");
            return;
        }
    };
    http(nms, stream, Peer { machine, until, from, exporter }, router).await;
}

async fn http(nms: &Arc<Nms>, stream: TlsStream<Socket>, peer: Peer, router: Router) {
    let socket = SockRef::from(stream.get_ref().0.tcp());
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    if let Err(error) = socket.set_tcp_nodelay(true).and_then(|()| socket.set_tcp_keepalive(&keepalive)) {
        debug!("socket options: {error}");
    }
    let Ok(ticket) = nms.live.admit(peer.machine, peer.from) else {
        warn!(from = %peer.from, machine = ?peer.machine, "too many connections at once: one more is closed");
        return;
    };
    // Revoked between handshake and admission: the cut came too early for this connection.
    if peer.machine.is_some_and(|id| !nms.registry.is_trusted(id)) {
        return;
    }
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        inner.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                debug!(from = %peer.from, "an HTTP connection broke: {error}");
            }
        }
        () = ticket.cut.cancelled() => debug!(machine = ?peer.machine, "cut off"),
        () = nms.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(timeout(LAST_WORDS, connection).await);
        }
    }
}
