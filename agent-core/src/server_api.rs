//! The agent's calls to the server (`/v1`). All but one go through an ordinary HTTPS client; the receipt goes over a
//! connection of our own, since its proof is bound to the TLS session and needs that session's exporter (rule A3).

use crate::state::Enrolment;
use banyan_proto::{
    ALPN_HTTP, DeploymentId, Reason,
    api::{
        ApiError, Catalogue, CatalogueRequest, CheckIn, CheckInReply, EnrolReply, EnrolRequest, GoAheadReply,
        GoAheadRequest, Help, PackageRequest, ReceiptReply, ReceiptRequest, RenewReply, RenewRequest, Report, Roots,
    },
    code::EXPORTER_LABEL,
    join::JoinCode,
    limits,
    peer::Metadata,
};
use banyan_wire::tls::{self, SERVER_NAME};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use reqwest::Method;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, pki_types::ServerName};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::net::TcpStream;

const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

/// A call to the server did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer: tried again later.
    #[error("the server at {server} could not be asked: {detail}")]
    Away {
        /// Where it should be.
        server: SocketAddr,
        /// What went wrong.
        detail: String,
    },
    /// It answered no.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl CallError {
    /// The entry of the table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Away { .. } => Reason::ServerAway,
            Self::Refused(error) => error.reason,
        }
    }
    /// Whether it is this machine that the server does not let in, whatever it asks for.
    #[must_use]
    pub fn is_about_this_machine(&self) -> bool {
        bars(self.reason())
    }
    /// What it comes to when no answer came: the TLS library's verdict is somewhere among the causes.
    fn of_transport(server: SocketAddr, error: &(dyn std::error::Error + 'static)) -> Self {
        let refused = |reason, why: &str| {
            let detail = format!(
                "the server at {server} does not let this machine in: {why}; if it still belongs to you, stop the agent, \
                 empty its --data folder and enrol it again with a join code (`banyan tokens create`)"
            );
            Self::Refused(ApiError { reason, detail })
        };
        let words = chain(error);
        match verdict(error) {
            Some(TlsError::AlertReceived(AlertDescription::CertificateRevoked)) => {
                refused(Reason::Revoked, "its certificate has been revoked, or it was enrolled anew meanwhile")
            }
            Some(TlsError::AlertReceived(AlertDescription::CertificateExpired)) => {
                refused(Reason::CertificateExpired, "its certificate expired more than 400 days ago")
            }
            Some(TlsError::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )) => {
                let detail = format!(
                    "its certificate is not valid at the time of this machine's clock; is the clock right? ({words})"
                );
                Self::Away { server, detail }
            }
            _ => Self::Away { server, detail: words },
        }
    }
}

/// Whether a machine for which the server gives this reason takes part in nothing.
pub(crate) fn bars(reason: Reason) -> bool {
    matches!(reason, Reason::CertificateExpired | Reason::Revoked | Reason::Retired | Reason::Cloned)
}

/// What the TLS library said, if it was its doing. An IO error that carries it names the causes of it only, not itself.
fn verdict<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a TlsError> {
    let inside = |error: &'a (dyn std::error::Error + 'static)| {
        error.downcast_ref().or_else(|| error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref())
    };
    std::iter::successors(Some(error), |error| error.source()).find_map(inside)
}

/// The server, as this machine reaches it.
pub struct ServerApi {
    address: SocketAddr,
    /// Changes when the machine's certificate is renewed.
    identity: RwLock<(Arc<ClientConfig>, reqwest::Client)>,
}

fn client(address: SocketAddr, tls: ClientConfig) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve(SERVER_NAME, address)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(1)
        .http1_only()
        .build()
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("https://{SERVER_NAME}:{}/v1/{path}", address.port())
}

/// Enrols with a join code, over a connection that believes only the code's CA.
///
/// # Errors
/// When the server cannot be reached, is another one than the code says, or refuses the code.
pub async fn enrol(code: &JoinCode, request: &EnrolRequest) -> Result<EnrolReply, CallError> {
    let away = |detail: String| CallError::Away { server: code.server, detail };
    let tls = tls::pinned_client(code.ca, &[ALPN_HTTP]).map_err(|error| away(error.to_string()))?;
    let client = client(code.server, tls).map_err(|error| away(error.to_string()))?;
    let request = client.post(url(code.server, "enrol")).json(request).timeout(ANSWER);
    answer(code.server, request).await
}

async fn answer<T: DeserializeOwned>(server: SocketAddr, request: reqwest::RequestBuilder) -> Result<T, CallError> {
    let bytes = bytes(server, request).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CallError::Away { server, detail: format!("its answer cannot be read: {error}") })
}

async fn bytes(server: SocketAddr, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallError> {
    let away = |detail: String| CallError::Away { server, detail };
    let failed = |error: reqwest::Error| CallError::of_transport(server, &error);
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&part);
        if body.len() > limits::HTTP_BODY_BYTES {
            return Err(away("its answer is longer than any answer may be".into()));
        }
    }
    if status.is_success() { Ok(body) } else { Err(refusal(server, status.as_u16(), &body)) }
}

fn refusal(server: SocketAddr, status: u16, body: &[u8]) -> CallError {
    match serde_json::from_slice::<ApiError>(body) {
        Ok(error) => CallError::Refused(error),
        Err(_) => CallError::Away { server, detail: format!("it answered with status {status}") },
    }
}

