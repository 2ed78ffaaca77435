//! The agent's client for the server API (`/v1`). All calls but the receipt's use an ordinary HTTPS client.

mod call_error;
mod http_client;
mod receipt;

pub use call_error::CallError;
pub(crate) use call_error::excludes_machine;

use crate::identity::server_addresses::ServerAddresses;
use banyan_proto::{
    ALPN_HTTP, Format, OrderId,
    api::{
        Catalogue, CatalogueRequest, CheckIn, CheckInReply, EnrolReply, EnrolRequest, FlowsReply, FlowsRequest, Help,
        InstallPermitReply, InstallPermitRequest, LinkCheckReading, PackageRequest, RenewReply, RenewRequest, Report,
        Reports, Roots, SourcesReply, SourcesRequest,
    },
    join::JoinCode,
    limits,
    peer::Metadata,
    site_budget::{SiteShareReply, SiteShareRequest},
};
use banyan_wire::{socket::Keepalive, tls};
use http_client::{ClientSession, client, receive_bytes, receive_json, receive_parts, url, with_body};
use reqwest::Method;
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A share of the site's budget must be renewed while the last one is valid.
const SHARE_TIMEOUT: Duration = Duration::from_secs(3);

/// The client for an enrolled machine's calls to its server.
pub struct ServerApi {
    addresses: Arc<ServerAddresses>,
    keepalive: Keepalive,
    /// Replaced when the machine's certificate is renewed, and after a change of the network.
    session: RwLock<ClientSession>,
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
    /// Reports what this machine receives. The server answers when a source should change, or after a moment.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn flows(&self, request: &FlowsRequest) -> Result<FlowsReply, CallError> {
        self.post("flows", request, ANSWER_TIMEOUT).await
    }
    /// Receives the bytes that check this machine's link, and tells `arrived` of each part, until it breaks. Returns whether
    /// there were any: the server may have nothing to check now.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn receive_link_check(&self, arrived: impl FnMut(usize) -> ControlFlow<()>) -> Result<bool, CallError> {
        let request = self.request(Method::GET, "link-check").timeout(ANSWER_TIMEOUT);
        receive_parts(&self.addresses, request, arrived).await
    }
    /// Sends the bytes that check this machine's link, with what it received.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send_link_check(&self, reading: &LinkCheckReading) -> Result<(), CallError> {
        let request = self.request(Method::POST, "link-check").query(reading).body(vec![0; limits::LINK_CHECK_BYTES]);
        receive_bytes(&self.addresses, request.timeout(ANSWER_TIMEOUT)).await.map(drop)
    }
    /// Asks for a share of the site's budget.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn site_share(&self, request: &SiteShareRequest) -> Result<SiteShareReply, CallError> {
        self.post("site-share", request, SHARE_TIMEOUT).await
    }
    /// Requests the current revocation list (DER).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn crl(&self) -> Result<Vec<u8>, CallError> {
        receive_bytes(&self.addresses, self.request(Method::GET, "crl").timeout(ANSWER_TIMEOUT)).await
    }
}
