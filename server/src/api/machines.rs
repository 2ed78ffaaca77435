//! The administrators' API about machines: lists and filters, names, groups, tags and named sites.

use super::{
    EmptyResult, JsonResult, ServerState,
    administrator::Administrator,
    extract::{JsonBody, PathParams, QueryParams},
    machine_pages::{self, MachineSort},
    routes::{Routes, Rule, Scoping},
    versions::{self, version_of},
};
use crate::{access::scope::Scope, refusal::Refusal, server::Server, store::MachineRow};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use banyan_proto::{
    Reason, UnixSeconds,
    access::Permission,
    admin::{Machine, Selection},
    assignments::{
        AssignMachines, AssignedMachines, DeleteAssigned, EditMachines, EditedMachines, Group, NEXT_CURSOR,
        RenameMachine, RenamedMachine, Tag, UNKNOWN_MACHINES,
    },
};
use std::collections::{BTreeMap, BTreeSet};
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let read = Rule::read(Permission::View, Scoping::Narrowed);
    let change = Rule::change(Permission::Machines, Scoping::Narrowed);
    let whole = Rule::change(Permission::Machines, Scoping::WholeServer);
    routes
        .add(read, routes!(machines))
        .add(change, routes!(edit))
        .add(change, routes!(assign))
        .add(change, routes!(rename))
        .add(Rule::change(Permission::Enrol, Scoping::Narrowed), routes!(revoke))
        .add(change, routes!(readmit))
        .add(read, routes!(groups))
        .add(whole, routes!(delete_group))
        .add(read, routes!(tags))
        .add(whole, routes!(delete_tag))
}

/// Which machines to list.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct MachineList {
    /// A filter; without one, all machines.
    r#where: Option<String>,
    /// Whether to list the machines for which the filter has no answer, instead of those that it selects.
    #[serde(default)]
    unknown: bool,
    /// What the list is sorted by.
    #[serde(default)]
    #[param(inline)]
    sort: MachineSort,
    /// At most this many machines, 1 to 1000; all by default.
    limit: Option<usize>,
    /// Where to continue: the header `next-cursor` of the page before, with the same `where` and `sort`.
    cursor: Option<String>,
}

/// Lists machines.
#[utoipa::path(
    get,
    path = "/api/v1/machines",
    operation_id = "list_machines",
    tag = "machines",
    params(MachineList),
    responses((
        status = 200,
        description = "The machines.",
        body = Vec<Machine>,
        headers(
            ("unknown-machines" = u64, description = "For how many machines the filter has no answer."),
            ("next-cursor" = String, description = "The cursor of the next page, if there is one."),
        ),
    ))
)]
async fn machines(
    State(server): ServerState,
    administrator: Administrator,
    QueryParams(list): QueryParams<MachineList>,
) -> Result<Response, Refusal> {
    let describe = |rows: Vec<MachineRow>| {
        let (rows, next) = machine_pages::page(rows, list.sort, list.cursor.as_deref(), list.limit)?;
        let next =
            next.and_then(|cursor| Some((HeaderName::from_static(NEXT_CURSOR), HeaderValue::try_from(cursor).ok()?)));
        let headers: HeaderMap = next.into_iter().collect();
        let machines: Vec<Machine> = rows.into_iter().map(|row| describe_machine(&server, row)).collect();
        Ok::<_, Refusal>((headers, Json(machines)))
    };
    let visible = || server.registry.all_in(administrator.scope());
    let Some(filter) = list.r#where else { return Ok(describe(visible())?.into_response()) };
    let filter = match server.selections.narrow(Selection::Filter(filter), administrator.scope()) {
        Ok(Selection::Filter(filter)) => filter,
        // Nothing is wrong with the filter: there are no machines that it could select.
        Err(refusal) if refusal.status == StatusCode::NOT_FOUND && visible().is_empty() => {
            let unknown = [(HeaderName::from_static(UNKNOWN_MACHINES), "0")];
            return Ok((unknown, describe(vec![])?).into_response());
        }
        Ok(_) => return Err(Refusal::internal(&"a filter that became another selection")),
        Err(refusal) => return Err(refusal),
    };
    let found = server.selections.matching(&filter).await?;
    let unknown = [(HeaderName::from_static(UNKNOWN_MACHINES), found.unknown.len().to_string())];
    Ok((unknown, describe(if list.unknown { found.unknown } else { found.machines })?).into_response())
}

