//! The client of the server's admin API (`/api/v1`).
//!
//! It uses one TLS connection that trusts only the CA pinned in the profile, and a bearer token. It uses no proxies and
//! follows no redirects. Every wait without a sign of the server and the size of every answer are limited.

mod audit_query;
mod error;
mod event_stream;
mod long_work;
mod upload;

pub(crate) use audit_query::AuditQuery;
pub(crate) use error::ApiClientError;
pub(crate) use event_stream::EventStream;

use crate::output::{format_remaining, print_note, sanitise};
use banyan_proto::{
    ALPN_ADMINISTRATOR, ALPN_HTTP, Address, DeploymentId, Digest, Format, MachineId, UnixSeconds,
    access::{Access, AccessCreated, NewAccess, OwnAccess},
    admin::{
        CurrentTargets, Deploy, Deployed, DeploymentStatus, GroupPolicy, Info, Machine, MachinesLeft, NewToken,
        OpenToken, Profile, Promoted, Publish, RegisterRoot, Release, ReleaseManifest, ReplaceTargets, Replaced,
        Retried, SetPolicy, SuspiciousEvent, TokenCreated, Working,
    },
    api::ApiError,
    assignments::{
        AssignMachines, AssignedMachines, DeleteAssigned, EditMachines, EditedMachines, Group, NameSite, NamedSite,
        RenameMachine, RenamedMachine, Tag, UNKNOWN_MACHINES,
    },
    audit::{AuditExportPage, AuditHead, AuditPage},
    format,
    site_budget::{SetSiteBudget, SiteStatus},
    webhooks::{Delivery, NewWebhook, Webhook, WebhookSecret},
};
use banyan_wire::{
    lookup::Names,
    tls::{SERVER_NAME, pinned_client},
};
use reqwest::{
    Method, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::OnceCell;

/// Timeout for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for name servers, of which the first may be away.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(20);
/// How long a new connection waits for them: less than it may take to connect.
const SHORT_LOOKUP_PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait without any sign of the server before a request fails: no data moves in either direction, and the
/// server does not say that it is at work. Nothing limits a request as a whole.
const PATIENCE: Duration = Duration::from_secs(60);
/// The header with the time when the token expires (seconds since 1970).
const ACCESS_EXPIRES: &str = "access-expires";
/// How long before its end the user is told that the token expires (seconds): two weeks.
const WARN_OF_EXPIRY: u64 = 14 * 24 * 3600;
/// The header with the key of a request that is carried out once, however often it is sent.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The pause before a server that is unreachable or at work is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long to try again when the server closes new connections, and the pause between two attempts. Callers that say
/// nothing keep others of their network out for a second and a half.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(5);
const ADMISSION_PAUSE: Duration = Duration::from_millis(250);
/// The user is told of a wait for admission that is longer than this.
const SILENT_WAIT: Duration = Duration::from_secs(1);
/// Maximum size of an answer (bytes). The status of the largest deployment fits.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Is told what the server is doing. `None`: it is done.
type OnWork = dyn Fn(Option<&Working>) + Send + Sync;

/// A connection to one server with one admin token.
pub(crate) struct ApiClient {
    http: reqwest::Client,
    profile: Profile,
    names: Arc<Names>,
    order: Arc<AddressOrder>,
    /// Whether the names have been looked up once, with patience.
    is_looked_up: OnceCell<()>,
    /// Is told what the server is doing while a request takes long.
    on_work: Box<OnWork>,
    /// Whether the user was told that the token expires soon.
    has_warned: AtomicBool,
}

/// An administrator's action on a running deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeploymentControl {
    /// Stop issuing install permits.
    Halt,
    /// Issue install permits again.
    Resume,
    /// End it.
    Cancel,
}

impl DeploymentControl {
    /// Returns its name, as in the path and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
        }
    }
}

