//! The client of the server's admin API (`/api/v1`).
//!
//! It uses one TLS connection that trusts only the CA pinned in the profile, and a bearer token. It uses no proxies and
//! follows no redirects. Every wait and the size of every answer are limited.

mod error;
mod upload;

pub(crate) use error::ClientError;

use banyan_proto::{
    ALPN_HTTP, MachineId, OrderId,
    admin::{
        CurrentTargets, Deploy, Deployed, DeploymentStatus, GroupPolicy, Info, Machine, NewToken, Profile, Publish,
        RegisterRoot, Release, ReleaseManifest, ReplaceTargets, Replaced, SetPolicy, TokenCreated,
    },
    api::ApiError,
};
use banyan_wire::tls::{SERVER_NAME, pinned_client};
use reqwest::{Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// Timeout for connecting.
const CONNECT: Duration = Duration::from_secs(5);
/// Timeout of a request. For an upload: how long no data may move.
const SILENCE: Duration = Duration::from_secs(60);
/// Maximum size of an answer (bytes). The status of the largest deployment fits.
const ANSWER_BYTES: usize = 64 << 20;

/// A connection to one server with one admin token.
pub(crate) struct Client {
    http: reqwest::Client,
    profile: Profile,
}

/// An administrator's action on a running deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intervention {
    /// Stop issuing install permits.
    Halt,
    /// Issue install permits again.
    Resume,
}

impl Intervention {
    /// Returns its name, as in the path and on the command line.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Resume => "resume",
        }
    }
}

