//! The administrators' API about webhooks.

use super::{
    EmptyResult, JsonResult, ServerState,
    administrator::Administrator,
    extract::{JsonBody, PathParams},
    routes::{Routes, Rule, Scoping, Work},
};
use axum::{Json, extract::State, http::StatusCode};
use banyan_proto::{
    access::Permission,
    webhooks::{Delivery, NewWebhook, Webhook, WebhookSecret},
};
use serde_json::json;
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    let read = || Rule::read(Permission::Configure, Scoping::WholeServer);
    let change = || Rule::change(Permission::Configure, Scoping::WholeServer);
    routes
        .add(read(), routes!(webhooks))
        .add(change().with_work(Work::Secret), routes!(add_webhook))
        .add(change(), routes!(remove_webhook))
        .add(change().with_work(Work::Secret), routes!(change_secret))
        .add(change(), routes!(test_webhook))
        .add(change(), routes!(resume_webhook))
        .add(read(), routes!(deliveries))
        .add(change(), routes!(resend))
}

/// Lists the webhooks.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    operation_id = "list_webhooks",
    tag = "webhooks",
    responses((status = 200, description = "The webhooks, the oldest first.", body = Vec<Webhook>))
)]
async fn webhooks(State(server): ServerState, _: Administrator) -> JsonResult<Vec<Webhook>> {
    server.webhooks.all().await.map(Json)
}

/// Adds a webhook. The answer has its secret, which is not shown again.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    operation_id = "add_webhook",
    tag = "webhooks",
    request_body = NewWebhook,
    responses((status = 200, description = "The webhook's identifier and secret.", body = WebhookSecret))
)]
async fn add_webhook(
    State(server): ServerState,
    administrator: Administrator,
    JsonBody(new): JsonBody<NewWebhook>,
) -> JsonResult<WebhookSecret> {
    // The rest of the URL can be a secret of the receiver.
    let host = new.url.split('/').nth(2).map(|host| host.rsplit('@').next().unwrap_or(host).to_owned());
    administrator.note_after(&json!({ "host": host, "kinds": &new.kinds, "private": new.private }));
    let added = server.webhooks.add(new).await?;
    administrator.note_object("webhook", &added.id);
    Ok(Json(added))
}

/// Removes a webhook. What waits for it is not delivered.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/remove",
    operation_id = "remove_webhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's identifier, or the beginning of it.")),
    responses((status = 204, description = "The webhook is removed."))
)]
async fn remove_webhook(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<String>,
) -> EmptyResult {
    administrator.note_object("webhook", &id);
    server.webhooks.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a new secret for a webhook. For a day, both secrets sign.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/secret",
    operation_id = "change_webhook_secret",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's identifier, or the beginning of it.")),
    responses((status = 200, description = "The webhook's new secret.", body = WebhookSecret))
)]
async fn change_secret(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<String>,
) -> JsonResult<WebhookSecret> {
    administrator.note_object("webhook", &id);
    server.webhooks.change_secret(&id).await.map(Json)
}

/// Posts a test event to a webhook.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/test",
    operation_id = "test_webhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's identifier, or the beginning of it.")),
    responses((status = 204, description = "The event waits for its delivery."))
)]
async fn test_webhook(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<String>,
) -> EmptyResult {
    administrator.note_object("webhook", &id);
    server.webhooks.test(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Posts again to a webhook that is paused.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/resume",
    operation_id = "resume_webhook",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's identifier, or the beginning of it.")),
    responses((status = 204, description = "Deliveries go on, beginning with those that wait."))
)]
async fn resume_webhook(
    State(server): ServerState,
    administrator: Administrator,
    PathParams(id): PathParams<String>,
) -> EmptyResult {
    administrator.note_object("webhook", &id);
    server.webhooks.resume(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the newest deliveries of a webhook.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{id}/deliveries",
    operation_id = "list_deliveries",
    tag = "webhooks",
    params(("id" = String, Path, description = "The webhook's identifier, or the beginning of it.")),
    responses((status = 200, description = "The newest deliveries, newest first.", body = Vec<Delivery>))
)]
async fn deliveries(
    State(server): ServerState,
    _: Administrator,
    PathParams(id): PathParams<String>,
) -> JsonResult<Vec<Delivery>> {
    server.webhooks.deliveries(&id).await.map(Json)
}

/// Delivers an event to a webhook again.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{id}/deliveries/{event}/resend",
    operation_id = "resend_delivery",
    tag = "webhooks",
    params(
        ("id" = String, Path, description = "The webhook's identifier, or the beginning of it."),
        ("event" = u64, Path, description = "The event's number."),
    ),
    responses((status = 204, description = "The event waits for its delivery."))
)]
async fn resend(
    State(server): ServerState,
    administrator: Administrator,
    PathParams((id, event)): PathParams<(String, u64)>,
) -> EmptyResult {
    administrator.note_object("webhook", &id);
    server.webhooks.resend(&id, event).await?;
    Ok(StatusCode::NO_CONTENT)
}
