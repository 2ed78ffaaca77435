//! The table of the administrators' routes. Nothing is served without a rule: the only way to add a route is
//! [`Routes::add`], which takes the rule and the handler's description together.
//!
//! Each route is wrapped in this order: authenticate the token, check the rule, run as long work if it changes something,
//! use the database before machines do, record it in the audit log, then the handler.

use super::{
    administrator::{Administrator, authenticate, result_of},
    long_work, openapi,
};
use crate::{access::tokens::Identity, refusal::Refusal, server::Server, store};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::HeaderValue,
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use banyan_proto::{Reason, access::Permission, audit::AuditResult, limits};
use std::{net::IpAddr, sync::Arc};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::UtoipaMethodRouter;

/// The header of an answer with the time when the caller's token expires (seconds since 1970).
const ACCESS_EXPIRES: &str = "access-expires";

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Any valid token.
    AnyToken,
    /// A token whose role has this permission.
    Permission(Permission),
}

/// What a route has to do with the groups that a token can be limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scoping {
    /// It tells or changes nothing about machines.
    NoMachines,
    /// Its handler limits what it tells and changes to the token's groups.
    Narrowed,
    /// It concerns all machines, so tokens that are limited to groups are refused.
    WholeServer,
}

/// How a route's handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It changes nothing.
    Read,
    /// As work that nobody else joins. With an idempotency key, it is carried out once.
    Alone,
    /// As work that nobody else joins. Its answer has a secret, so it is not kept for an idempotency key.
    Secret,
    /// As work that the same request joins while it is under way. Repeating it changes nothing more.
    Joined,
    /// Its body is as long as an artifact, and the handler looks after it.
    Upload,
}

/// The rule of one route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) needs: Needs,
    pub(super) scoping: Scoping,
    pub(super) work: Work,
}

impl Rule {
    /// A route that changes nothing and needs a permission.
    pub(super) const fn read(permission: Permission, scoping: Scoping) -> Self {
        Self { needs: Needs::Permission(permission), scoping, work: Work::Read }
    }
    /// A route that changes something and needs a permission.
    pub(super) const fn change(permission: Permission, scoping: Scoping) -> Self {
        Self { needs: Needs::Permission(permission), scoping, work: Work::Alone }
    }
    /// A route that every valid token may use, and that tells nothing about machines.
    pub(super) const fn any_token() -> Self {
        Self { needs: Needs::AnyToken, scoping: Scoping::NoMachines, work: Work::Read }
    }
    /// The same rule for a handler that runs in another way.
    pub(super) const fn with_work(self, work: Work) -> Self {
        Self { work, ..self }
    }
    fn check(self, identity: &Identity) -> Result<(), Refusal> {
        let (person, role) = (&identity.access.person, identity.access.role);
        if let Needs::Permission(permission) = self.needs
            && !role.may(permission)
        {
            let detail = format!(
                "{person}'s token has the role {role}, which lacks the permission {permission}; ask an owner for a token \
                 of another role (`banyan access add`)"
            );
            return Err(Refusal::forbidden(Reason::NotAllowed, detail));
        }
        if self.scoping == Scoping::WholeServer && !identity.scope.is_all() {
            let detail = format!(
                "{person}'s token is limited to groups, and this concerns all machines; ask an owner for a token without \
                 groups"
            );
            return Err(Refusal::forbidden(Reason::NotAllowed, detail));
        }
        Ok(())
    }
}

/// What the wrappers of one route know.
#[derive(Clone)]
struct Gate {
    server: Arc<Server>,
    rule: Rule,
    /// The operation's name in the description, and in the audit log.
    operation: Arc<str>,
}

/// The routes, and their description.
pub(super) struct Routes {
    server: Arc<Server>,
    router: Router<Arc<Server>>,
    description: OpenApi,
}

