//! Runs the administrators' changing requests as [`crate::long_work`].

use super::{
    administrator::Administrator,
    extract::{PathParams, read_body},
};
use crate::{
    access::idempotency::{self, Begun, Idempotency},
    long_work::Patience,
    refusal::Refusal,
    server::Server,
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};
use banyan_proto::{Digest, MachineId, admin::Working, api::ApiError, limits};
use std::sync::Arc;

/// Runs a changing request as work that nobody else joins: two people who ask for the same may want it twice. A request
/// that is repeated with the same idempotency key is carried out once.
pub(super) async fn run_alone(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    match request.headers().get(idempotency::HEADER).cloned() {
        None => run_unkeyed(State(server), request, next).await,
        Some(header) => run_once(&server, &header, request, next).await.unwrap_or_else(IntoResponse::into_response),
    }
}

/// Runs a changing request as such work, whatever key it has: its answer has a secret, which is not stored.
pub(super) async fn run_unkeyed(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let id = Digest::of(&[MachineId::random().0, MachineId::random().0].concat());
    let patience = Patience::of(request.headers());
    server.long_work.run(id, patience, next.run(request)).await
}

async fn run_once(
    server: &Arc<Server>,
    header: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let administrator = parts.extensions.get::<Administrator>();
    let token =
        administrator.ok_or_else(|| Refusal::internal(&"a route of administrators without a rule"))?.access().id;
    let key = Idempotency::key(token, header)?;
    let patience = Patience::of(&parts.headers);
    let body = read_body(body, limits::HTTP_BODY_BYTES).await?;
    let hash = Digest::of(&[parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), b"\0", &body].concat());
    let id = Digest::of(format!("{token} {hash} {}", key.key).as_bytes());
    loop {
        match server.idempotency.begin(&key, hash).await? {
            Begun::Answered(answer) => return Ok(idempotency::replay(answer)),
            Begun::First => break,
            Begun::UnderWay => match server.long_work.wait(id, patience).await {
                Some(response) => return Ok(response),
                None => server.idempotency.abandon(&key).await,
            },
        }
    }
    let request = Request::from_parts(parts, Body::from(body));
    let this = Arc::clone(server);
    let work = async move {
        let response = next.run(request).await;
        this.idempotency.end(&key, hash, response).await
    };
    Ok(server.long_work.run(id, patience, work).await)
}

/// Runs a changing request as work that the same request joins while it is under way. For requests that change nothing
/// more when they are repeated.
pub(super) async fn run_joined(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match read_body(body, limits::HTTP_BODY_BYTES).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    let id = Digest::of(&[parts.method.as_str().as_bytes(), parts.uri.path().as_bytes(), &body].concat());
    let patience = Patience::of(&parts.headers);
    server.long_work.run(id, patience, next.run(Request::from_parts(parts, Body::from(body)))).await
}

/// Answers with the work's answer, or how far it is.
#[utoipa::path(
    get,
    path = "/api/v1/work/{id}",
    operation_id = "get_work",
    tag = "server",
    params(("id" = Digest, Path, description = "The work's identifier, from an answer with status 202.")),
    responses(
        (status = 200, description = "The answer to the request that began the work, with its own status."),
        (status = 202, description = "The server is still at work.", body = Working),
        (status = 204, description = "The request was carried out; it has no result."),
        (status = 413, description = "The body of that request was too large.", body = ApiError),
        (status = 507, description = "The server's disk was full.", body = ApiError),
    )
)]
pub(super) async fn work(
    State(server): State<Arc<Server>>,
    PathParams(id): PathParams<Digest>,
    headers: HeaderMap,
) -> Response {
    let unknown = || Refusal::not_found("there is no such work; the server may have been restarted").into_response();
    server.long_work.wait(id, Patience::of(&headers)).await.unwrap_or_else(unknown)
}
