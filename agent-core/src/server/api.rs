//! The agent's client for the server API (`/v1`). All calls but one use an ordinary HTTPS client. The receipt uses a
//! connection of its own, because its proof is bound to the TLS session and needs that session's exporter (rule A3).

use crate::{identity::server_addresses::ServerAddresses, utc};
use banyan_proto::{
    ALPN_HTTP, Address, Format, OrderId, Reason, UnixSeconds,
    api::{
        ApiError, Catalogue, CatalogueRequest, CheckIn, CheckInReply, EnrolReply, EnrolRequest, Help,
        InstallPermitReply, InstallPermitRequest, PackageRequest, ReceiptReply, ReceiptRequest, RenewReply,
        RenewRequest, Report, Reports, Roots, SourcesReply, SourcesRequest,
    },
    code::EXPORTER_LABEL,
    format,
    join::JoinCode,
    limits,
    peer::Metadata,
};
use banyan_wire::{
    interfaces,
    lookup::connect,
    socket::Keepalive,
    tls::{self, SERVER_NAME},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use reqwest::{
    Method,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, pki_types::ServerName};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a call to the server failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server gave no usable answer; the call is made again later.
    #[error("the call to the server at {server} failed: {detail}")]
    Away {
        /// The server's addresses.
        server: String,
        /// What went wrong.
        detail: String,
    },
    /// The server cannot be verified because of the time; the call is made again later.
    #[error("{0}")]
    Clock(String),
    /// The server refused the call.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl CallError {
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Away { .. } => Reason::ServerAway,
            Self::Clock(_) => Reason::ClockWrong,
            Self::Refused(error) => error.reason,
        }
    }
    /// Returns whether the server refuses this machine as a whole, whatever it asks for.
    #[must_use]
    pub fn concerns_whole_machine(&self) -> bool {
        excludes_machine(self.reason())
    }
    /// Returns whether the call failed below HTTP or without a usable answer, so that another address may do better.
    fn is_transport(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Clock(_))
    }
    /// Converts a transport error, in whose causes the TLS library's verdict is searched for.
    fn from_transport(servers: &ServerAddresses, error: &(dyn std::error::Error + 'static)) -> Self {
        let server = servers.list();
        let now = UnixSeconds::now();
        match tls_error(error) {
            Some(TlsError::AlertReceived(AlertDescription::CertificateRevoked)) => Self::revoked(&server),
            Some(TlsError::AlertReceived(AlertDescription::CertificateExpired)) => Self::until_enrolled_again(
                &server,
                Reason::CertificateExpired,
                "by the server's clock, its certificate expired more than 400 days ago (compare the two clocks first)",
            ),
            Some(TlsError::AlertReceived(AlertDescription::UnknownCA)) => {
                let detail = "the server cannot verify machines now: its revocation list has expired, or it is another \
                              server";
                Self::Away { server, detail: detail.into() }
            }
            Some(TlsError::InvalidCertificate(invalid)) => Self::from_certificate(server, invalid, now),
            _ => {
                let mut detail = with_causes(error);
                let is_here = |server: &Address| server.as_socket().is_some_and(|socket| socket.ip().is_loopback());
                if interfaces::has_only_link_local() && !servers.current().iter().any(is_here) {
                    detail += "; this computer has only link-local addresses (fe80::): give it an IPv4 address or \
                               another IPv6 address, such as fd00:1234::1/64";
                }
                Self::Away { server, detail }
            }
        }
    }
    /// The server has revoked this machine. It says so in the TLS handshake, or in an answer on a connection that is
    /// older than the revocation.
    fn revoked(server: &str) -> Self {
        let why = "its certificate was revoked, or the machine has been enrolled again since";
        Self::until_enrolled_again(server, Reason::Revoked, why)
    }
    fn until_enrolled_again(server: &str, reason: Reason, why: &str) -> Self {
        let detail = format!(
            "the server at {server} refuses this machine: {why}; if it should still belong to the server, stop the \
             agent, empty its --data folder and enrol it again with a join code (`banyan tokens create`)"
        );
        Self::Refused(ApiError { reason, detail })
    }
    /// Says what is wrong with the certificate that was presented at the server's address.
    fn from_certificate(server: String, error: &CertificateError, now: UnixSeconds) -> Self {
        let here = utc::format(now);
        match error {
            CertificateError::NotValidYetContext { not_before, .. } => Self::Clock(format!(
                "this machine's clock says {here}, but the certificate of the server at {server} is valid only from {}: \
                 this machine's clock is behind, or the server's is ahead",
                utc::format(UnixSeconds(not_before.as_secs()))
            )),
            CertificateError::ExpiredContext { not_after, .. } => Self::Clock(format!(
                "this machine's clock says {here}, but the certificate of the server at {server} expired on {}: this \
                 machine's clock is ahead, or the server's is behind",
                utc::format(UnixSeconds(not_after.as_secs()))
            )),
            CertificateError::NotValidYet | CertificateError::Expired => Self::Clock(format!(
                "the certificate of the server at {server} is not valid at this machine's time, {here}"
            )),
            CertificateError::UnknownIssuer => Self::Away {
                server,
                detail: "another server answers there: its CA is not the one that this machine was told of".into(),
            },
            other => {
                tracing::debug!(%server, ?other, "the server's certificate is not accepted");
                Self::Away { server, detail: "the certificate presented there is not the server's".into() }
            }
        }
    }
}

