//! The administrator who asks: authenticated by a token, and let through by the route's rule. Records in the audit log
//! what became of each request that changes something.

use crate::{
    access::{scope::Scope, tokens::Identity},
    audit::NewEntry,
    net::{accept::Caller, connections::Place},
    refusal::{Refusal, RefusalReason},
    server::Server,
};
use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, StatusCode, header::AUTHORIZATION, request::Parts},
    response::Response,
};
use banyan_proto::{
    Reason, UnixSeconds,
    access::Access,
    audit::{Actor, AuditResult},
};
use serde::Serialize;
use serde_json::Value;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Returns who asks, and from where. Wrong tokens are answered ever more slowly.
pub(super) async fn authenticate(
    server: &Arc<Server>,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<(Arc<Identity>, IpAddr), Refusal> {
    let caller = extensions.get::<Caller>();
    let from = caller.ok_or_else(|| Refusal::internal(&"a request without its connection's data"))?.from;
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
    });
    // A clock that has jumped back does not make expired tokens valid again.
    let now = server.clock.now().max(UnixSeconds::now());
    if let Some(identity) = token.and_then(|token| server.access.authenticate(token, now)) {
        if let Some(place) = extensions.get::<Arc<Place>>() {
            place.become_administrator();
        }
        return Ok((identity, from));
    }
    let delay = server.failed_attempts.record(from, "an administrator's token that is missing or wrong");
    tokio::time::sleep(delay).await;
    let detail = "the administrator's token is missing, wrong, expired or revoked; it is in the profile (admin.toml)";
    Err(Refusal::new(StatusCode::UNAUTHORIZED, Reason::NotAllowed, detail))
}

/// What the audit log is to say about a request beside who asked for what.
#[derive(Debug, Default)]
struct Notes {
    object: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    changes_nothing: bool,
}

/// The administrator who asks. Only the router creates it, after the route's rule has let the request through.
#[derive(Clone)]
pub(super) struct Administrator {
    identity: Arc<Identity>,
    from: IpAddr,
    notes: Arc<Mutex<Notes>>,
}

impl Administrator {
    pub(super) fn new(identity: Arc<Identity>, from: IpAddr) -> Self {
        Self { identity, from, notes: Arc::default() }
    }
    pub(super) fn access(&self) -> &Access {
        &self.identity.access
    }
    /// Returns the machines that the administrator's token is for.
    pub(super) fn scope(&self) -> &Scope {
        &self.identity.scope
    }
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Says what the request is about, such as `machine` and a name.
    pub(super) fn note_object(&self, kind: &str, name: impl std::fmt::Display) {
        self.notes().object = Some(format!("{kind}:{name}"));
    }
    /// Says what was there before the request. Never a secret.
    pub(super) fn note_before(&self, value: &impl Serialize) {
        self.notes().before = serde_json::to_value(value).ok();
    }
    /// Says what is there afterwards, or what was asked for. Never a secret.
    pub(super) fn note_after(&self, value: &impl Serialize) {
        self.notes().after = serde_json::to_value(value).ok();
    }
    /// Says that the request is a preview, which is not recorded.
    pub(super) fn note_preview(&self) {
        self.notes().changes_nothing = true;
    }
    /// Records what became of a request.
    pub(super) async fn record(
        &self,
        server: &Server,
        operation: &str,
        path: &str,
        result: Result<(), (AuditResult, Option<Reason>)>,
    ) -> Result<(), Refusal> {
        let notes = std::mem::take(&mut *self.notes());
        if notes.changes_nothing {
            return Ok(());
        }
        let access = self.access();
        let (result, reason) = match result {
            Ok(()) => (AuditResult::Done, None),
            Err(found) => found,
        };
        let entry = NewEntry {
            actor: Actor::Person {
                person: access.person.clone(),
                token_id: access.id,
                token: access.token.clone(),
                role: access.role,
            },
            from: Some(self.from),
            action: operation.to_owned(),
            object: notes.object.unwrap_or_else(|| object_of_path(path)),
            result,
            reason,
            before: notes.before,
            after: notes.after,
        };
        server.audit.record(entry).await
    }
}

/// Returns what became of a request, by its response.
pub(super) fn result_of(response: &Response) -> Result<(), (AuditResult, Option<Reason>)> {
    let reason = response.extensions().get::<RefusalReason>().map(|found| found.0);
    match response.status() {
        status if status.is_success() => Ok(()),
        status if status.is_server_error() => Err((AuditResult::Failed, reason)),
        _ => Err((AuditResult::Refused, reason)),
    }
}

/// Returns what a path is about, for requests whose handler does not say: `machines/till-3/revoke` without the version.
fn object_of_path(path: &str) -> String {
    path.strip_prefix("/api/v1/").unwrap_or(path).chars().take(300).collect()
}

impl FromRequestParts<Arc<Server>> for Administrator {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, _: &Arc<Server>) -> Result<Self, Refusal> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Refusal::internal(&"a route of administrators without a rule"))
    }
}
