//! Runs the administrators' changing requests as [`crate::long_work`].

use super::extract::{PathParams, read_body};
use crate::{long_work::Patience, refusal::Refusal, server::Server};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use banyan_proto::{Digest, MachineId, admin::Working, limits};
use std::sync::Arc;

/// Runs a changing request as work that nobody else joins: two people who ask for the same may want it twice.
pub(super) async fn run_alone(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let id = Digest::of(&[MachineId::random().0, MachineId::random().0].concat());
    let patience = Patience::of(request.headers());
    server.long_work.run(id, patience, next.run(request)).await
}

/// Runs a changing request as work that the same request joins while it is under way. For requests that change nothing
/// more when they are repeated.
pub(super) async fn run_joined(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
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
