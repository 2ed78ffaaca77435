//! The administrators' API about what publishers signed: roots, lists of releases, releases and their files.

use super::{
    EmptyResult, JsonResult, ServerState,
    administrator::Administrator,
    extract::{JsonBody, PathParams},
    routes::{Routes, Rule, Scoping, Work},
};
use crate::{long_work::Patience, publishing::repository::ReleaseSummary, refusal::Refusal};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use banyan_proto::{
    Digest, Manifest,
    access::Permission,
    admin::{
        CurrentTargets, Publish, RegisterRoot, Release, ReleaseManifest, ReplaceTargets, Replaced, UPLOAD_OFFSET,
        Upload,
    },
};
use std::sync::Arc;
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let read = Rule::read(Permission::View, Scoping::NoMachines);
    let publish = Rule::change(Permission::Publish, Scoping::WholeServer);
    // Repeating one of these while it is under way, or later, changes nothing more.
    let joined = publish.with_work(Work::Joined);
    routes
        .add(joined, routes!(register_root))
        .add(read, routes!(targets))
        .add(joined, routes!(replace_targets))
        .add(read, routes!(releases))
        .add(joined, routes!(publish_release))
        .add(read, routes!(release_manifest))
        .add(publish.with_work(Work::Upload), routes!(upload))
        .add(Rule::read(Permission::Publish, Scoping::WholeServer), routes!(upload_state))
}

/// Registers the first root of trust, or a newer version that the previous one's keys also signed.
#[utoipa::path(
    post,
    path = "/api/v1/root",
    operation_id = "register_root",
    tag = "publishing",
    request_body = RegisterRoot,
    responses((status = 204, description = "The root is in force."))
)]
async fn register_root(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(request): JsonBody<RegisterRoot>,
) -> EmptyResult {
    administrator.note_object("root", Digest::of(request.root.as_bytes()));
    server.publication.register_root(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the newest root and list of releases.
#[utoipa::path(
    get,
    path = "/api/v1/targets",
    operation_id = "get_targets",
    tag = "publishing",
    responses((status = 200, description = "Root and list.", body = CurrentTargets))
)]
async fn targets(State(server): ServerState) -> JsonResult<CurrentTargets> {
    server.publication.current_targets().await.map(Json)
}

/// Replaces the list of releases with a newly signed one, which may withdraw releases.
#[utoipa::path(
    post,
    path = "/api/v1/targets",
    operation_id = "replace_targets",
    tag = "publishing",
    request_body = ReplaceTargets,
    responses((status = 200, description = "What the new list withdrew.", body = Replaced))
)]
async fn replace_targets(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(request): JsonBody<ReplaceTargets>,
) -> JsonResult<Replaced> {
    administrator.note_object("targets", Digest::of(request.targets.as_bytes()));
    let replaced = server.publication.replace_targets(request).await?;
    administrator.note_after(&replaced);
    Ok(Json(replaced))
}

/// Returns the manifest of a published release.
#[utoipa::path(
    get,
    path = "/api/v1/releases/{package}/{sequence}",
    operation_id = "get_release",
    tag = "publishing",
    params(
        ("package" = String, Path, description = "The package's name."),
        ("sequence" = u64, Path, description = "The release's sequence."),
    ),
    responses((status = 200, description = "The manifest.", body = ReleaseManifest))
)]
async fn release_manifest(
    State(server): ServerState,
    PathParams((package, sequence)): PathParams<(String, u64)>,
) -> JsonResult<ReleaseManifest> {
    let manifest = server.repository.with(move |repository| repository.manifest(&package, sequence)).await?;
    Ok(Json(ReleaseManifest { manifest }))
}

/// Uploads an artifact, or the rest of one.
#[utoipa::path(
    put,
    path = "/api/v1/artifacts/{digest}",
    operation_id = "upload_artifact",
    tag = "publishing",
    params(
        ("digest" = Digest, Path, description = "The BLAKE3 hash of the artifact."),
        ("upload-offset" = Option<u64>, Header, description = "The byte at which the body begins; 0 by default."),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 204, description = "The artifact is stored."))
)]
async fn upload(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(digest): PathParams<Digest>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    administrator.note_object("artifact", digest);
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

/// Returns how far the upload of an artifact is.
#[utoipa::path(
    get,
    path = "/api/v1/artifacts/{digest}/upload",
    operation_id = "get_upload",
    tag = "publishing",
    params(("digest" = Digest, Path, description = "The BLAKE3 hash of the artifact.")),
    responses((status = 200, description = "How far it is.", body = Upload))
)]
async fn upload_state(State(server): ServerState, PathParams(digest): PathParams<Digest>) -> Json<Upload> {
    Json(server.uploads.state(digest))
}

/// Publishes a release. Its artifacts must have been uploaded.
#[utoipa::path(
    post,
    path = "/api/v1/releases",
    operation_id = "publish_release",
    tag = "publishing",
    request_body = Publish,
    responses((status = 204, description = "The release is published."))
)]
async fn publish_release(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(release): JsonBody<Publish>,
) -> EmptyResult {
    if let Ok(manifest) = Manifest::parse(release.manifest.as_bytes()) {
        administrator.note_object("release", format_args!("{} {}", manifest.package, manifest.version));
    }
    server.publication.publish(release).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the releases.
#[utoipa::path(
    get,
    path = "/api/v1/releases",
    operation_id = "list_releases",
    tag = "publishing",
    responses((status = 200, description = "All releases.", body = Vec<Release>))
)]
async fn releases(State(server): ServerState) -> Json<Vec<Release>> {
    let release = |found: &ReleaseSummary| Release {
        package: found.package.clone(),
        version: found.version.clone(),
        sequence: found.sequence,
        artifacts: found.artifacts.iter().map(|artifact| (artifact.platform.clone(), artifact.size)).collect(),
    };
    Json(server.repository.snapshot().releases.iter().map(release).collect())
}
