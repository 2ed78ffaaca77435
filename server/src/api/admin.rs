//! The administrators' API (`/api/v1`).

use super::extract::{Admin, Named, Sent};
use crate::{
    identity::enrolment::check_text,
    publishing::repository::ReleaseSummary,
    refusal::Refusal,
    server::{Nms, SOFTWARE},
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
use tracing::info;

type Answer<T> = Result<Json<T>, Refusal>;
type Done = Result<StatusCode, Refusal>;
type Server = State<Arc<Nms>>;

pub(super) fn routes() -> Router<Arc<Nms>> {
    let uploads = Router::new()
        .route("/api/v1/artifacts/{digest}", put(upload).head(uploaded))
        .layer(DefaultBodyLimit::disable());
    let rest = Router::new()
        .route("/api/v1/info", get(about))
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

async fn about(State(nms): Server, _: Admin) -> Answer<Info> {
    let online_keys = nms.desk.with(|repository| Ok(repository.online_keys())).await?;
    Ok(Json(Info {
        server: nms.id,
        software: SOFTWARE.to_owned(),
        epoch: nms.epoch,
        online_keys,
        keys: nms.secrets.ring(),
        has_root: nms.desk.shown().first_root.is_some(),
    }))
}

async fn register_root(State(nms): Server, _: Admin, Sent(request): Sent<RegisterRoot>) -> Done {
    let RegisterRoot { root, targets } = request;
    nms.desk.with(move |repository| repository.register_root(&root, targets.as_deref(), Nms::now())).await?;
    info!(version = nms.desk.shown().publishers.root, "root of trust registered");
    nms.publishers_changed().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn targets(State(nms): Server, _: Admin) -> Answer<CurrentTargets> {
    let current = |repository: &mut crate::publishing::repository::Repository| {
        let (root, targets) = (repository.newest_root().map(str::to_owned), repository.targets().map(str::to_owned));
        Ok(root.map(|root| CurrentTargets { root, targets, roots: repository.roots().to_vec() }))
    };
    let found = nms.desk.with(current).await?;
    let none = || Refusal::conflict(Reason::NoRoot, "no root has been registered yet; run `banyan keys init`");
    found.map(Json).ok_or_else(none)
}

/// Replaces the publishers' list: with a later expiry, or with releases withdrawn.
async fn replace_targets(State(nms): Server, _: Admin, Sent(request): Sent<ReplaceTargets>) -> Answer<Replaced> {
    let replace = move |repository: &mut crate::publishing::repository::Repository| {
        repository.replace_list(&request.targets, Nms::now())
    };
    let withdrawn = nms.desk.with(replace).await?;
    info!(?withdrawn, "publishers' list replaced");
    let stopped = nms.publishers_changed().await?;
    Ok(Json(Replaced { withdrawn, stopped }))
}

async fn release_manifest(
    State(nms): Server,
    _: Admin,
    Named((package, sequence)): Named<(String, u64)>,
) -> Answer<ReleaseManifest> {
    let manifest = nms.desk.with(move |repository| repository.manifest(&package, sequence)).await?;
    Ok(Json(ReleaseManifest { manifest }))
}

async fn new_token(State(nms): Server, _: Admin, Sent(wanted): Sent<NewToken>) -> Answer<TokenCreated> {
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
    let expires = Nms::now().plus(wanted.expires_seconds);
    let (hash, group) = (Digest::of(&secret.0), wanted.group.as_deref());
    nms.store.add_token(TokenRow { hash, uses: wanted.uses, expires, group, replaces: wanted.replaces }).await?;
    Ok(Json(TokenCreated { secret: secret.to_string() }))
}

async fn upload(State(nms): Server, _: Admin, Named(digest): Named<Digest>, body: Body) -> Done {
    nms.artifacts.store(digest, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn uploaded(State(nms): Server, _: Admin, Named(digest): Named<Digest>) -> StatusCode {
    if nms.artifacts.size(digest).is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

/// Publishes a release. Requires that every one of its files is uploaded and matches its description.
async fn publish(State(nms): Server, _: Admin, Sent(release): Sent<Publish>) -> Done {
    let Publish { targets, manifest } = release;
    let check = {
        let (targets, manifest) = (targets.clone(), manifest.clone());
        move |repository: &mut crate::publishing::repository::Repository| {
            repository.examine(&targets, &manifest, Nms::now())
        }
    };
    let parsed: Manifest = nms.desk.with(check).await?;
    let name = format!("{} {}", parsed.package, parsed.version);
    let files = Arc::clone(&nms);
    tokio::task::spawn_blocking(move || {
        parsed.artifacts.iter().try_for_each(|artifact| files.artifacts.check(artifact))
    })
    .await
    .map_err(|error| Refusal::internal(&error))?
    .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::BadArtifact, why))?;
    let before = nms.desk.shown().publishers;
    nms.desk.with(move |repository| repository.publish(&targets, &manifest, Nms::now())).await?;
    info!("release published: {name}");
    // A list that adds a release may withdraw others. Otherwise no machine needs to hear of it: offers carry what they
    // need.
    if nms.desk.shown().publishers != before {
        nms.publishers_changed().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn releases(State(nms): Server, _: Admin) -> Json<Vec<Release>> {
    let release = |found: &ReleaseSummary| Release {
        package: found.package.clone(),
        version: found.version.clone(),
        sequence: found.sequence,
        artifacts: found.artifacts.iter().map(|artifact| (artifact.platform.clone(), artifact.size)).collect(),
    };
    Json(nms.desk.shown().releases.iter().map(release).collect())
}

async fn machines(State(nms): Server, _: Admin) -> Json<Vec<Machine>> {
    let machine = |row: crate::store::MachineRow| Machine {
        online: nms.live.is_online(row.id),
        revoked: row.revoked.is_some(),
        out: row.out(),
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

async fn policies(State(nms): Server, _: Admin) -> Json<Vec<GroupPolicy>> {
    Json(nms.policies())
}

async fn set_policy(State(nms): Server, _: Admin, Sent(asked): Sent<SetPolicy>) -> Done {
    nms.set_policy(&asked).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn revoke(State(nms): Server, _: Admin, Named(name): Named<String>) -> Done {
    let machine = nms.one_machine(&name)?.id;
    nms.revoke(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn readmit(State(nms): Server, _: Admin, Named(name): Named<String>) -> Done {
    let machine = nms.one_machine(&name)?.id;
    nms.readmit(machine).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn deploy(State(nms): Server, _: Admin, Sent(request): Sent<Deploy>) -> Answer<Deployed> {
    nms.deploy(request).await.map(Json)
}

async fn deployments(State(nms): Server, _: Admin) -> Answer<Vec<DeploymentStatus>> {
    nms.statuses().await.map(Json)
}

async fn deployment(State(nms): Server, _: Admin, Named(id): Named<OrderId>) -> Answer<DeploymentStatus> {
    nms.status(id).await.map(Json)
}

async fn halt(State(nms): Server, _: Admin, Named(id): Named<OrderId>) -> Done {
    nms.set_state(id, DeploymentState::Running, DeploymentState::Halted).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(State(nms): Server, _: Admin, Named(id): Named<OrderId>) -> Done {
    nms.set_state(id, DeploymentState::Halted, DeploymentState::Running).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn retry(State(nms): Server, _: Admin, Named(id): Named<OrderId>) -> Answer<Deployed> {
    nms.retry(id).await.map(Json)
}
