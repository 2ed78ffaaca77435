//! The administrators' API about machines: lists and filters, names, groups, tags and named sites.

use super::{
    admin::{EmptyResult, JsonResult, ServerState},
    extract::{Administrator, JsonBody, PathParams, QueryParams},
};
use crate::{refusal::Refusal, server::Server, store::MachineRow};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderName, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use banyan_proto::{
    UnixSeconds,
    admin::Machine,
    assignments::{
        AssignMachines, AssignedMachines, DeleteAssigned, EditMachines, EditedMachines, Group, NameSite, NamedSite,
        RenameMachine, RenamedMachine, Tag, UNKNOWN_MACHINES,
    },
};
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Server>> {
    Router::new()
        .route("/api/v1/machines", get(machines))
        .route("/api/v1/machines/edit", post(edit))
        .route("/api/v1/machines/assign", post(assign))
        .route("/api/v1/machines/{name}/rename", post(rename))
        .route("/api/v1/groups", get(groups))
        .route("/api/v1/groups/delete", post(delete_group))
        .route("/api/v1/tags", get(tags))
        .route("/api/v1/tags/delete", post(delete_tag))
        .route("/api/v1/sites/names", get(named_sites).post(name_site))
}

/// Which machines to list.
#[derive(serde::Deserialize)]
struct MachineList {
    /// A filter; without one, all machines.
    r#where: Option<String>,
    /// Whether to list the machines for which the filter has no answer, instead of those that it selects.
    #[serde(default)]
    unknown: bool,
}

async fn machines(
    State(server): ServerState,
    _: Administrator,
    QueryParams(list): QueryParams<MachineList>,
) -> Result<Response, Refusal> {
    let describe = |rows: Vec<MachineRow>| {
        Json(rows.into_iter().map(|row| describe_machine(&server, row)).collect::<Vec<Machine>>())
    };
    let Some(filter) = list.r#where else { return Ok(describe(server.registry.all()).into_response()) };
    let found = server.selections.matching(&filter).await?;
    let unknown = [(HeaderName::from_static(UNKNOWN_MACHINES), found.unknown.len().to_string())];
    Ok((unknown, describe(if list.unknown { found.unknown } else { found.machines })).into_response())
}

fn describe_machine(server: &Server, row: MachineRow) -> Machine {
    let observed = server.registry.observed(row.id);
    Machine {
        online: server.connections.is_online(row.id),
        clock_ahead: observed.clock_ahead,
        knows_server_addresses: observed.server_addresses.map(|known| !server.registry.has_newer_addresses(known)),
        revoked: row.revoked.is_some(),
        out: row.exclusion(),
        replaced_by: row.replaced_by,
        id: row.id,
        label: row.name().to_owned(),
        reported_label: row.assigned.name.as_ref().map(|_| row.label.clone()),
        group: row.assigned.groups.first().cloned(),
        groups: row.assigned.groups,
        tags: row.assigned.tags,
        platform: row.platform,
        addresses: row.addresses,
        seen: row.seen,
        software: row.software,
        rates: row.rates,
        reach: (!row.reach.is_empty()).then(|| row.reach.reach(UnixSeconds::now())),
    }
}

async fn edit(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<EditMachines>,
) -> JsonResult<EditedMachines> {
    server.assignments.edit(&request).await.map(Json)
}

async fn assign(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<AssignMachines>,
) -> JsonResult<AssignedMachines> {
    server.assignments.assign(&request).await.map(Json)
}

async fn rename(
    State(server): ServerState,
    _: Administrator,
    PathParams(name): PathParams<String>,
    JsonBody(request): JsonBody<RenameMachine>,
) -> JsonResult<RenamedMachine> {
    server.assignments.rename(&name, &request).await.map(Json)
}

async fn groups(State(server): ServerState, _: Administrator) -> JsonResult<Vec<Group>> {
    server.assignments.groups().await.map(Json)
}

async fn delete_group(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<DeleteAssigned>,
) -> EmptyResult {
    server.assignments.delete_group(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tags(State(server): ServerState, _: Administrator) -> Json<Vec<Tag>> {
    Json(server.assignments.tags())
}

async fn delete_tag(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<DeleteAssigned>,
) -> EmptyResult {
    server.assignments.delete_tag(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn named_sites(State(server): ServerState, _: Administrator) -> Json<Vec<NamedSite>> {
    Json(server.named_sites.all())
}

async fn name_site(State(server): ServerState, _: Administrator, JsonBody(request): JsonBody<NameSite>) -> EmptyResult {
    server.named_sites.set(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}