impl ApiClient {
    /// Creates a client. Sends nothing yet.
    pub(crate) fn new(profile: &Profile) -> Result<Self, ApiClientError> {
        let tls = pinned_client(profile.ca, &[ALPN_ADMINISTRATOR, ALPN_HTTP])
            .map_err(|error| ApiClientError::Setup(error.to_string()))?;
        let (names, order) = (Arc::<Names>::default(), Arc::<AddressOrder>::default());
        let servers = profile.servers.as_slice().into();
        let resolver = ServerResolver { servers, names: Arc::clone(&names), order: Arc::clone(&order) };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(resolver))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| ApiClientError::from_transport(&error, profile))?;
        let (profile, is_looked_up) = (profile.clone(), OnceCell::new());
        let has_warned = AtomicBool::new(false);
        Ok(Self { http, profile, names, order, is_looked_up, on_work: Box::new(|_| {}), has_warned })
    }
    /// Sets who is told what the server is doing while a request takes long. `None`: it is done.
    pub(crate) fn with_work_display(self, on_work: impl Fn(Option<&Working>) + Send + Sync + 'static) -> Self {
        Self { on_work: Box::new(on_work), ..self }
    }
    /// Fetches the server's software version, keys and clock.
    pub(crate) async fn info(&self) -> Result<Info, ApiClientError> {
        self.get("info").await
    }
    /// Registers the publisher's root.
    pub(crate) async fn register_root(&self, root: &RegisterRoot) -> Result<(), ApiClientError> {
        self.post("root", root).await.map(discard)
    }
    /// Fetches the current root and list of releases.
    pub(crate) async fn targets(&self) -> Result<CurrentTargets, ApiClientError> {
        self.get("targets").await
    }
    /// Replaces the publisher's list of releases. This can withdraw releases.
    pub(crate) async fn replace_targets(&self, list: &ReplaceTargets) -> Result<Replaced, ApiClientError> {
        self.post("targets", list).await
    }
    /// Fetches the manifest of a published release. The caller must compare it with the publisher's list before
    /// trusting it.
    pub(crate) async fn manifest(&self, package: &str, sequence: u64) -> Result<String, ApiClientError> {
        let found: ReleaseManifest = self.get(&format!("releases/{package}/{sequence}")).await?;
        Ok(found.manifest)
    }
    /// Creates a join secret.
    pub(crate) async fn create_token(&self, token: &NewToken) -> Result<TokenCreated, ApiClientError> {
        self.post_for_secret("tokens", token).await
    }
    /// Lists the join secrets that machines can still enrol with.
    pub(crate) async fn open_tokens(&self) -> Result<Vec<OpenToken>, ApiClientError> {
        self.get("tokens").await
    }
    /// Revokes a join secret.
    pub(crate) async fn revoke_token(&self, id: Digest) -> Result<(), ApiClientError> {
        self.post_path(&format!("tokens/{id}/revoke")).await.map(discard)
    }
    /// Lists the access tokens of persons.
    pub(crate) async fn access(&self) -> Result<Vec<Access>, ApiClientError> {
        self.get("access").await
    }
    /// Returns what this profile's token permits.
    pub(crate) async fn own_access(&self) -> Result<OwnAccess, ApiClientError> {
        self.get("access/self").await
    }
    /// Creates an access token for a person.
    pub(crate) async fn create_access(&self, wanted: &NewAccess) -> Result<AccessCreated, ApiClientError> {
        self.post_for_secret("access", wanted).await
    }
    /// Revokes an access token.
    pub(crate) async fn revoke_access(&self, id: u64) -> Result<Access, ApiClientError> {
        self.post_path(&format!("access/{id}/revoke")).await
    }
    /// Lists rows of the audit log, the newest first: those before the row `before`, at most `limit`.
    pub(crate) async fn audit(
        &self,
        query: &AuditQuery,
        before: Option<u64>,
        limit: u64,
    ) -> Result<AuditPage, ApiClientError> {
        self.get(&query.path(before, limit)).await
    }
    /// Fetches the newest head of the audit log, and the proof that the log begins with its first `known` rows.
    pub(crate) async fn audit_head(&self, known: u64) -> Result<AuditHead, ApiClientError> {
        self.get(&format!("audit/head?known={known}")).await
    }
    /// Fetches rows of the audit log exactly as hashed, from this one on.
    pub(crate) async fn audit_rows(&self, from: u64) -> Result<AuditExportPage, ApiClientError> {
        self.get(&format!("audit/rows?from={from}")).await
    }
    /// Registers a signed release. Its artifacts must have been uploaded before.
    pub(crate) async fn publish(&self, release: &Publish) -> Result<(), ApiClientError> {
        self.post("releases", release).await.map(discard)
    }
    /// Lists all releases.
    pub(crate) async fn releases(&self) -> Result<Vec<Release>, ApiClientError> {
        self.get("releases").await
    }
    /// Lists all enrolled machines.
    pub(crate) async fn machines(&self) -> Result<Vec<Machine>, ApiClientError> {
        self.get("machines").await
    }
    /// Lists the machines that a filter selects, or with `unknown` those for which it has no answer. Returns how many the
    /// latter are.
    pub(crate) async fn matching_machines(
        &self,
        filter: &str,
        unknown: bool,
    ) -> Result<(Vec<Machine>, usize), ApiClientError> {
        let unknown = if unknown { "&unknown=true" } else { "" };
        let path = format!("machines?where={}{unknown}", encode_query(filter));
        let response = self.try_addresses(async || self.send(self.request(Method::GET, &path)).await).await?;
        let header = response.headers().get(UNKNOWN_MACHINES).and_then(|value| value.to_str().ok()?.parse().ok());
        // An older server ignores the filter and lists all machines.
        let unknown = header.ok_or_else(|| ApiClientError::MalformedResponse("the server knows no filters".into()))?;
        Ok((self.read(response).await?, unknown))
    }
    /// Changes the groups and tags of machines.
    pub(crate) async fn edit_machines(&self, edit: &EditMachines) -> Result<EditedMachines, ApiClientError> {
        self.post("machines/edit", edit).await
    }
    /// Gives machines names, groups and tags, each its own.
    pub(crate) async fn assign_machines(&self, wanted: &AssignMachines) -> Result<AssignedMachines, ApiClientError> {
        self.post("machines/assign", wanted).await
    }
    /// Gives a machine a name.
    pub(crate) async fn rename_machine(
        &self,
        machine: MachineId,
        name: &RenameMachine,
    ) -> Result<RenamedMachine, ApiClientError> {
        self.post(&format!("machines/{machine}/rename"), name).await
    }
    /// Lists the groups and where they are used.
    pub(crate) async fn groups(&self) -> Result<Vec<Group>, ApiClientError> {
        self.get("groups").await
    }
    /// Takes a group from all machines.
    pub(crate) async fn delete_group(&self, group: &DeleteAssigned) -> Result<(), ApiClientError> {
        self.post("groups/delete", group).await.map(discard)
    }
    /// Lists the tags.
    pub(crate) async fn tags(&self) -> Result<Vec<Tag>, ApiClientError> {
        self.get("tags").await
    }
    /// Takes a tag from all machines.
    pub(crate) async fn delete_tag(&self, tag: &DeleteAssigned) -> Result<(), ApiClientError> {
        self.post("tags/delete", tag).await.map(discard)
    }
    /// Lists the named sites.
    pub(crate) async fn named_sites(&self) -> Result<Vec<NamedSite>, ApiClientError> {
        self.get("sites/names").await
    }
    /// Names a site, or removes the name.
    pub(crate) async fn name_site(&self, site: &NameSite) -> Result<(), ApiClientError> {
        self.post("sites/names", site).await.map(discard)
    }
    /// Lists the latest suspicious events, newest first.
    pub(crate) async fn suspicions(&self) -> Result<Vec<SuspiciousEvent>, ApiClientError> {
        self.get("suspicions").await
    }
    /// Revokes a machine's certificate.
    pub(crate) async fn revoke(&self, machine: MachineId) -> Result<(), ApiClientError> {
        self.post_path(&format!("machines/{machine}/revoke")).await.map(discard)
    }
    /// Readmits a quarantined machine.
    pub(crate) async fn readmit(&self, machine: MachineId) -> Result<(), ApiClientError> {
        self.post_path(&format!("machines/{machine}/readmit")).await.map(discard)
    }
    /// Lists the policies of all groups.
    pub(crate) async fn policies(&self) -> Result<Vec<GroupPolicy>, ApiClientError> {
        self.get("policies").await
    }
    /// Sets or removes a policy. With a version, only if that is the one in force.
    pub(crate) async fn set_policy(&self, policy: &SetPolicy, version: Option<&str>) -> Result<(), ApiClientError> {
        self.post_if_match("policies", policy, version).await.map(discard)
    }
    /// Lists the sites.
    pub(crate) async fn sites(&self) -> Result<Vec<SiteStatus>, ApiClientError> {
        self.get("sites").await
    }
    /// Sets or removes the budget of a site.
    pub(crate) async fn set_site_budget(&self, budget: &SetSiteBudget) -> Result<(), ApiClientError> {
        self.post("sites", budget).await.map(discard)
    }
    /// Lists the webhooks.
    pub(crate) async fn webhooks(&self) -> Result<Vec<Webhook>, ApiClientError> {
        self.get("webhooks").await
    }
    /// Adds a webhook.
    pub(crate) async fn add_webhook(&self, new: &NewWebhook) -> Result<WebhookSecret, ApiClientError> {
        self.post_for_secret("webhooks", new).await
    }
    /// Makes a new secret for a webhook.
    pub(crate) async fn change_webhook_secret(&self, id: &str) -> Result<WebhookSecret, ApiClientError> {
        let path = format!("webhooks/{}/secret", encode_query(id));
        let send = || self.try_addresses(async || self.send(self.request(Method::POST, &path)).await);
        self.read(self.wait_for_work(send().await?, send).await?).await
    }
    /// Does something to a webhook that its path names, such as `remove` or `test`.
    pub(crate) async fn change_webhook(&self, id: &str, what: &str) -> Result<(), ApiClientError> {
        self.post_path(&format!("webhooks/{}/{what}", encode_query(id))).await.map(discard)
    }
    /// Lists the newest deliveries of a webhook.
    pub(crate) async fn deliveries(&self, id: &str) -> Result<Vec<Delivery>, ApiClientError> {
        self.get(&format!("webhooks/{}/deliveries", encode_query(id))).await
    }
    /// Opens the stream of events, after the one that was seen last.
    pub(crate) async fn events(&self, seen: Option<u64>) -> Result<EventStream, ApiClientError> {
        let request = || {
            let request = self.request(Method::GET, "events");
            match seen {
                Some(seen) => request.header("last-event-id", seen),
                None => request,
            }
        };
        self.try_addresses(async || self.send(request()).await).await.map(EventStream::new)
    }
    /// Starts a deployment.
    pub(crate) async fn deploy(&self, deploy: &Deploy) -> Result<Deployed, ApiClientError> {
        self.post("deployments", deploy).await
    }
    /// Returns the newest deployment's id.
    pub(crate) async fn newest_deployment(&self) -> Result<Option<DeploymentId>, ApiClientError> {
        // A server that does not know the limit lists all of them, the newest first.
        let newest: Vec<DeploymentStatus> = self.get("deployments?limit=1").await?;
        Ok(newest.first().map(|deployment| deployment.id))
    }
    /// Lists all deployments, without their target machines.
    pub(crate) async fn deployments(&self) -> Result<Vec<DeploymentStatus>, ApiClientError> {
        self.get("deployments").await
    }
    /// Fetches one deployment with its target machines.
    pub(crate) async fn deployment(&self, id: DeploymentId) -> Result<DeploymentStatus, ApiClientError> {
        self.get(&format!("deployments/{id}")).await
    }
    /// Lets the machines on which a deployment failed try again.
    pub(crate) async fn retry(&self, id: DeploymentId) -> Result<Retried, ApiClientError> {
        self.post_path(&format!("deployments/{id}/retry")).await
    }
    /// Opens a deployment's next ring although its gate has not passed.
    pub(crate) async fn promote(&self, id: DeploymentId) -> Result<Promoted, ApiClientError> {
        self.post_path(&format!("deployments/{id}/promote")).await
    }
    /// Halts, resumes or cancels a deployment. Returns where its machines are.
    pub(crate) async fn control_deployment(
        &self,
        id: DeploymentId,
        control: DeploymentControl,
    ) -> Result<MachinesLeft, ApiClientError> {
        self.post_path(&format!("deployments/{id}/{}", control.name())).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        // No port: that of the address in use applies.
        let url = format!("https://{SERVER_NAME}/api/v1/{path}");
        self.http.request(method, url).bearer_auth(self.profile.token.expose())
    }
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiClientError> {
        let response = self.try_addresses(async || self.send(self.request(Method::GET, path)).await).await?;
        self.read(response).await
    }
    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Format + Serialize),
    ) -> Result<T, ApiClientError> {
        self.post_if_match(path, body, None).await
    }
    /// Sends a request that the server carries out only if what it changes still has this version.
    async fn post_if_match<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Format + Serialize),
        version: Option<&str>,
    ) -> Result<T, ApiClientError> {
        let body: Arc<[u8]> = format::write(body).into_bytes().into();
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static(IDEMPOTENCY_KEY), new_key())]);
        if let Some(version) = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
            headers.insert(IF_MATCH, version);
        }
        let send = || self.post_body(path, &body, &headers);
        self.read(self.wait_for_work(self.send_once(send).await?, send).await?).await
    }
    /// Sends a request whose answer has a secret. The server does not keep it, so the request is not sent again.
    async fn post_for_secret<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Format + Serialize),
    ) -> Result<T, ApiClientError> {
        let body: Arc<[u8]> = format::write(body).into_bytes().into();
        let headers = HeaderMap::new();
        let send = || self.post_body(path, &body, &headers);
        self.read(self.wait_for_work(send().await?, send).await?).await
    }
    /// Sends a request with an idempotency key. Sends it again if the connection was lost before the answer: the server
    /// carries it out once.
    async fn send_once<F>(&self, send: impl Fn() -> F) -> Result<reqwest::Response, ApiClientError>
    where
        F: Future<Output = Result<reqwest::Response, ApiClientError>>,
    {
        let failures = self.order.failures();
        match send().await {
            Err(ApiClientError::Unreachable { .. }) if self.order.failures() == failures => {
                tokio::time::sleep(RETRY_PAUSE).await;
                send().await
            }
            answer => answer,
        }
    }
    async fn post_body(
        &self,
        path: &str,
        body: &Arc<[u8]>,
        headers: &HeaderMap,
    ) -> Result<reqwest::Response, ApiClientError> {
        let size = body.len() as u64;
        let send = async || {
            let request = self.request(Method::POST, path).header(CONTENT_TYPE, "application/json");
            let request = request.headers(headers.clone());
            let request = request.header(CONTENT_LENGTH, size);
            self.send_body(request, std::io::Cursor::new(Arc::clone(body)), |_| {}).await
        };
        self.try_addresses(send).await
    }
    /// Sends a request that consists of its path alone.
    async fn post_path<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiClientError> {
        let key = new_key();
        let request = || self.request(Method::POST, path).header(IDEMPOTENCY_KEY, key.clone());
        let send = || self.try_addresses(async || self.send(request()).await);
        self.read(self.wait_for_work(self.send_once(send).await?, send).await?).await
    }
    /// Sends a request to one address after the other, until it is sent. Each has its own time to connect: one may accept
    /// connections and never answer.
    async fn try_addresses(
        &self,
        send: impl AsyncFn() -> Result<reqwest::Response, ApiClientError>,
    ) -> Result<reqwest::Response, ApiClientError> {
        let mut tried = 0;
        loop {
            let failures = self.order.failures();
            let answer = wait_for_admission(&send).await;
            tried += 1;
            // Where no connection was made, nothing of the request was sent.
            let has_sent = self.order.failures() == failures;
            if answer.is_ok() || has_sent || tried >= self.order.addresses() {
                return answer;
            }
        }
    }
    /// Sends a request without a body.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ApiClientError> {
        match tokio::time::timeout(PATIENCE, self.exchange(request)).await {
            Ok(response) => response,
            Err(_) => Err(self.stalled()),
        }
    }
    fn stalled(&self) -> ApiClientError {
        let server = Address::list(&self.profile.servers);
        ApiClientError::Stalled { server, seconds: PATIENCE.as_secs() }
    }
    /// Sends a request and receives the head of its answer.
    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ApiClientError> {
        // A profile with an IP address need not wait for name servers.
        if self.profile.servers.iter().all(|server| server.as_socket().is_none()) {
            let look_up = self.names.look_up(&self.profile.servers, LOOKUP_PATIENCE);
            // An error appears again when the connection is made.
            self.is_looked_up.get_or_init(async || drop(look_up.await)).await;
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                if error.is_connect() {
                    self.order.count_failure();
                }
                return Err(ApiClientError::from_transport(&error, &self.profile));
            }
        };
        self.warn_of_expiry(response.headers());
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response).await?;
        Err(error_of_response(status, &body))
    }
    /// Says once that the token expires soon.
    fn warn_of_expiry(&self, headers: &HeaderMap) {
        let expires = headers.get(ACCESS_EXPIRES).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let rest = expires.map(|at| at.saturating_sub(UnixSeconds::now().0)).filter(|rest| *rest < WARN_OF_EXPIRY);
        if let Some(rest) = rest
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            let when = format_remaining(rest);
            print_note(&format!("your access token expires {when}; ask an owner for a new one (`banyan access add`)"));
        }
    }
    /// Parses the answer. An empty body is read as `null`, for requests without a result.
    async fn read<T: DeserializeOwned>(&self, response: reqwest::Response) -> Result<T, ApiClientError> {
        let body = self.body(response).await?;
        let body = if body.is_empty() { b"null".as_slice() } else { &body };
        serde_json::from_slice(body).map_err(|error| ApiClientError::MalformedResponse(error.to_string()))
    }
    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ApiClientError> {
        let mut body = Vec::new();
        loop {
            let chunk = tokio::time::timeout(PATIENCE, response.chunk()).await;
            match chunk.map_err(|_| self.stalled())? {
                Ok(Some(chunk)) if body.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                    return Err(ApiClientError::MalformedResponse(format!("longer than {MAX_RESPONSE_BYTES} bytes")));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => return Err(ApiClientError::from_transport(&error, &self.profile)),
            }
        }
    }
}