/// An error with everything that caused it: the outermost one alone says nothing.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

impl ServerApi {
    /// A client for an enrolled machine.
    ///
    /// # Errors
    /// When certificate and key do not fit.
    pub fn new(enrolment: &Enrolment, credentials: &tls::Credentials) -> anyhow::Result<Self> {
        let address = enrolment.server_address;
        Ok(Self { address, identity: RwLock::new(Self::identify(address, credentials)?) })
    }
    fn identify(
        address: SocketAddr,
        credentials: &tls::Credentials,
    ) -> anyhow::Result<(Arc<ClientConfig>, reqwest::Client)> {
        // No revocation list here: what it lists are machines, and the server is known by a name that only it has.
        let tls = credentials.connector(None, &[ALPN_HTTP])?;
        let client = client(address, ClientConfig::clone(&tls))?;
        Ok((tls, client))
    }
    /// From now on the machine proves itself with these.
    ///
    /// # Errors
    /// When certificate and key do not fit.
    pub fn set_credentials(&self, credentials: &tls::Credentials) -> anyhow::Result<()> {
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = Self::identify(self.address, credentials)?;
        Ok(())
    }
    /// Where the server is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.identity.read().unwrap_or_else(PoisonError::into_inner).0)
    }
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let client = self.identity.read().unwrap_or_else(PoisonError::into_inner).1.clone();
        client.request(method, url(self.address, path))
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        patience: Duration,
    ) -> Result<T, CallError> {
        answer(self.address, self.request(Method::POST, path).json(body).timeout(patience)).await
    }

    /// Says how the machine is and waits for news.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn check_in(&self, body: &CheckIn) -> Result<CheckInReply, CallError> {
        self.post("check-in", body, ANSWER + Duration::from_secs(body.wait_seconds.into())).await
    }
    /// Hands over reports.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn reports(&self, reports: &[Report]) -> Result<(), CallError> {
        let request = self.request(Method::POST, "reports").json(reports).timeout(ANSWER);
        bytes(self.address, request).await.map(drop)
    }
    /// Asks for leave to install now.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn go_ahead(&self, order: DeploymentId) -> Result<GoAheadReply, CallError> {
        self.post("go-ahead", &GoAheadRequest { order }, ANSWER).await
    }
    /// Asks for a new certificate.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn renew(&self, csr: String) -> Result<RenewReply, CallError> {
        self.post("renew", &RenewRequest { csr }, ANSWER).await
    }
    /// Asks for offers that did not come through the tree.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn help(&self, order: DeploymentId) -> Result<Help, CallError> {
        let request = self.request(Method::GET, &format!("orders/{order}/help")).timeout(ANSWER);
        answer(self.address, request).await
    }
    /// Asks for an order for this machine, for a package that was opened by hand.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn order_package(&self, package: &PackageRequest) -> Result<Help, CallError> {
        self.post("packages", package, ANSWER).await
    }
    /// Asks what the people at this machine may get for themselves.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn catalogue(&self) -> Result<Catalogue, CallError> {
        answer(self.address, self.request(Method::GET, "catalogue").timeout(ANSWER)).await
    }
    /// Asks for an order for this machine, of what somebody chose there.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn order_offered(&self, wanted: &CatalogueRequest) -> Result<Help, CallError> {
        self.post("catalogue", wanted, ANSWER).await
    }
    /// The current metadata.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn metadata(&self) -> Result<Metadata, CallError> {
        answer(self.address, self.request(Method::GET, "metadata").timeout(ANSWER)).await
    }
    /// The roots that follow this version.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn roots(&self, version: u64) -> Result<Roots, CallError> {
        answer(self.address, self.request(Method::GET, &format!("roots/{version}")).timeout(ANSWER)).await
    }
    /// The current revocation list (DER).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn crl(&self) -> Result<Vec<u8>, CallError> {
        bytes(self.address, self.request(Method::GET, "crl").timeout(ANSWER)).await
    }

    /// Asks for the receipt. `request` is given the exporter of the very session it is sent over.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn receipt(&self, request: impl FnOnce(&[u8; 32]) -> ReceiptRequest) -> Result<ReceiptReply, CallError> {
        let server = self.address;
        tokio::time::timeout(ANSWER, self.receipt_on_own_connection(request)).await.unwrap_or_else(|_| {
            Err(CallError::Away { server, detail: format!("no answer in {} seconds", ANSWER.as_secs()) })
        })
    }

    async fn receipt_on_own_connection(
        &self,
        request: impl FnOnce(&[u8; 32]) -> ReceiptRequest,
    ) -> Result<ReceiptReply, CallError> {
        let server = self.address;
        let away = |error: &(dyn std::error::Error + 'static)| CallError::of_transport(server, error);
        let stream = TcpStream::connect(server).await.map_err(|error| away(&error))?;
        let name = ServerName::try_from(SERVER_NAME).map_err(|error| away(&error))?;
        let stream =
            tokio_rustls::TlsConnector::from(self.tls()).connect(name, stream).await.map_err(|error| away(&error))?;
        let exporter =
            stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None).map_err(|error| away(&error))?;
        let body = serde_json::to_vec(&request(&exporter)).map_err(|error| away(&error))?;
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
            .map_err(|error| CallError::Away { server, detail: error.to_string() })?
            .to_bytes();
        drop(sender);
        driver.abort();
        if !status.is_success() {
            return Err(refusal(server, status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|error| away(&error))
    }
}