/// Returns what the version of a machine is made of.
fn assigned_of(row: &MachineRow) -> impl serde::Serialize {
    (row.id, row.assigned.name.clone(), row.assigned.groups.clone(), row.assigned.tags.clone())
}

fn describe_machine(server: &Server, row: MachineRow) -> Machine {
    let observed = server.registry.observed(row.id);
    let version = Some(version_of(&assigned_of(&row)));
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
        version,
        platform: row.platform,
        addresses: row.addresses,
        seen: row.seen,
        software: row.software,
        rates: row.rates,
        reach: (!row.reach.is_empty()).then(|| row.reach.reach(UnixSeconds::now())),
    }
}

/// Refuses groups that are not those of a token.
fn check_groups<'a>(scope: &Scope, groups: impl IntoIterator<Item = &'a String>) -> Result<(), Refusal> {
    match groups.into_iter().find(|group| !scope.has_group(group)) {
        None => Ok(()),
        Some(group) => {
            let detail = format!("your token is limited to groups, and {group:?} is none of them");
            Err(Refusal::forbidden(Reason::NotAllowed, detail))
        }
    }
}

/// Changes the groups and tags of the selected machines, in one step.
#[utoipa::path(
    post,
    path = "/api/v1/machines/edit",
    operation_id = "edit_machines",
    tag = "machines",
    request_body = EditMachines,
    responses((status = 200, description = "How many machines were changed.", body = EditedMachines))
)]
async fn edit(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(mut request): JsonBody<EditMachines>,
) -> JsonResult<EditedMachines> {
    let scope = administrator.scope();
    administrator.note_object("machines", "selection");
    administrator.note_after(&request);
    if request.preview {
        administrator.note_preview();
    }
    check_groups(scope, request.add_groups.iter().chain(&request.remove_groups))?;
    request.machines = server.selections.narrow(request.machines, scope)?;
    server.assignments.edit(&request).await.map(Json)
}

/// Gives machines names, groups and tags, each its own. Either all are assigned or none.
#[utoipa::path(
    post,
    path = "/api/v1/machines/assign",
    operation_id = "assign_machines",
    tag = "machines",
    request_body = AssignMachines,
    responses((status = 200, description = "How many machines were changed, or what is wrong.", body = AssignedMachines))
)]
async fn assign(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(mut request): JsonBody<AssignMachines>,
) -> JsonResult<AssignedMachines> {
    let scope = administrator.scope();
    administrator.note_object("machines", "table");
    administrator.note_after(&request);
    if request.preview {
        administrator.note_preview();
    }
    if !scope.is_all() {
        for assignment in &mut request.machines {
            let row = server.registry.find_one_in(&assignment.machine, scope)?;
            assignment.machine = row.id.to_string();
            if let Some(wanted) = &assignment.groups {
                let (old, new): (BTreeSet<_>, BTreeSet<_>) =
                    (row.assigned.groups.iter().collect(), wanted.iter().collect());
                check_groups(scope, old.symmetric_difference(&new).copied())?;
            }
        }
    }
    let assigned = server.assignments.assign(&request).await?;
    if !assigned.errors.is_empty() {
        administrator.note_preview();
    }
    Ok(Json(assigned))
}

/// Gives a machine a name, which replaces the label that it reports. `If-Match` makes that depend on the version in the
/// list.
#[utoipa::path(
    post,
    path = "/api/v1/machines/{name}/rename",
    operation_id = "rename_machine",
    tag = "machines",
    params(("name" = String, Path, description = "The machine: its name, its id, or the first digits of that.")),
    request_body = RenameMachine,
    responses((status = 200, description = "The machine and its new name.", body = RenamedMachine))
)]
async fn rename(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(name): PathParams<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<RenameMachine>,
) -> JsonResult<RenamedMachine> {
    let _editing = server.editing.lock().await;
    let row = find(&server, &administrator, &name)?;
    versions::check(&headers, &version_of(&assigned_of(&row)), &describe_machine(&server, row.clone()))?;
    administrator.note_before(&row.name());
    administrator.note_after(&request.name);
    server.assignments.rename(&row.id.to_string(), &request).await.map(Json)
}

