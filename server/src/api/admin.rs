//! The administrators' API (`/api/v1`).

use super::extract::{Administrator, JsonBody, PathParams};
use crate::{
    identity::enrolment::check_text,
    publishing::repository::ReleaseSummary,
    refusal::Refusal,
    server::{SOFTWARE, Server},
    store::TokenRow,
};
use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, post, put},
};
use banyan_proto::{
    Digest, MachineId, Manifest, OrderId, Reason,
    admin::{
        CurrentTargets, Deploy, Deployed, DeploymentState, DeploymentStatus, GroupPolicy, Info, Machine, NewToken,
        Publish, RegisterRoot, Release, ReleaseManifest, ReplaceTargets, Replaced, SetPolicy, TokenCreated,
    },
    limits,
};
use std::sync::Arc;

type JsonResult<T> = Result<Json<T>, Refusal>;
type EmptyResult = Result<StatusCode, Refusal>;
type ServerState = State<Arc<Server>>;

pub(super) fn routes() -> Router<Arc<Server>> {
    let uploads = Router::new()
        .route("/api/v1/artifacts/{digest}", put(upload).head(has_artifact))
        .layer(DefaultBodyLimit::disable());
    let rest = Router::new()
        .route("/api/v1/info", get(info))
        .route("/api/v1/root", post(register_root))
        .route("/api/v1/targets", get(targets).post(replace_targets))
        .route("/api/v1/tokens", post(new_token))
        .route("/api/v1/releases", get(releases).post(publish))
        .route("/api/v1/releases/{package}/{sequence}", get(release_manifest))
        .route("/api/v1/machines", get(machines))
        .route("/api/v1/policies", get(policies).post(set_policy))
        .route("/api/v1/machines/{name}/revoke", post(revoke))
        .route("/api/v1/machines/{name}/readmit", post(readmit))
        .route("/api/v1/deployments", get(deployments).post(deploy))
        .route("/api/v1/deployments/{id}", get(deployment))
        .route("/api/v1/deployments/{id}/halt", post(halt))
        .route("/api/v1/deployments/{id}/resume", post(resume))
        .route("/api/v1/deployments/{id}/retry", post(retry))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES));
    uploads.merge(rest)
}

async fn info(State(nms): ServerState, _: Administrator) -> JsonResult<Info> {
    let online_keys = nms.repository.with(|repository| Ok(repository.online_keys())).await?;
    Ok(Json(Info {
        server: nms.id,
        software: SOFTWARE.to_owned(),
        epoch: nms.epoch,
        online_keys,
        keys: nms.secrets.ring(),
        has_root: nms.repository.snapshot().first_root.is_some(),
    }))
}

