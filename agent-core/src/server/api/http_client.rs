//! The HTTPS client of the calls: where it connects to, what it accepts, and how answers are read.

use super::call_error::{CallError, to_call_error};
use crate::identity::server_addresses::ServerAddresses;
use banyan_proto::{ALPN_HTTP, Format, format, limits};
use banyan_wire::{
    socket::Keepalive,
    tls::{self, SERVER_NAME},
};
use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
};
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use std::{ops::ControlFlow, sync::Arc, time::Duration};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many connections are kept for later calls, besides those in use. During a transfer, two calls often end at about
/// the same time: a report of what arrives, and one of the progress. With one connection kept, every second call would
/// begin with a handshake. It costs the server's uplink thirty times as much as the answer.
const IDLE_CONNECTIONS: usize = 2;
/// How long they are kept. The check-in that waits at the server has a connection of its own.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What calls with one certificate need.
pub(super) struct ClientSession {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) http: reqwest::Client,
}

impl ClientSession {
    pub(super) fn new(
        addresses: &Arc<ServerAddresses>,
        credentials: &tls::Credentials,
        keepalive: Keepalive,
    ) -> anyhow::Result<Self> {
        // No revocation list is needed here: it lists machines, and the server is identified by a name that only it
        // has.
        let tls = credentials.connector(None, &[ALPN_HTTP])?;
        let http = client(addresses, ClientConfig::clone(&tls), keepalive)?;
        Ok(Self { tls, http })
    }
}

/// Adds a request's body, with the header that every request has.
pub(super) fn with_body(request: reqwest::RequestBuilder, body: &(impl Format + Serialize)) -> reqwest::RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(format::write(body))
}

/// Looks up the server's own name as the addresses at which it is known.
struct ServerResolver(Arc<ServerAddresses>);

impl Resolve for ServerResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses = Arc::clone(&self.0);
        Box::pin(async move { Ok(Box::new(addresses.look_up().await?.into_iter()) as Addrs) })
    }
}

/// Creates a client for the server at these addresses.
pub(super) fn client(
    addresses: &Arc<ServerAddresses>,
    tls: ClientConfig,
    keepalive: Keepalive,
) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(ServerResolver(Arc::clone(addresses))))
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(keepalive.idle())
        .tcp_keepalive_interval(keepalive.interval())
        .tcp_keepalive_retries(Keepalive::RETRIES)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http1_only();
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(keepalive.silence);
    builder.build()
}

/// Returns the URL of a path. It has no port, so that the port of the address in use applies.
pub(super) fn url(path: &str) -> String {
    format!("https://{SERVER_NAME}/v1/{path}")
}

/// Sends a request and reads its answer.
pub(super) async fn receive_json<T: DeserializeOwned>(
    servers: &ServerAddresses,
    request: reqwest::RequestBuilder,
) -> Result<T, CallError> {
    let bytes = receive_bytes(servers, request).await?;
    serde_json::from_slice(&bytes).map_err(|error| CallError::Away {
        server: servers.list(),
        detail: format!("cannot parse the response: {error}"),
    })
}

/// Sends a request and returns the bytes of its answer. A failure makes the next call try another address.
pub(super) async fn receive_bytes(
    servers: &ServerAddresses,
    request: reqwest::RequestBuilder,
) -> Result<Vec<u8>, CallError> {
    let received = receive_response(servers, request).await;
    if received.as_ref().is_err_and(CallError::is_transport) {
        servers.record_failure();
    }
    received
}

/// Sends a request and tells `arrived` how many bytes each part of its answer has, until it breaks or has all. Returns
/// whether there were any.
pub(super) async fn receive_parts(
    servers: &ServerAddresses,
    request: reqwest::RequestBuilder,
    mut arrived: impl FnMut(usize) -> ControlFlow<()>,
) -> Result<bool, CallError> {
    let failed = |error: reqwest::Error| CallError::from_transport(servers, &error);
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        let body = response.bytes().await.map_err(failed)?;
        return Err(to_call_error(servers, status.as_u16(), &body));
    }
    let mut received = 0;
    while let Some(part) = response.chunk().await.map_err(failed)? {
        received += part.len();
        if arrived(part.len()).is_break() {
            break;
        }
    }
    Ok(received > 0)
}

async fn receive_response(servers: &ServerAddresses, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallError> {
    let away = |detail: String| CallError::Away { server: servers.list(), detail };
    let failed = |error: reqwest::Error| CallError::from_transport(servers, &error);
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&part);
        if body.len() > limits::HTTP_BODY_BYTES {
            return Err(away("the response is longer than allowed".into()));
        }
    }
    if status.is_success() { Ok(body) } else { Err(to_call_error(servers, status.as_u16(), &body)) }
}