/// Finds a machine of the administrator's scope, which the request is about.
fn find(server: &Server, administrator: &Administrator, name: &str) -> Result<MachineRow, Refusal> {
    let row = server.registry.find_one_in(name, administrator.scope())?;
    administrator.note_object("machine", format_args!("{} {}", row.name(), row.id));
    Ok(row)
}

/// Revokes a machine's certificate.
#[utoipa::path(
    post,
    path = "/api/v1/machines/{name}/revoke",
    operation_id = "revoke_machine",
    tag = "machines",
    params(("name" = String, Path, description = "The machine: its name, its id, or the first digits of that.")),
    responses((status = 204, description = "It is revoked."))
)]
async fn revoke(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(name): PathParams<String>,
) -> EmptyResult {
    let machine = find(&server, &administrator, &name)?.id;
    server.revocation.revoke(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Readmits a quarantined machine.
#[utoipa::path(
    post,
    path = "/api/v1/machines/{name}/readmit",
    operation_id = "readmit_machine",
    tag = "machines",
    params(("name" = String, Path, description = "The machine: its name, its id, or the first digits of that.")),
    responses((status = 204, description = "It is readmitted."))
)]
async fn readmit(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(name): PathParams<String>,
) -> EmptyResult {
    let machine = find(&server, &administrator, &name)?.id;
    server.revocation.readmit(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the groups that have machines, a policy or join codes.
#[utoipa::path(
    get,
    path = "/api/v1/groups",
    operation_id = "list_groups",
    tag = "machines",
    responses((status = 200, description = "The groups.", body = Vec<Group>))
)]
async fn groups(State(server): ServerState, administrator: Administrator) -> JsonResult<Vec<Group>> {
    let mut groups = server.assignments.groups().await?;
    groups.retain(|group| administrator.scope().has_group(&group.name));
    Ok(Json(groups))
}

/// Takes a group from all machines. It is refused while something uses the group.
#[utoipa::path(
    post,
    path = "/api/v1/groups/delete",
    operation_id = "delete_group",
    tag = "machines",
    request_body = DeleteAssigned,
    responses((status = 204, description = "No machine has it any more."))
)]
async fn delete_group(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(request): JsonBody<DeleteAssigned>,
) -> EmptyResult {
    administrator.note_object("group", &request.name);
    administrator.note_before(&request.expect);
    let tokens = server.access.limited_to(&request.name, UnixSeconds::now());
    if !tokens.is_empty() {
        let detail = format!(
            "the group {:?} was not deleted: access tokens are limited to it: {} (`banyan access revoke` revokes them)",
            request.name,
            tokens.join(", ")
        );
        return Err(Refusal::conflict(Reason::BadRequest, detail));
    }
    server.assignments.delete_group(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the tags that machines have.
#[utoipa::path(
    get,
    path = "/api/v1/tags",
    operation_id = "list_tags",
    tag = "machines",
    responses((status = 200, description = "The tags.", body = Vec<Tag>))
)]
async fn tags(State(server): ServerState, administrator: Administrator) -> Json<Vec<Tag>> {
    if administrator.scope().is_all() {
        return Json(server.assignments.tags());
    }
    let mut counts = BTreeMap::<String, usize>::new();
    for row in server.registry.all_in(administrator.scope()).into_iter().filter(|row| row.revoked.is_none()) {
        for tag in row.assigned.tags {
            *counts.entry(tag).or_default() += 1;
        }
    }
    Json(counts.into_iter().map(|(name, machines)| Tag { name, machines }).collect())
}

/// Takes a tag from all machines.
#[utoipa::path(
    post,
    path = "/api/v1/tags/delete",
    operation_id = "delete_tag",
    tag = "machines",
    request_body = DeleteAssigned,
    responses((status = 204, description = "No machine has it any more."))
)]
async fn delete_tag(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(request): JsonBody<DeleteAssigned>,
) -> EmptyResult {
    administrator.note_object("tag", &request.name);
    administrator.note_before(&request.expect);
    server.assignments.delete_tag(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}
