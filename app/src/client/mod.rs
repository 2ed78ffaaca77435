//! The administrator's side of the server's admin API (`/api/v1`).
//!
//! One TLS connection that believes only the CA pinned in the profile, a bearer token, no proxies, no redirects, a limit
//! on every wait and on the size of every answer.

mod error;
mod upload;

pub(crate) use error::ClientError;

use banyan_proto::{
    ALPN_HTTP, DeploymentId, MachineId,
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

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take in all (an upload: how long it may stand still).
const SILENCE: Duration = Duration::from_secs(60);
/// Largest answer that is read (bytes): the status of a deployment with the most addressees fits.
const ANSWER_BYTES: usize = 64 << 20;

/// A connection to one server with one administrator's token.
pub(crate) struct Client {
    http: reqwest::Client,
    profile: Profile,
}

/// What can be done to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intervention {
    /// Give no more go-aheads.
    Halt,
    /// Give them again.
    Resume,
}

impl Intervention {
    /// Its name in the path, and as a verb.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Resume => "resume",
        }
    }
}

impl Client {
    /// Nothing is sent yet.
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
    /// The server and its keys.
    pub(crate) async fn info(&self) -> Result<Info, ClientError> {
        self.get("info").await
    }
    /// [`Self::info`] and the server's clock (seconds since 1970), if its answer tells it.
    pub(crate) async fn info_and_clock(&self) -> Result<(Info, Option<i64>), ClientError> {
        let response = self.send(self.request(Method::GET, "info").timeout(SILENCE)).await?;
        let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
        let clock =
            date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|zoned| zoned.timestamp().as_second());
        Ok((self.read(response).await?, clock))
    }
    /// Registers the publishers' root.
    pub(crate) async fn register_root(&self, root: &RegisterRoot) -> Result<(), ClientError> {
        self.post("root", root).await.map(ignored)
    }
    /// What has been published so far.
    pub(crate) async fn targets(&self) -> Result<CurrentTargets, ClientError> {
        self.get("targets").await
    }
    /// Puts up the publishers' list anew, perhaps with releases withdrawn.
    pub(crate) async fn replace_targets(&self, list: &ReplaceTargets) -> Result<Replaced, ClientError> {
        self.post("targets", list).await
    }
    /// The manifest of a published release. Whoever believes it has checked it against the publishers' list.
    pub(crate) async fn manifest(&self, package: &str, sequence: u64) -> Result<String, ClientError> {
        let found: ReleaseManifest = self.get(&format!("releases/{package}/{sequence}")).await?;
        Ok(found.manifest)
    }
    /// A new join secret.
    pub(crate) async fn create_token(&self, token: &NewToken) -> Result<TokenCreated, ClientError> {
        self.post("tokens", token).await
    }
    /// Puts a signed release up. Its artifacts must have been uploaded.
    pub(crate) async fn publish(&self, release: &Publish) -> Result<(), ClientError> {
        self.post("releases", release).await.map(ignored)
    }
    /// All releases.
    pub(crate) async fn releases(&self) -> Result<Vec<Release>, ClientError> {
        self.get("releases").await
    }
    /// All enrolled machines.
    pub(crate) async fn machines(&self) -> Result<Vec<Machine>, ClientError> {
        self.get("machines").await
    }
    /// Revokes a machine's certificate.
    pub(crate) async fn revoke(&self, machine: MachineId) -> Result<(), ClientError> {
        self.post(&format!("machines/{machine}/revoke"), &()).await.map(ignored)
    }
    /// Takes a machine back that was set aside.
    pub(crate) async fn readmit(&self, machine: MachineId) -> Result<(), ClientError> {
        self.post(&format!("machines/{machine}/readmit"), &()).await.map(ignored)
    }
    /// What is laid down, for each group.
    pub(crate) async fn policies(&self) -> Result<Vec<GroupPolicy>, ClientError> {
        self.get("policies").await
    }
    /// Lays something down, or takes it back.
    pub(crate) async fn set_policy(&self, policy: &SetPolicy) -> Result<(), ClientError> {
        self.post("policies", policy).await.map(ignored)
    }
    /// Starts a deployment.
    pub(crate) async fn deploy(&self, deploy: &Deploy) -> Result<Deployed, ClientError> {
        self.post("deployments", deploy).await
    }
    /// All deployments, without their addressees.
    pub(crate) async fn deployments(&self) -> Result<Vec<DeploymentStatus>, ClientError> {
        self.get("deployments").await
    }
    /// One deployment with its addressees.
    pub(crate) async fn deployment(&self, id: DeploymentId) -> Result<DeploymentStatus, ClientError> {
        self.get(&format!("deployments/{id}")).await
    }
    /// Starts a new deployment of the same release to the machines on which this one failed.
    pub(crate) async fn retry(&self, id: DeploymentId) -> Result<Deployed, ClientError> {
        self.post(&format!("deployments/{id}/retry"), &()).await
    }
    /// Halts or resumes a deployment.
    pub(crate) async fn intervene(&self, id: DeploymentId, what: Intervention) -> Result<(), ClientError> {
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
    /// The answer. An empty one is read as `null`, for requests that only want to know that it was done.
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
                    return Err(ClientError::Unreadable(format!("it is longer than {ANSWER_BYTES} bytes")));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => return Err(ClientError::of_transport(&error, &self.profile)),
            }
        }
    }
}

/// The answer to a request whose success is all that matters.
fn ignored(_: serde_json::Value) {}

/// What an answer that is no success means.
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