/// Sends a request again while the server closes each new connection before it is secured. Nothing of the request has
/// been sent by then.
async fn wait_for_admission(
    send: &impl AsyncFn() -> Result<reqwest::Response, ApiClientError>,
) -> Result<reqwest::Response, ApiClientError> {
    let begun = Instant::now();
    let mut is_told = false;
    loop {
        let error = match send().await {
            Err(error @ ApiClientError::NotAdmitted { .. }) if begun.elapsed() < ADMISSION_PATIENCE => error,
            answer => return answer,
        };
        if !is_told && begun.elapsed() >= SILENT_WAIT {
            print_note(&format!(
                "{}; trying again for {} seconds",
                sanitise(&error.to_string()),
                ADMISSION_PATIENCE.as_secs()
            ));
            is_told = true;
        }
        tokio::time::sleep(ADMISSION_PAUSE).await;
    }
}

/// Which of the server's addresses is tried first.
#[derive(Default)]
struct AddressOrder {
    /// How often a connection failed: that many addresses are moved from the front to the end.
    failures: AtomicUsize,
    /// How many addresses were found last.
    addresses: AtomicUsize,
}

impl AddressOrder {
    fn failures(&self) -> usize {
        self.failures.load(Ordering::Relaxed)
    }
    fn addresses(&self) -> usize {
        self.addresses.load(Ordering::Relaxed)
    }
    fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
    fn arrange(&self, found: &mut [SocketAddr]) {
        self.addresses.store(found.len(), Ordering::Relaxed);
        let first = self.failures() % found.len().max(1);
        found.rotate_left(first);
    }
}

