//! The administrators' API (`/api/v1`).

use super::{
    extract::{Administrator, JsonBody, PathParams, QueryParams},
    long_work, machines,
};
use crate::{
    long_work::Patience,
    publishing::repository::ReleaseSummary,
    refusal::Refusal,
    server::{SOFTWARE, Server},
    store::{self, Suspicion},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use banyan_proto::{
    Digest, OrderId, UnixSeconds,
    admin::{
        self, Capacity, CurrentTargets, Deploy, Deployed, DeploymentState, DeploymentStatus, GroupPolicy, Info,
        NewToken, OpenToken, Publish, RegisterRoot, Release, ReleaseManifest, ReplaceTargets, Replaced, SetPolicy,
        SuspiciousEvent, TokenCreated, UPLOAD_OFFSET, Upload,
    },
    limits,
    site_budget::{SetSiteBudget, SiteStatus},
};
use banyan_wire::open_files;
use std::sync::Arc;

pub(super) type JsonResult<T> = Result<Json<T>, Refusal>;
pub(super) type EmptyResult = Result<StatusCode, Refusal>;
pub(super) type ServerState = State<Arc<Server>>;

pub(super) fn routes(server: &Arc<Server>) -> Router<Arc<Server>> {
    let uploads = Router::new()
        .route("/api/v1/artifacts/{digest}", put(upload))
        .route("/api/v1/artifacts/{digest}/upload", get(upload_state))
        .layer(from_fn(before_machines))
        .layer(DefaultBodyLimit::disable());
    // Repeating one of these while it is under way, or later, changes nothing more.
    let joined = Router::new()
        .route("/api/v1/root", post(register_root))
        .route("/api/v1/targets", get(targets).post(replace_targets))
        .route("/api/v1/releases", get(releases).post(publish))
        .layer(from_fn(before_machines))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(server), long_work::run_joined));
    let rest = Router::new()
        .route("/api/v1/info", get(info))
        .route("/api/v1/tokens", get(open_tokens).post(create_token))
        .route("/api/v1/tokens/{id}/revoke", post(revoke_token))
        .route("/api/v1/releases/{package}/{sequence}", get(release_manifest))
        .route("/api/v1/suspicions", get(suspicions))
        .route("/api/v1/policies", get(policies).post(set_policy))
        .route("/api/v1/sites", get(sites).post(set_site_budget))
        .route("/api/v1/machines/{name}/revoke", post(revoke))
        .route("/api/v1/machines/{name}/readmit", post(readmit))
        .route("/api/v1/deployments", get(deployments).post(deploy))
        .route("/api/v1/deployments/{id}", get(deployment))
        .route("/api/v1/deployments/{id}/halt", post(halt))
        .route("/api/v1/deployments/{id}/resume", post(resume))
        .route("/api/v1/deployments/{id}/retry", post(retry))
        .merge(machines::routes())
        .layer(from_fn(before_machines))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(server), long_work::run_alone));
    let work = Router::new().route("/api/v1/work/{id}", get(long_work::work));
    uploads.merge(joined).merge(rest).merge(work)
}

/// Uses the database before machines do. Each handler here verifies the token before it uses the database.
async fn before_machines(request: Request, next: Next) -> Response {
    store::before_machines(next.run(request)).await
}

async fn info(State(server): ServerState, _: Administrator) -> JsonResult<Info> {
    let online_keys = server.repository.with(|repository| Ok(repository.online_keys())).await?;
    Ok(Json(Info {
        server: server.identity.id,
        software: SOFTWARE.to_owned(),
        epoch: server.identity.epoch,
        online_keys,
        keys: server.secrets.key_ring(),
        has_root: server.repository.snapshot().first_root.is_some(),
        capacity: Some(capacity(&server)),
        now: Some(UnixSeconds::now()),
        unconfirmed_clock: server.clock.unconfirmed(),
        free_bytes: server.uploads.free_bytes(),
        file_room: server.uploads.file_room(),
        storage_fault: server.check_storage().await.err().map(|refusal| refusal.error.reason),
    }))
}

fn capacity(server: &Server) -> Capacity {
    let taken = server.connections.occupancy();
    Capacity {
        open_files: open_files::limit().soft,
        machine_places: taken.places.machines,
        machines: taken.machines,
        refused: taken.refused,
    }
}