impl Client {
    /// Creates a client. Sends nothing yet.
    pub(crate) fn new(profile: &Profile) -> Result<Self, ClientError> {
        let tls = pinned_client(profile.ca, &[ALPN_HTTP]).map_err(|error| ClientError::Setup(error.to_string()))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .resolve(SERVER_NAME, profile.server)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(true)
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| ClientError::of_transport(&error, profile))?;
        Ok(Self { http, profile: profile.clone() })
    }
    /// Fetches the server's software version and keys.
    pub(crate) async fn info(&self) -> Result<Info, ClientError> {
        self.get("info").await
    }
    /// Returns [`Self::info`] and the server's clock (seconds since 1970), if the answer has a date.
    pub(crate) async fn info_and_clock(&self) -> Result<(Info, Option<i64>), ClientError> {
        let response = self.send(self.request(Method::GET, "info").timeout(SILENCE)).await?;
        let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        let clock =
            date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|zoned| zoned.timestamp().as_second());
        Ok((self.read(response).await?, clock))
    }
    /// Registers the publisher's root.
    pub(crate) async fn register_root(&self, root: &RegisterRoot) -> Result<(), ClientError> {
        self.post("root", root).await.map(ignored)
    }
    /// Fetches the current root and list of releases.
    pub(crate) async fn targets(&self) -> Result<CurrentTargets, ClientError> {
        self.get("targets").await
    }
    /// Replaces the publisher's list of releases. This can withdraw releases.
    pub(crate) async fn replace_targets(&self, list: &ReplaceTargets) -> Result<Replaced, ClientError> {
        self.post("targets", list).await
    }
    /// Fetches the manifest of a published release. The caller must compare it with the publisher's list before
    /// trusting it.
    pub(crate) async fn manifest(&self, package: &str, sequence: u64) -> Result<String, ClientError> {
        let found: ReleaseManifest = self.get(&format!("releases/{package}/{sequence}")).await?;
        Ok(found.manifest)
    }
    /// Creates a join secret.
    pub(crate) async fn create_token(&self, token: &NewToken) -> Result<TokenCreated, ClientError> {
        self.post("tokens", token).await
    }
    /// Registers a signed release. Its artifacts must have been uploaded before.
    pub(crate) async fn publish(&self, release: &Publish) -> Result<(), ClientError> {
        self.post("releases", release).await.map(ignored)
    }
    /// Lists all releases.
    pub(crate) async fn releases(&self) -> Result<Vec<Release>, ClientError> {
        self.get("releases").await
    }
    /// Lists all enrolled machines.
    pub(crate) async fn machines(&self) -> Result<Vec<Machine>, ClientError> {
        self.get("machines").await
    }
    /// Revokes a machine's certificate.
    pub(crate) async fn revoke(&self, machine: MachineId) -> Result<(), ClientError> {
        self.post(&format!("machines/{machine}/revoke"), &()).await.map(ignored)
    }
    /// Readmits a quarantined machine.
    pub(crate) async fn readmit(&self, machine: MachineId) -> Result<(), ClientError> {
        self.post(&format!("machines/{machine}/readmit"), &()).await.map(ignored)
    }
    /// Lists the policies of all groups.
    pub(crate) async fn policies(&self) -> Result<Vec<GroupPolicy>, ClientError> {
        self.get("policies").await
    }
    /// Sets or removes a policy.
    pub(crate) async fn set_policy(&self, policy: &SetPolicy) -> Result<(), ClientError> {
        self.post("policies", policy).await.map(ignored)
    }
    /// Starts a deployment.
    pub(crate) async fn deploy(&self, deploy: &Deploy) -> Result<Deployed, ClientError> {
        self.post("deployments", deploy).await
    }
    /// Lists all deployments, without their target machines.
    pub(crate) async fn deployments(&self) -> Result<Vec<DeploymentStatus>, ClientError> {
        self.get("deployments").await
    }
    /// Fetches one deployment with its target machines.
    pub(crate) async fn deployment(&self, id: OrderId) -> Result<DeploymentStatus, ClientError> {
        self.get(&format!("deployments/{id}")).await
    }
    /// Starts a new deployment of the same release to the machines on which this one failed.
    pub(crate) async fn retry(&self, id: OrderId) -> Result<Deployed, ClientError> {
        self.post(&format!("deployments/{id}/retry"), &()).await
    }
    /// Halts or resumes a deployment.
    pub(crate) async fn intervene(&self, id: OrderId, what: Intervention) -> Result<(), ClientError> {
        self.post(&format!("deployments/{id}/{}", what.verb()), &()).await.map(ignored)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("https://{SERVER_NAME}:{}/api/v1/{path}", self.profile.server.port());
        self.http.request(method, url).bearer_auth(&self.profile.token)
    }
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::GET, path).timeout(SILENCE)).await?;
        self.read(response).await
    }
    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::POST, path).timeout(SILENCE).json(body)).await?;
        self.read(response).await
    }
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() && !error.is_connect() => {
                return Err(ClientError::Stalled { server: self.profile.server, seconds: SILENCE.as_secs() });
            }
            Err(error) => return Err(ClientError::of_transport(&error, &self.profile)),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.body(response).await?;
        Err(refusal(status, &body))
    }
    /// Parses the answer. An empty body is read as `null`, for requests without a result.
    async fn read<T: DeserializeOwned>(&self, response: reqwest::Response) -> Result<T, ClientError> {
        let body = self.body(response).await?;
        let body = if body.is_empty() { b"null".as_slice() } else { &body };
        serde_json::from_slice(body).map_err(|error| ClientError::Unreadable(error.to_string()))
    }
    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES => {
                    return Err(ClientError::Unreadable(format!("longer than {ANSWER_BYTES} bytes")));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => return Err(ClientError::of_transport(&error, &self.profile)),
            }
        }
    }
}

/// Discards the answer of a request without a result.
fn ignored(_: serde_json::Value) {}

/// Turns an unsuccessful answer into an error.
fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    match (status, serde_json::from_slice::<ApiError>(body)) {
        (StatusCode::UNAUTHORIZED, _) => ClientError::Token,
        (_, Ok(error)) => ClientError::Refused(error),
        (StatusCode::NOT_FOUND, Err(_)) if body.is_empty() => ClientError::NotThere,
        (_, Err(_)) => {
            let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
            ClientError::Unreadable(format!("HTTP {status} {text:?}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::Reason;

    #[test]
    fn refusals_are_told_in_the_servers_words() {
        let said = ApiError { reason: Reason::BelowFloor, detail: "sequence 3 is below 5".into() };
        let body = serde_json::to_vec(&said).unwrap();
        assert!(matches!(refusal(StatusCode::CONFLICT, &body), ClientError::Refused(error) if error == said));
        assert!(matches!(refusal(StatusCode::UNAUTHORIZED, &body), ClientError::Token));
        assert!(matches!(refusal(StatusCode::NOT_FOUND, b""), ClientError::NotThere));
        let error = refusal(StatusCode::BAD_GATEWAY, b"<html>");
        assert!(error.to_string().contains("502") && error.to_string().contains("<html>"), "{error}");
    }
}