async fn register_root(
    State(nms): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<RegisterRoot>,
) -> EmptyResult {
    let RegisterRoot { root, targets } = request;
    nms.repository.with(move |repository| repository.register_root(&root, targets.as_deref(), Server::now())).await?;
    tracing::info!(version = nms.repository.snapshot().publishers.root, "root of trust registered");
    nms.publishers_changed().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn targets(State(nms): ServerState, _: Administrator) -> JsonResult<CurrentTargets> {
    let current = |repository: &mut crate::publishing::repository::Repository| {
        let (root, targets) = (repository.newest_root().map(str::to_owned), repository.targets().map(str::to_owned));
        Ok(root.map(|root| CurrentTargets { root, targets, roots: repository.roots().to_vec() }))
    };
    let found = nms.repository.with(current).await?;
    let none = || Refusal::conflict(Reason::NoRoot, "no root has been registered yet; run `banyan keys init`");
    found.map(Json).ok_or_else(none)
}

/// Replaces the publishers' list: with a later expiry, or with releases withdrawn.
async fn replace_targets(
    State(nms): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<ReplaceTargets>,
) -> JsonResult<Replaced> {
    let replace = move |repository: &mut crate::publishing::repository::Repository| {
        repository.replace_list(&request.targets, Server::now())
    };
    let withdrawn = nms.repository.with(replace).await?;
    tracing::info!(?withdrawn, "publishers' list replaced");
    let stopped = nms.publishers_changed().await?;
    Ok(Json(Replaced { withdrawn, stopped }))
}

async fn release_manifest(
    State(nms): ServerState,
    _: Administrator,
    PathParams((package, sequence)): PathParams<(String, u64)>,
) -> JsonResult<ReleaseManifest> {
    let manifest = nms.repository.with(move |repository| repository.manifest(&package, sequence)).await?;
    Ok(Json(ReleaseManifest { manifest }))
}

async fn new_token(
    State(nms): ServerState,
    _: Administrator,
    JsonBody(wanted): JsonBody<NewToken>,
) -> JsonResult<TokenCreated> {
    if wanted.uses == 0 || wanted.uses > limits::TOKEN_USES || wanted.expires_seconds == 0 {
        return Err(Refusal::bad("a join secret needs a valid number of uses and a lifetime above zero"));
    }
    if let Some(group) = &wanted.group {
        check_text("group", group)?;
    }
    if let Some(old) = wanted.replaces {
        if wanted.uses != 1 {
            return Err(Refusal::bad("a join secret that replaces a machine can have one use only"));
        }
        if nms.registry.get(old).is_none() {
            return Err(Refusal::not_found(format!("there is no machine {old} to replace")));
        }
    }
    let secret = MachineId::random();
    let expires = Server::now().plus(wanted.expires_seconds);
    let (hash, group) = (Digest::of(&secret.0), wanted.group.as_deref());
    nms.store.add_token(TokenRow { hash, uses: wanted.uses, expires, group, replaces: wanted.replaces }).await?;
    Ok(Json(TokenCreated { secret: secret.to_string() }))
}

async fn upload(
    State(nms): ServerState,
    _: Administrator,
    PathParams(digest): PathParams<Digest>,
    body: Body,
) -> EmptyResult {
    nms.artifacts.store(digest, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn has_artifact(State(nms): ServerState, _: Administrator, PathParams(digest): PathParams<Digest>) -> StatusCode {
    if nms.artifacts.size(digest).is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

/// Publishes a release. Requires that every one of its files is uploaded and matches its description.
async fn publish(State(nms): ServerState, _: Administrator, JsonBody(release): JsonBody<Publish>) -> EmptyResult {
    let Publish { targets, manifest } = release;
    let check = {
        let (targets, manifest) = (targets.clone(), manifest.clone());
        move |repository: &mut crate::publishing::repository::Repository| {
            repository.examine(&targets, &manifest, Server::now())
        }
    };
    let parsed: Manifest = nms.repository.with(check).await?;
    let name = format!("{} {}", parsed.package, parsed.version);
    let files = Arc::clone(&nms);
    tokio::task::spawn_blocking(move || {
        parsed.artifacts.iter().try_for_each(|artifact| files.artifacts.check(artifact))
    })
    .await
    .map_err(|error| Refusal::internal(&error))?
    .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, why))?;
    let before = nms.repository.snapshot().publishers;
    nms.repository.with(move |repository| repository.publish(&targets, &manifest, Server::now())).await?;
    tracing::info!("release published: {name}");
    // A list that adds a release may withdraw others. Otherwise no machine needs to hear of it: offers carry what they
    // need.
    if nms.repository.snapshot().publishers != before {
        nms.publishers_changed().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn releases(State(nms): ServerState, _: Administrator) -> Json<Vec<Release>> {
    let release = |found: &ReleaseSummary| Release {
        package: found.package.clone(),
        version: found.version.clone(),
        sequence: found.sequence,
        artifacts: found.artifacts.iter().map(|artifact| (artifact.platform.clone(), artifact.size)).collect(),
    };
    Json(nms.repository.snapshot().releases.iter().map(release).collect())
}

async fn machines(State(nms): ServerState, _: Administrator) -> Json<Vec<Machine>> {
    let machine = |row: crate::store::MachineRow| Machine {
        online: nms.connections.is_online(row.id),
        revoked: row.revoked.is_some(),
        out: row.exclusion(),
        replaced_by: row.replaced_by,
        id: row.id,
        label: row.label,
        group: row.group,
        platform: row.platform,
        addresses: row.addresses,
        seen: row.seen,
        software: row.software,
    };
    Json(nms.registry.all().into_iter().map(machine).collect())
}

async fn policies(State(nms): ServerState, _: Administrator) -> Json<Vec<GroupPolicy>> {
    Json(nms.policies())
}

async fn set_policy(State(nms): ServerState, _: Administrator, JsonBody(request): JsonBody<SetPolicy>) -> EmptyResult {
    nms.set_policy(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke(State(nms): ServerState, _: Administrator, PathParams(name): PathParams<String>) -> EmptyResult {
    let machine = nms.find_machine(&name)?.id;
    nms.revoke(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn readmit(State(nms): ServerState, _: Administrator, PathParams(name): PathParams<String>) -> EmptyResult {
    let machine = nms.find_machine(&name)?.id;
    nms.readmit(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn deploy(
    State(nms): ServerState,
    _: Administrator,
    JsonBody(request): JsonBody<Deploy>,
) -> JsonResult<Deployed> {
    nms.deploy(request).await.map(Json)
}

async fn deployments(State(nms): ServerState, _: Administrator) -> JsonResult<Vec<DeploymentStatus>> {
    nms.statuses().await.map(Json)
}

async fn deployment(
    State(nms): ServerState,
    _: Administrator,
    PathParams(id): PathParams<OrderId>,
) -> JsonResult<DeploymentStatus> {
    nms.status(id).await.map(Json)
}

async fn halt(State(nms): ServerState, _: Administrator, PathParams(id): PathParams<OrderId>) -> EmptyResult {
    nms.set_state(id, DeploymentState::Running, DeploymentState::Halted).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(State(nms): ServerState, _: Administrator, PathParams(id): PathParams<OrderId>) -> EmptyResult {
    nms.set_state(id, DeploymentState::Halted, DeploymentState::Running).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn retry(State(nms): ServerState, _: Administrator, PathParams(id): PathParams<OrderId>) -> JsonResult<Deployed> {
    nms.retry(id).await.map(Json)
}