async fn register_root(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<RegisterRoot>,
) -> EmptyResult {
    server.publication.register_root(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn targets(State(server): ServerState, _: Administrator) -> JsonResult<CurrentTargets> {
    server.publication.current_targets().await.map(Json)
}

async fn replace_targets(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<ReplaceTargets>,
) -> JsonResult<Replaced> {
    server.publication.replace_targets(request).await.map(Json)
}

async fn release_manifest(
    State(server): ServerState,
    _: Administrator,
    PathParams((package, sequence)): PathParams<(String, u64)>,
) -> JsonResult<ReleaseManifest> {
    let manifest = server.repository.with(move |repository| repository.manifest(&package, sequence)).await?;
    Ok(Json(ReleaseManifest { manifest }))
}

async fn create_token(
    State(server): ServerState,
    _: Administrator,
    JsonBody(wanted): JsonBody<NewToken>,
) -> JsonResult<TokenCreated> {
    server.enrolment.create_token(&wanted).await.map(Json)
}

async fn open_tokens(State(server): ServerState, _: Administrator) -> JsonResult<Vec<OpenToken>> {
    server.enrolment.open_tokens().await.map(Json)
}

async fn revoke_token(State(server): ServerState, _: Administrator, PathParams(id): PathParams<Digest>) -> EmptyResult {
    server.enrolment.revoke_token(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn upload(
    State(server): ServerState,
    _: Administrator,
    PathParams(digest): PathParams<Digest>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let offset = upload_offset(&headers)?;
    // A task of its own: what has arrived is kept although the client's connection is cut.
    let uploads = Arc::clone(&server.uploads);
    let receiving = tokio::spawn(async move { uploads.receive(digest, offset, body).await });
    let received = receiving.await.map_err(|error| Refusal::internal(&error))??;
    // Writing a large file to a slow disk takes long after its last byte has arrived.
    let orders = Arc::clone(&server.orders);
    let finish = async move {
        let finished = received.finish().await.map(|()| StatusCode::NO_CONTENT);
        if finished.is_ok() {
            orders.restore_content(digest);
        }
        finished.into_response()
    };
    Ok(server.long_work.run(digest, Patience::of(&headers), finish).await)
}

/// Returns the byte at which an upload begins: 0 without a header.
fn upload_offset(headers: &HeaderMap) -> Result<u64, Refusal> {
    let Some(value) = headers.get(UPLOAD_OFFSET) else { return Ok(0) };
    let offset = value.to_str().ok().and_then(|text| text.parse().ok());
    offset.ok_or_else(|| Refusal::bad(format!("the header {UPLOAD_OFFSET} is not a number of bytes")))
}

async fn upload_state(
    State(server): ServerState,
    _: Administrator,
    PathParams(digest): PathParams<Digest>,
) -> Json<Upload> {
    Json(server.uploads.state(digest))
}

async fn publish(State(server): ServerState, _: Administrator, JsonBody(release): JsonBody<Publish>) -> EmptyResult {
    server.publication.publish(release).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn releases(State(server): ServerState, _: Administrator) -> Json<Vec<Release>> {
    let release = |found: &ReleaseSummary| Release {
        package: found.package.clone(),
        version: found.version.clone(),
        sequence: found.sequence,
        artifacts: found.artifacts.iter().map(|artifact| (artifact.platform.clone(), artifact.size)).collect(),
    };
    Json(server.repository.snapshot().releases.iter().map(release).collect())
}

async fn suspicions(State(server): ServerState, _: Administrator) -> JsonResult<Vec<SuspiciousEvent>> {
    let event = |Suspicion { at, machine, deployment, reason, detail }| SuspiciousEvent {
        at,
        machine,
        deployment,
        reason,
        detail,
    };
    Ok(Json(server.suspicions.latest(admin::SUSPICIONS).await?.into_iter().map(event).collect()))
}

async fn policies(State(server): ServerState, _: Administrator) -> Json<Vec<GroupPolicy>> {
    Json(server.policies.all())
}

async fn set_policy(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<SetPolicy>,
) -> EmptyResult {
    server.policies.set(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn sites(State(server): ServerState, _: Administrator) -> Json<Vec<SiteStatus>> {
    Json(server.site_budgets.all())
}

async fn set_site_budget(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<SetSiteBudget>,
) -> EmptyResult {
    server.site_budgets.set(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke(State(server): ServerState, _: Administrator, PathParams(name): PathParams<String>) -> EmptyResult {
    let machine = server.registry.find_one(&name)?.id;
    server.revocation.revoke(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn readmit(State(server): ServerState, _: Administrator, PathParams(name): PathParams<String>) -> EmptyResult {
    let machine = server.registry.find_one(&name)?.id;
    server.revocation.readmit(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn deploy(
    State(server): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<Deploy>,
) -> JsonResult<Deployed> {
    server.deployments.deploy(request).await.map(Json)
}

/// How many deployments to list.
#[derive(serde::Deserialize)]
struct DeploymentList {
    /// At most this many, the newest; all by default.
    limit: Option<u32>,
}

async fn deployments(
    State(server): ServerState,
    _: Administrator,
    QueryParams(list): QueryParams<DeploymentList>,
) -> JsonResult<Vec<DeploymentStatus>> {
    server.statuses.newest(list.limit).await.map(Json)
}

async fn deployment(
    State(server): ServerState,
    _: Administrator,
    PathParams(id): PathParams<OrderId>,
) -> JsonResult<DeploymentStatus> {
    server.statuses.get(id).await.map(Json)
}

async fn halt(State(server): ServerState, _: Administrator, PathParams(id): PathParams<OrderId>) -> EmptyResult {
    server.deployments.change_state(id, DeploymentState::Running, DeploymentState::Halted).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(State(server): ServerState, _: Administrator, PathParams(id): PathParams<OrderId>) -> EmptyResult {
    server.deployments.change_state(id, DeploymentState::Halted, DeploymentState::Running).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn retry(
    State(server): ServerState,
    _: Administrator,
    PathParams(id): PathParams<OrderId>,
) -> JsonResult<Deployed> {
    server.deployments.retry(id).await.map(Json)
}
