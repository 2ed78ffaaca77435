//! The administrators' API about access: the tokens of persons.

use super::{
    JsonResult, ServerState,
    administrator::Administrator,
    extract::{JsonBody, PathParams},
    routes::{Routes, Rule, Scoping, Work},
};
use axum::{Json, extract::State};
use banyan_proto::{
    UnixSeconds,
    access::{Access, AccessCreated, NewAccess, OwnAccess, Permission},
};
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let change = Rule::change(Permission::Access, Scoping::WholeServer);
    routes
        .add(Rule::any_token(), routes!(own_access))
        .add(Rule::read(Permission::Access, Scoping::WholeServer), routes!(list))
        .add(change.with_work(Work::Secret), routes!(create))
        .add(change, routes!(revoke))
}

/// Returns what the caller's own token permits.
#[utoipa::path(
    get,
    path = "/api/v1/access/self",
    operation_id = "get_own_access",
    tag = "access",
    responses((status = 200, description = "The caller's token, without its secret.", body = OwnAccess))
)]
async fn own_access(administrator: Administrator) -> Json<OwnAccess> {
    let access = administrator.access().clone();
    Json(OwnAccess { permissions: access.role.permissions().to_vec(), access })
}

/// Lists all access tokens, also revoked and expired ones.
#[utoipa::path(
    get,
    path = "/api/v1/access",
    operation_id = "list_access",
    tag = "access",
    responses((status = 200, description = "The tokens, without their secrets.", body = Vec<Access>))
)]
async fn list(State(server): ServerState) -> JsonResult<Vec<Access>> {
    server.access.all().await.map(Json)
}

/// Creates an access token for a person. The answer is the only time that the server shows it.
#[utoipa::path(
    post,
    path = "/api/v1/access",
    operation_id = "create_access",
    tag = "access",
    request_body = NewAccess,
    responses((status = 200, description = "The token.", body = AccessCreated))
)]
async fn create(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(wanted): JsonBody<NewAccess>,
) -> JsonResult<AccessCreated> {
    administrator
        .note_object("access", format_args!("{}/{}", wanted.person, wanted.token.as_deref().unwrap_or("default")));
    administrator.note_after(&wanted);
    let created = server.access.create(administrator.access(), &wanted, UnixSeconds::now()).await?;
    administrator.note_after(&created.access);
    Ok(Json(created))
}

/// Revokes an access token. Requests with it are refused from then on.
#[utoipa::path(
    post,
    path = "/api/v1/access/{id}/revoke",
    operation_id = "revoke_access",
    tag = "access",
    params(("id" = u64, Path, description = "The token's id.")),
    responses((status = 200, description = "What was revoked.", body = Access))
)]
async fn revoke(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<u64>,
) -> JsonResult<Access> {
    administrator.note_object("access", id);
    let revoked = server.access.revoke(id, UnixSeconds::now()).await?;
    administrator.note_object("access", format_args!("{}/{}", revoked.person, revoked.token));
    administrator.note_before(&revoked);
    Ok(Json(revoked))
}
