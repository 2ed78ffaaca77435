//! The administrators' API about join codes: the secrets with which machines enrol.

use super::{
    EmptyResult, JsonResult, ServerState,
    administrator::Administrator,
    extract::{JsonBody, PathParams},
    routes::{Routes, Rule, Scoping, Work},
};
use crate::{access::scope::Scope, refusal::Refusal};
use axum::{Json, extract::State, http::StatusCode};
use banyan_proto::{
    Digest, Reason,
    access::Permission,
    admin::{NewToken, OpenToken, TokenCreated},
};
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let change = Rule::change(Permission::Enrol, Scoping::Narrowed);
    routes
        .add(Rule::read(Permission::Enrol, Scoping::Narrowed), routes!(open_tokens))
        .add(change.with_work(Work::Secret), routes!(create_token))
        .add(change, routes!(revoke_token))
}

/// Returns whether machines that enrol with a code of this group belong to the scope.
fn is_visible(scope: &Scope, group: Option<&str>) -> bool {
    group.map_or_else(|| scope.is_all(), |group| scope.has_group(group))
}

/// Creates a join code. The answer is the only time that the server shows its secret.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "create_join_code",
    tag = "join codes",
    request_body = NewToken,
    responses((status = 200, description = "The secret.", body = TokenCreated))
)]
async fn create_token(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(mut wanted): JsonBody<NewToken>,
) -> JsonResult<TokenCreated> {
    let scope = administrator.scope();
    if !is_visible(scope, wanted.group.as_deref()) {
        let detail = "your token is limited to groups; create a join code for one of them (`--group`)";
        return Err(Refusal::forbidden(Reason::NotAllowed, detail));
    }
    if let Some(old) = wanted.replaces {
        wanted.replaces = Some(server.registry.find_one_in(&old.to_string(), scope)?.id);
    }
    administrator.note_after(&wanted);
    let created = server.enrolment.create_token(&wanted).await?;
    let id = data_encoding::HEXLOWER.decode(created.secret.expose().as_bytes()).map(|secret| Digest::of(&secret));
    administrator.note_object("join-code", id.unwrap_or(Digest([0; 32])).short());
    Ok(Json(created))
}

/// Lists the join codes that machines can still enrol with.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "list_join_codes",
    tag = "join codes",
    responses((status = 200, description = "The open join codes, without their secrets.", body = Vec<OpenToken>))
)]
async fn open_tokens(State(server): ServerState, administrator: Administrator) -> JsonResult<Vec<OpenToken>> {
    let mut open = server.enrolment.open_tokens().await?;
    open.retain(|token| is_visible(administrator.scope(), token.group.as_deref()));
    Ok(Json(open))
}

/// Revokes a join code. Machines that have enrolled with it stay enrolled.
#[utoipa::path(
    post,
    path = "/api/v1/tokens/{id}/revoke",
    operation_id = "revoke_join_code",
    tag = "join codes",
    params(("id" = Digest, Path, description = "The join code's id.")),
    responses((status = 204, description = "It is revoked."))
)]
async fn revoke_token(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<Digest>,
) -> EmptyResult {
    administrator.note_object("join-code", id.short());
    if !administrator.scope().is_all() {
        let open = server.enrolment.open_tokens().await?;
        let is_this = |token: &&OpenToken| token.id == id && is_visible(administrator.scope(), token.group.as_deref());
        if open.iter().find(is_this).is_none() {
            return Err(Refusal::not_found("there is no open join code with this id"));
        }
    }
    server.enrolment.revoke_token(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
