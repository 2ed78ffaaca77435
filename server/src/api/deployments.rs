//! The administrators' API about deployments.
//!
//! A token that is limited to groups sees a deployment if one of its machines is in them, and only those machines. It can
//! halt and resume a deployment whose machines all are, and retry those that are.

use super::{
    JsonResult, ServerState,
    administrator::Administrator,
    extract::{JsonBody, PathParams, QueryParams},
    routes::{Routes, Rule, Scoping},
};
use crate::{access::scope::Scope, deployments::ring_progress::count_at, refusal::Refusal, server::Server};
use axum::{Json, extract::State};
use banyan_proto::{
    DeploymentId, MachineId, Reason,
    access::Permission,
    admin::{Deploy, Deployed, DeploymentStatus, MachinesLeft, Promoted, Retried, Stage, Totals},
};
use serde_json::json;
use std::collections::BTreeMap;
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let read = Rule::read(Permission::View, Scoping::Narrowed);
    let control = Rule::change(Permission::Control, Scoping::Narrowed);
    routes
        .add(read, routes!(deployments))
        .add(read, routes!(deployment))
        .add(Rule::change(Permission::Deploy, Scoping::Narrowed), routes!(deploy))
        .add(control, routes!(halt))
        .add(control, routes!(resume))
        .add(control, routes!(cancel))
        .add(control, routes!(promote))
        .add(Rule::change(Permission::Retry, Scoping::Narrowed), routes!(retry))
}

fn unknown_deployment(id: DeploymentId) -> Refusal {
    Refusal::not_found(format!("there is no deployment {id}"))
}

/// Limits a status to the machines of a scope. Returns `None` if there are none.
fn narrow(server: &Server, scope: &Scope, mut status: DeploymentStatus) -> Option<DeploymentStatus> {
    if scope.is_all() {
        return Some(status);
    }
    let is_visible = |machine: MachineId| server.registry.is_in(machine, scope);
    status.addressees.retain(|addressee| is_visible(addressee.id));
    let mut counts = BTreeMap::<Stage, u32>::new();
    status.totals = Totals::default();
    for addressee in &mut status.addressees {
        *counts.entry(addressee.stage).or_default() += 1;
        count_at(&mut status.totals, addressee.stage, addressee.reason, addressee.online);
        let is_shown = |machine: MachineId| machine == status.server || is_visible(machine);
        addressee.planned.retain(|machine| is_shown(*machine));
        addressee.sources.retain(|source| is_shown(source.machine));
    }
    let is_replaced = |stage, reason| stage == Stage::Failed && reason == Some(Reason::OrderSuperseded);
    let replaced = status.addressees.iter().filter(|one| is_replaced(one.stage, one.reason)).count();
    status.replaced = u32::try_from(replaced).unwrap_or(u32::MAX);
    status.counts = counts.into_iter().collect();
    // These count machines outside the scope.
    (status.rings, status.orders) = (vec![], vec![]);
    if let Some(halt) = &mut status.halt {
        halt.machines.retain(|machine| is_visible(*machine));
        if let Some(ring) = halt.ring {
            (halt.failed, halt.of) = (0, 0);
            halt.detail = format!("ring {ring}: the release failed there");
        }
    }
    for addressee in status.addressees.iter_mut().filter(|one| one.reason == Some(Reason::WaitsForRing)) {
        addressee.detail = None;
    }
    (!status.addressees.is_empty()).then_some(status)
}

/// Returns the status of a deployment, as far as the administrator may see it.
async fn visible(
    server: &Server,
    administrator: &Administrator,
    id: DeploymentId,
) -> Result<DeploymentStatus, Refusal> {
    let status = server.statuses.get(id).await?;
    narrow(server, administrator.scope(), status).ok_or_else(|| unknown_deployment(id))
}

/// Refuses to act on a whole deployment that also has machines outside the administrator's scope.
async fn check_covers(server: &Server, administrator: &Administrator, id: DeploymentId) -> Result<(), Refusal> {
    if administrator.scope().is_all() {
        return Ok(());
    }
    let all = server.statuses.get(id).await?.addressees.len();
    if visible(server, administrator, id).await?.addressees.len() < all {
        let detail = "the deployment also has machines outside the groups that your token is for; ask someone whose token \
                      covers all of its machines";
        return Err(Refusal::forbidden(Reason::NotAllowed, detail));
    }
    Ok(())
}

/// Starts a deployment.
///
/// For a token that is limited to groups, the selection is limited to their machines, also in what is stored of it.
#[utoipa::path(
    post,
    path = "/api/v1/deployments",
    operation_id = "deploy",
    tag = "deployments",
    request_body = Deploy,
    responses((status = 200, description = "The deployment is under way.", body = Deployed))
)]
async fn deploy(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(mut request): JsonBody<Deploy>,
) -> JsonResult<Deployed> {
    administrator.note_object("package", &request.package);
    administrator.note_after(&request);
    request.to = server.selections.narrow(request.to, administrator.scope())?;
    let asked = json!({ "request": &request });
    let deployed = server.deployments.deploy(request).await?;
    administrator.note_object("deployment", deployed.id);
    administrator.note_after(&json!({ "request": asked["request"], "selected": deployed.selected }));
    Ok(Json(deployed))
}