/// Returns whether a machine that the server refuses for this reason is excluded from everything.
pub(crate) fn excludes_machine(reason: Reason) -> bool {
    matches!(reason, Reason::CertificateExpired | Reason::Revoked | Reason::Retired | Reason::Cloned)
}

/// Returns the TLS error among the causes, if there is one. The `source` of an IO error skips the error that it wraps, so
/// that one is looked at instead; several can be nested.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TlsError> {
    let cause = |error: &&'a (dyn std::error::Error + 'static)| {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match wrapped {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        }
    };
    std::iter::successors(Some(error), cause).find_map(|error| error.downcast_ref())
}

/// The client for an enrolled machine's calls to its server.
pub struct ServerApi {
    addresses: Arc<ServerAddresses>,
    keepalive: Keepalive,
    /// Replaced when the machine's certificate is renewed, and after a change of the network.
    session: RwLock<ClientSession>,
}

/// Adds a request's body, with the header that every request has.
fn with_body(request: reqwest::RequestBuilder, body: &(impl Format + Serialize)) -> reqwest::RequestBuilder {
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

fn client(
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
        .pool_max_idle_per_host(1)
        .http1_only();
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(keepalive.silence);
    builder.build()
}

/// Returns the URL of a path. It has no port, so that the port of the address in use applies.
fn url(path: &str) -> String {
    format!("https://{SERVER_NAME}/v1/{path}")
}

/// Enrols with a join code, over a connection that trusts only the CA in the code. `addresses` are those in the code.
///
/// # Errors
/// When the server cannot be reached, does not match the join code, or refuses it.
pub async fn enrol(
    code: &JoinCode,
    addresses: &Arc<ServerAddresses>,
    request: &EnrolRequest,
) -> Result<EnrolReply, CallError> {
    let away = |detail: String| CallError::Away { server: addresses.list(), detail };
    let tls = tls::pinned_client(code.ca, &[ALPN_HTTP]).map_err(|error| away(error.to_string()))?;
    let client = client(addresses, tls, Keepalive::default()).map_err(|error| away(error.to_string()))?;
    receive_json(addresses, with_body(client.post(url("enrol")), request).timeout(ANSWER_TIMEOUT)).await
}

async fn receive_json<T: DeserializeOwned>(
    servers: &ServerAddresses,
    request: reqwest::RequestBuilder,
) -> Result<T, CallError> {
    let bytes = receive_bytes(servers, request).await?;
    serde_json::from_slice(&bytes).map_err(|error| CallError::Away {
        server: servers.list(),
        detail: format!("cannot parse the response: {error}"),
    })
}

async fn receive_bytes(servers: &ServerAddresses, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallError> {
    let received = receive_response(servers, request).await;
    if received.as_ref().is_err_and(CallError::is_transport) {
        servers.record_failure();
    }
    received
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

fn to_call_error(servers: &ServerAddresses, status: u16, body: &[u8]) -> CallError {
    match serde_json::from_slice::<ApiError>(body) {
        Ok(error) if error.reason == Reason::Revoked => CallError::revoked(&servers.list()),
        Ok(error) => CallError::Refused(error),
        Err(_) => {
            CallError::Away { server: servers.list(), detail: format!("the server responded with status {status}") }
        }
    }
}

/// Formats an error with all its causes. The HTTP client's own message only repeats the URL.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let request: Option<&reqwest::Error> = error.downcast_ref();
    if request.is_some_and(reqwest::Error::is_timeout) {
        return "no answer in time".into();
    }
    let inner = error.source().filter(|_| request.is_some());
    let all: Vec<String> =
        std::iter::successors(Some(inner.unwrap_or(error)), |error| error.source()).map(ToString::to_string).collect();
    let is_detail = |text: &&String| !LAYERS.iter().any(|layer| text.starts_with(layer));
    let mut details: Vec<&str> = all.iter().filter(is_detail).map(String::as_str).collect();
    if details.is_empty() {
        details.extend(all.last().map(String::as_str));
    }
    details.join(": ")
}

/// What the HTTP client puts around the error itself.
const LAYERS: [&str; 4] = ["client error (", "tcp connect error", "dns error", "error resolving DNS"];

/// What calls with one certificate need.
struct ClientSession {
    tls: Arc<ClientConfig>,
    http: reqwest::Client,
}

impl ClientSession {
    fn new(
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

impl ServerApi {
    /// Creates a client for an enrolled machine. `keepalive` says when a server that has vanished is noticed.
    ///
    /// # Errors
    /// When certificate and key do not match.
    pub fn new(
        addresses: Arc<ServerAddresses>,
        credentials: &tls::Credentials,
        keepalive: Keepalive,
    ) -> anyhow::Result<Self> {
        let session = RwLock::new(ClientSession::new(&addresses, credentials, keepalive)?);
        Ok(Self { addresses, keepalive, session })
    }
    /// Makes later calls over new connections, because the present ones may lead nowhere: the network has changed, or the
    /// computer has slept.
    pub(crate) fn reconnect(&self) {
        let tls = Arc::clone(&self.session().tls);
        match client(&self.addresses, ClientConfig::clone(&tls), self.keepalive) {
            Ok(http) => {
                *self.session.write().unwrap_or_else(PoisonError::into_inner) = ClientSession { tls, http };
            }
            Err(error) => tracing::warn!(%error, "failed to replace the connections to the server"),
        }
    }
    /// Replaces the credentials used for later calls.
    ///
    /// # Errors
    /// When certificate and key do not match.
    pub fn set_credentials(&self, credentials: &tls::Credentials) -> anyhow::Result<()> {
        let session = ClientSession::new(&self.addresses, credentials, self.keepalive)?;
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
        Ok(())
    }
    fn session(&self) -> RwLockReadGuard<'_, ClientSession> {
        self.session.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.session().http.request(method, url(path))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Format + Serialize),
        patience: Duration,
    ) -> Result<T, CallError> {
        receive_json(&self.addresses, with_body(self.request(Method::POST, path), body).timeout(patience)).await
    }

    /// Reports this machine's status and waits for news.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn check_in(&self, body: &CheckIn) -> Result<CheckInReply, CallError> {
        self.post("check-in", body, ANSWER_TIMEOUT + Duration::from_secs(body.wait_seconds.into())).await
    }
    /// Delivers reports.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn reports(&self, reports: Vec<Report>) -> Result<(), CallError> {
        let request = with_body(self.request(Method::POST, "reports"), &Reports { reports }).timeout(ANSWER_TIMEOUT);
        receive_bytes(&self.addresses, request).await.map(drop)
    }
    /// Requests an install permit.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn install_permit(&self, order: OrderId) -> Result<InstallPermitReply, CallError> {
        self.post("go-ahead", &InstallPermitRequest { order }, ANSWER_TIMEOUT).await
    }
    /// Requests a new certificate.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn renew(&self, csr: String) -> Result<RenewReply, CallError> {
        self.post("renew", &RenewRequest { csr }, ANSWER_TIMEOUT).await
    }
    /// Requests offers that did not arrive through the tree.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn help(&self, order: OrderId) -> Result<Help, CallError> {
        let request = self.request(Method::GET, &format!("orders/{order}/help")).timeout(ANSWER_TIMEOUT);
        receive_json(&self.addresses, request).await
    }
    /// Requests an order for this machine, for a package file that a user opened.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn order_package(&self, package: &PackageRequest) -> Result<Help, CallError> {
        self.post("packages", package, ANSWER_TIMEOUT).await
    }
    /// Requests the catalogue for this machine.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn catalogue(&self) -> Result<Catalogue, CallError> {
        receive_json(&self.addresses, self.request(Method::GET, "catalogue").timeout(ANSWER_TIMEOUT)).await
    }
    /// Requests an order for this machine, for a package chosen from the catalogue.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn order_offered(&self, wanted: &CatalogueRequest) -> Result<Help, CallError> {
        self.post("catalogue", wanted, ANSWER_TIMEOUT).await
    }
    /// Requests the current metadata.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn metadata(&self) -> Result<Metadata, CallError> {
        receive_json(&self.addresses, self.request(Method::GET, "metadata").timeout(ANSWER_TIMEOUT)).await
    }
    /// Requests the roots that follow this version.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn roots(&self, version: u64) -> Result<Roots, CallError> {
        receive_json(&self.addresses, self.request(Method::GET, &format!("roots/{version}")).timeout(ANSWER_TIMEOUT))
            .await
    }
    /// Asks which machine may be a better source of a stripe.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn sources(&self, request: &SourcesRequest) -> Result<SourcesReply, CallError> {
        self.post("sources", request, ANSWER_TIMEOUT).await
    }
    /// Requests the current revocation list (DER).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn crl(&self) -> Result<Vec<u8>, CallError> {
        receive_bytes(&self.addresses, self.request(Method::GET, "crl").timeout(ANSWER_TIMEOUT)).await
    }

    /// Requests the receipt. `request` receives the exporter of the session that the request is sent over.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn receipt(&self, request: impl FnOnce(&[u8; 32]) -> ReceiptRequest) -> Result<ReceiptReply, CallError> {
        let servers = &self.addresses;
        tokio::time::timeout(ANSWER_TIMEOUT, self.receipt_on_own_connection(request)).await.unwrap_or_else(|_| {
            Err(CallError::Away {
                server: servers.list(),
                detail: format!("no response within {} seconds", ANSWER_TIMEOUT.as_secs()),
            })
        })
    }

    async fn receipt_on_own_connection(
        &self,
        request: impl FnOnce(&[u8; 32]) -> ReceiptRequest,
    ) -> Result<ReceiptReply, CallError> {
        let servers = &self.addresses;
        let away = |error: &(dyn std::error::Error + 'static)| CallError::from_transport(servers, error);
        let sockets = servers.look_up().await.map_err(|error| away(&error))?;
        let stream = connect(&sockets).await.map_err(|error| away(&error))?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| away(&error))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.session().tls));
        let stream = connector.connect(name, stream).await.map_err(|error| away(&error))?;
        let exporter =
            stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).map_err(|error| away(&error))?;
        let body = format::write(&request(&exporter));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(&error))?;
        let driver = tokio::spawn(connection);
        let request = hyper::Request::post("/v1/receipt")
            .header("host", SERVER_NAME)
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(body)))
            .map_err(|error| away(&error))?;
        let response = sender.send_request(request).await.map_err(|error| away(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limits::CONTROL_BYTES)
            .collect()
            .await
            .map_err(|error| CallError::Away { server: servers.list(), detail: error.to_string() })?
            .to_bytes();
        drop(sender);
        driver.abort();
        if !status.is_success() {
            return Err(to_call_error(servers, status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|error| away(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_at_this_time_is_blamed_on_the_clocks_however_deep_it_lies() {
        let servers = ServerAddresses::fixed(&["server.example.org:7700".parse().unwrap()]);
        let of = |error: CertificateError| {
            let tls = TlsError::InvalidCertificate(error);
            CallError::from_transport(&servers, &std::io::Error::other(std::io::Error::other(tls)))
        };
        let behind = of(CertificateError::NotValidYet);
        assert_eq!(behind.reason(), Reason::ClockWrong, "{behind}");
        let stranger = of(CertificateError::UnknownIssuer);
        assert_eq!(stranger.reason(), Reason::ServerAway);
        assert!(stranger.to_string().contains("another server answers there"), "{stranger}");
    }

    #[test]
    fn the_layers_of_the_client_are_left_out_of_an_error() {
        #[derive(Debug, thiserror::Error)]
        #[error("client error (Connect)")]
        struct Client(#[source] std::io::Error);
        let refused = std::io::Error::other("Connection refused");
        assert_eq!(with_causes(&Client(refused)), "Connection refused");
        assert_eq!(with_causes(&std::io::Error::other("client error (Connect)")), "client error (Connect)");
    }

    #[test]
    fn a_revoked_machine_reads_the_same_whether_the_handshake_or_an_answer_says_so() {
        let servers = ServerAddresses::fixed(&["server.example.org:7700".parse().unwrap()]);
        let alert = TlsError::AlertReceived(AlertDescription::CertificateRevoked);
        let by_handshake = CallError::from_transport(&servers, &std::io::Error::other(alert));
        let body = serde_json::to_vec(&ApiError { reason: Reason::Revoked, detail: "no".into() }).unwrap();
        let by_answer = to_call_error(&servers, 403, &body);
        assert_eq!(by_handshake.reason(), Reason::Revoked);
        assert_eq!(by_handshake.to_string(), by_answer.to_string());
        assert!(by_answer.to_string().contains("join code"), "{by_answer}");
    }
}
