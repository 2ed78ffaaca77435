//! The administrators' API about the audit log.

use super::{
    JsonResult, ServerState,
    administrator::Administrator,
    extract::QueryParams,
    routes::{Routes, Rule, Scoping},
};
use crate::store::AuditFilter;
use axum::{Json, extract::State};
use banyan_proto::{
    UnixSeconds,
    access::Permission,
    audit::{AuditExportPage, AuditHead, AuditPage, AuditResult},
};
use serde::Deserialize;
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let read = Rule::read(Permission::Audit, Scoping::WholeServer);
    routes.add(read, routes!(entries)).add(read, routes!(head)).add(read, routes!(rows))
}

/// Which rows to list.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EntryList {
    /// The actor: a person, or `system:` and a part of the server.
    actor: Option<String>,
    /// The action: an operation of this API, such as `deploy`.
    action: Option<String>,
    /// The object, such as `machine:till-3`; with `*` at its end, the object's beginning.
    object: Option<String>,
    /// What became of it.
    result: Option<AuditResult>,
    /// Not older than this (seconds since 1970).
    since: Option<u64>,
    /// Older than this (seconds since 1970).
    until: Option<u64>,
    /// With a lower number than this: the `next` of the page before.
    before: Option<u64>,
    /// At most this many rows; 100 by default, at most 1000.
    limit: Option<u64>,
}

/// Lists rows of the audit log, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "list_audit",
    tag = "audit",
    params(EntryList),
    responses((status = 200, description = "A page of rows.", body = AuditPage))
)]
async fn entries(State(server): ServerState, QueryParams(list): QueryParams<EntryList>) -> JsonResult<AuditPage> {
    let EntryList { actor, action, object, result, since, until, before, limit } = list;
    let (since, until) = (since.map(UnixSeconds), until.map(UnixSeconds));
    let filter = AuditFilter { actor, action, object, result, since, until, before };
    server.audit.page(&filter, limit).await.map(Json)
}

/// Which head the caller knows.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct KnownHead {
    /// The size of the newest head that the caller knows; 0 by default.
    #[serde(default)]
    known: u64,
}

/// Returns the newest signed head of the log, and the proof that the log begins with what the caller knows of it.
#[utoipa::path(
    get,
    path = "/api/v1/audit/head",
    operation_id = "get_audit_head",
    tag = "audit",
    params(KnownHead),
    responses((status = 200, description = "The head.", body = AuditHead))
)]
async fn head(
    State(server): ServerState,
    QueryParams(KnownHead { known }): QueryParams<KnownHead>,
) -> JsonResult<AuditHead> {
    server.audit.head(known).await.map(Json)
}

/// Which rows to export.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct RowList {
    /// The number of the first row; 0 by default.
    #[serde(default)]
    from: u64,
}

/// Returns up to 1000 rows exactly as hashed, the oldest first. Reading from the first row is itself recorded.
#[utoipa::path(
    get,
    path = "/api/v1/audit/rows",
    operation_id = "export_audit",
    tag = "audit",
    params(RowList),
    responses((status = 200, description = "The rows.", body = AuditExportPage))
)]
async fn rows(
    State(server): ServerState,
    administrator: Administrator,
    QueryParams(RowList { from }): QueryParams<RowList>,
) -> JsonResult<AuditExportPage> {
    if from == 0 {
        administrator.note_object("audit", "rows");
        administrator.record(&server, "export_audit", "", Ok(())).await?;
    }
    server.audit.rows(from).await.map(Json)
}