/// Looks up the server's own name as the addresses in the profile.
struct ServerResolver {
    servers: Arc<[Address]>,
    names: Arc<Names>,
    order: Arc<AddressOrder>,
}

impl Resolve for ServerResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let (servers, names, order) = (Arc::clone(&self.servers), Arc::clone(&self.names), Arc::clone(&self.order));
        Box::pin(async move {
            let mut found = names.look_up(&servers, SHORT_LOOKUP_PATIENCE).await?;
            order.arrange(&mut found);
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Returns a new idempotency key.
fn new_key() -> HeaderValue {
    HeaderValue::try_from(MachineId::random().to_string()).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// Encodes a text for the part of an address behind the question mark.
fn encode_query(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// Discards the answer of a request without a result.
fn discard(_: serde_json::Value) {}

/// Turns an unsuccessful answer into an error.
fn error_of_response(status: StatusCode, body: &[u8]) -> ApiClientError {
    match (status, serde_json::from_slice::<ApiError>(body)) {
        (StatusCode::UNAUTHORIZED, _) => ApiClientError::TokenRejected,
        (_, Ok(error)) => ApiClientError::Refused(error),
        (StatusCode::NOT_FOUND, Err(_)) if body.is_empty() => ApiClientError::NotFound,
        (_, Err(_)) => {
            let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
            ApiClientError::MalformedResponse(format!("HTTP {status} {text:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::Reason;

    #[test]
    fn refusals_are_reported_in_the_servers_words() {
        let said = ApiError { reason: Reason::BelowFloor, detail: "sequence 3 is below 5".into() };
        let body = serde_json::to_vec(&said).unwrap();
        assert!(
            matches!(error_of_response(StatusCode::CONFLICT, &body), ApiClientError::Refused(error) if error == said)
        );
        assert!(matches!(error_of_response(StatusCode::UNAUTHORIZED, &body), ApiClientError::TokenRejected));
        assert!(matches!(error_of_response(StatusCode::NOT_FOUND, b""), ApiClientError::NotFound));
        let error = error_of_response(StatusCode::BAD_GATEWAY, b"<html>");
        assert!(error.to_string().contains("502") && error.to_string().contains("<html>"), "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closes_at_once_is_tried_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let closing = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                drop(connection);
            }
        });
        let profile =
            Profile { servers: vec![server.into()], ca: banyan_proto::Digest([0; 32]), token: "t".into(), root: None };
        let client = ApiClient::new(&profile).unwrap();
        let refused = client.send(client.request(Method::GET, "info")).await.unwrap_err();
        assert!(matches!(refused, ApiClientError::NotAdmitted { .. }) && refused.is_temporary(), "{refused:?}");
        closing.abort();

        let attempts = std::cell::Cell::new(0);
        let refused = || ApiClientError::NotAdmitted { server: server.to_string(), why: "closed".into() };
        let admitted_later = async || {
            attempts.set(attempts.get() + 1);
            Err(if attempts.get() < 4 { refused() } else { ApiClientError::TokenRejected })
        };
        let answer = wait_for_admission(&admitted_later).await;
        assert!(matches!(answer, Err(ApiClientError::TokenRejected)) && attempts.get() == 4, "{answer:?}");
    }

    #[tokio::test]
    async fn an_address_that_accepts_and_never_answers_is_left_for_the_next() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let next = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let servers = [&silent, &next].map(|listener| listener.local_addr().unwrap().into()).to_vec();
        let profile = Profile { servers, ca: banyan_proto::Digest([0; 32]), token: "t".into(), root: None };
        let client = ApiClient::new(&profile).unwrap();
        tokio::select! {
            reached = next.accept() => assert!(reached.is_ok()),
            answer = client.info() => panic!("the next address was not tried: {answer:?}"),
        }
    }
}