/// How many deployments to list.
#[derive(serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DeploymentList {
    /// At most this many, the newest; all by default.
    limit: Option<u32>,
}

/// Lists deployments without their machines, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/deployments",
    operation_id = "list_deployments",
    tag = "deployments",
    params(DeploymentList),
    responses((status = 200, description = "The deployments.", body = Vec<DeploymentStatus>))
)]
async fn deployments(
    State(server): ServerState,
    administrator: Administrator,
    QueryParams(list): QueryParams<DeploymentList>,
) -> JsonResult<Vec<DeploymentStatus>> {
    if administrator.scope().is_all() {
        return server.statuses.newest(list.limit).await.map(Json);
    }
    let most = list.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut found = Vec::new();
    for status in server.statuses.newest(None).await? {
        if found.len() >= most {
            break;
        }
        let whole = server.statuses.get(status.id).await?;
        let narrowed = narrow(&server, administrator.scope(), whole);
        found.extend(narrowed.map(|status| DeploymentStatus { addressees: vec![], ..status }));
    }
    Ok(Json(found))
}

/// Returns the status of a deployment with its machines.
#[utoipa::path(
    get,
    path = "/api/v1/deployments/{id}",
    operation_id = "get_deployment",
    tag = "deployments",
    params(("id" = DeploymentId, Path, description = "The deployment.")),
    responses((status = 200, description = "Its status.", body = DeploymentStatus))
)]
async fn deployment(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<DeploymentId>,
) -> JsonResult<DeploymentStatus> {
    visible(&server, &administrator, id).await.map(Json)
}

/// Halts a deployment: machines stop receiving, forwarding and installing it.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/halt",
    operation_id = "halt_deployment",
    tag = "deployments",
    params(("id" = DeploymentId, Path, description = "The deployment.")),
    responses((status = 200, description = "It is halted. Where its machines are.", body = MachinesLeft))
)]
async fn halt(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<DeploymentId>,
) -> JsonResult<MachinesLeft> {
    administrator.note_object("deployment", id);
    check_covers(&server, &administrator, id).await?;
    server.control.halt(id).await.map(Json)
}

/// Resumes a halted deployment. The failures so far are accepted.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/resume",
    operation_id = "resume_deployment",
    tag = "deployments",
    params(("id" = DeploymentId, Path, description = "The deployment.")),
    responses((status = 200, description = "It runs again. Where its machines are.", body = MachinesLeft))
)]
async fn resume(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<DeploymentId>,
) -> JsonResult<MachinesLeft> {
    administrator.note_object("deployment", id);
    check_covers(&server, &administrator, id).await?;
    server.control.resume(id).await.map(Json)
}

/// Cancels a deployment. Machines that install finish; the others end, and nothing is uninstalled.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/cancel",
    operation_id = "cancel_deployment",
    tag = "deployments",
    params(("id" = DeploymentId, Path, description = "The deployment.")),
    responses((status = 200, description = "It is cancelled. Where its machines are.", body = MachinesLeft))
)]
async fn cancel(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<DeploymentId>,
) -> JsonResult<MachinesLeft> {
    administrator.note_object("deployment", id);
    check_covers(&server, &administrator, id).await?;
    server.control.cancel(id).await.map(Json)
}

/// Opens the next ring of a deployment although the gate of the open one has not passed.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/promote",
    operation_id = "promote_deployment",
    tag = "deployments",
    params(("id" = DeploymentId, Path, description = "The deployment.")),
    responses((status = 200, description = "The number of the ring that is open now.", body = Promoted))
)]
async fn promote(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<DeploymentId>,
) -> JsonResult<Promoted> {
    administrator.note_object("deployment", id);
    check_covers(&server, &administrator, id).await?;
    server.control.promote(id).await.map(|ring| Json(Promoted { ring }))
}

/// Lets the machines that failed try again, in the same deployment. For a token that is limited to groups, only theirs.
#[utoipa::path(
    post,
    path = "/api/v1/deployments/{id}/retry",
    operation_id = "retry_deployment",
    tag = "deployments",
    params(("id" = DeploymentId, Path, description = "The deployment.")),
    responses((status = 200, description = "The machines have a further order.", body = Retried))
)]
async fn retry(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<DeploymentId>,
) -> JsonResult<Retried> {
    administrator.note_object("deployment", id);
    let scope = administrator.scope();
    if !scope.is_all() {
        visible(&server, &administrator, id).await?;
    }
    let may_retry = |machine: MachineId| scope.is_all() || server.registry.is_in(machine, scope);
    let retried = server.deployments.retry(id, may_retry).await?;
    administrator.note_after(&json!({ "orders": retried.orders, "machines": retried.machines }));
    Ok(Json(retried))
}