impl Routes {
    pub(super) fn new(server: &Arc<Server>) -> Self {
        Self { server: Arc::clone(server), router: Router::new(), description: openapi::empty() }
    }
    /// Adds a route: one method of one path. `routes!` describes its handler.
    pub(super) fn add(mut self, rule: Rule, (schemas, paths, handler): UtoipaMethodRouter<Arc<Server>>) -> Self {
        let mut handler = Some(handler);
        for (path, item) in paths.paths {
            let (item, operation) = openapi::complete(item, rule);
            openapi::insert(&mut self.description, &path, item);
            let gate = Gate { server: Arc::clone(&self.server), rule, operation: operation.into() };
            if let Some(handler) = handler.take() {
                self.router = self.router.route(&path, wrap(handler, &gate));
            }
        }
        openapi::insert_schemas(&mut self.description, schemas);
        self
    }
    /// Returns the router. The description is served with it.
    pub(super) fn finish(self) -> (Router<Arc<Server>>, OpenApi) {
        (self.router, self.description)
    }
}

type Handler = axum::routing::MethodRouter<Arc<Server>>;

fn wrap(handler: Handler, gate: &Gate) -> Handler {
    let (server, rule) = (&gate.server, gate.rule);
    let limit = if rule.work == Work::Upload {
        DefaultBodyLimit::disable()
    } else {
        DefaultBodyLimit::max(limits::HTTP_BODY_BYTES)
    };
    let handler = match rule.work {
        Work::Read => handler,
        Work::Alone | Work::Secret | Work::Joined | Work::Upload => {
            handler.route_layer(from_fn_with_state(gate.clone(), record))
        }
    };
    let handler = handler.route_layer(from_fn(before_machines)).route_layer(limit);
    let handler = match rule.work {
        Work::Alone => handler.route_layer(from_fn_with_state(Arc::clone(server), long_work::run_alone)),
        Work::Secret => handler.route_layer(from_fn_with_state(Arc::clone(server), long_work::run_unkeyed)),
        Work::Joined => handler.route_layer(from_fn_with_state(Arc::clone(server), long_work::run_joined)),
        Work::Read | Work::Upload => handler,
    };
    handler.route_layer(from_fn_with_state(gate.clone(), authorise))
}

/// Lets a request through if its token is valid and the route's rule permits it. Counts the answers.
async fn authorise(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let response = check(&gate, request, next).await;
    gate.server.request_counts.count(response.status());
    response
}

async fn check(gate: &Gate, request: Request, next: Next) -> Response {
    let found = authenticate(&gate.server, request.headers(), request.extensions());
    let (identity, from) = match found.await {
        Ok(found) => found,
        Err(refusal) => return refusal.into_response(),
    };
    let expires = identity.access.expires;
    let mut response = run(gate, identity, from, request, next).await;
    if let Some(expires) = expires {
        response.headers_mut().insert(ACCESS_EXPIRES, HeaderValue::from(expires.0));
    }
    response
}

/// Checks the rule and runs the handler.
async fn run(gate: &Gate, identity: Arc<Identity>, from: IpAddr, mut request: Request, next: Next) -> Response {
    let checked = gate.rule.check(&identity);
    let administrator = Administrator::new(identity, from);
    if let Err(refusal) = checked {
        if gate.rule.work != Work::Read {
            let result = Err((AuditResult::Refused, Some(refusal.error.reason)));
            let path = request.uri().path().to_owned();
            let recorded = administrator.record(&gate.server, &gate.operation, &path, result).await;
            return recorded.err().unwrap_or(refusal).into_response();
        }
        return refusal.into_response();
    }
    request.extensions_mut().insert(administrator);
    next.run(request).await
}

/// Uses the database before machines do. The token has been verified.
async fn before_machines(request: Request, next: Next) -> Response {
    store::before_machines(next.run(request)).await
}

/// Records in the audit log what became of a request. The answer waits for that.
async fn record(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let Some(administrator) = request.extensions().get::<Administrator>().cloned() else {
        return Refusal::internal(&"a route of administrators without a rule").into_response();
    };
    let response = next.run(request).await;
    let result = result_of(&response);
    match administrator.record(&gate.server, &gate.operation, &path, result).await {
        Ok(()) => response,
        Err(refusal) => refusal.into_response(),
    }
}
