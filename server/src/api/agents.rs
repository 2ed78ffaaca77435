//! The machines' API (`/v1`).

use super::extract::{AnyCaller, JsonBody, Machine, PathParams, QueryParams, RenewingMachine};
use crate::{refusal::Refusal, server::Server};
use axum::{
    Json, RequestExt as _, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use banyan_proto::{
    OrderId, Reason,
    api::{
        Catalogue, CatalogueRequest, CheckIn, CheckInReply, EnrolReply, EnrolRequest, FlowsReply, FlowsRequest, Help,
        InstallPermitReply, InstallPermitRequest, LinkCheckReading, PackageRequest, ReceiptReply, ReceiptRequest,
        RenewReply, RenewRequest, Reports, Roots, SourcesReply, SourcesRequest,
    },
    limits,
    peer::Metadata,
    site_budget::{SiteShareReply, SiteShareRequest},
};
use std::sync::Arc;

type JsonResult<T> = Result<Json<T>, Refusal>;
type ServerState = State<Arc<Server>>;

pub(super) fn routes() -> Router<Arc<Server>> {
    let strangers =
        Router::new().route("/v1/enrol", post(enrol)).layer(DefaultBodyLimit::max(limits::ENROL_BODY_BYTES));
    let machines = Router::new()
        .route("/v1/renew", post(renew))
        .route("/v1/check-in", post(check_in))
        .route("/v1/crl", get(crl))
        .route("/v1/metadata", get(metadata))
        .route("/v1/roots/{version}", get(roots))
        .route("/v1/orders/{id}/help", get(help))
        .route("/v1/sources", post(sources))
        .route("/v1/flows", post(flows))
        .route("/v1/link-check", get(begin_link_check).post(finish_link_check))
        .route("/v1/site-share", post(site_share))
        .route("/v1/packages", post(sideload))
        .route("/v1/catalogue", get(catalogue).post(order_from_catalogue))
        .route("/v1/receipt", post(receipt))
        .route("/v1/go-ahead", post(install_permit))
        .route("/v1/reports", post(reports))
        .layer(DefaultBodyLimit::max(limits::AGENT_BODY_BYTES));
    strangers.merge(machines)
}

async fn enrol(
    State(server): ServerState,
    AnyCaller(caller): AnyCaller,
    JsonBody(request): JsonBody<EnrolRequest>,
) -> JsonResult<EnrolReply> {
    // A task of its own: an enrolment that has begun is completed although its machine's connection is cut.
    let (this, from) = (Arc::clone(&server), caller.from);
    let enrolment = tokio::spawn(async move {
        let first_root = this.repository.snapshot().first_root;
        this.enrolment.enrol(request, from, first_root).await
    });
    let enrolled = enrolment.await.unwrap_or_else(|error| Err(Refusal::internal(&error)));
    if let Err(refusal) = &enrolled
        && refusal.error.reason == Reason::JoinRefused
    {
        tokio::time::sleep(server.failed_attempts.record(caller.from, "a join code that is not valid")).await;
    }
    enrolled.map(Json)
}

async fn renew(
    State(server): ServerState,
    machine: RenewingMachine,
    JsonBody(request): JsonBody<RenewRequest>,
) -> JsonResult<RenewReply> {
    server.enrolment.renew(machine.id, &request).await.map(Json)
}

async fn check_in(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<CheckIn>,
) -> JsonResult<CheckInReply> {
    // A check-in waits for news for minutes, and must not keep the machine from other work meanwhile.
    drop(machine.work);
    server.check_ins.answer(machine.id, machine.caller.from, request).await.map(Json)
}

async fn crl(State(server): ServerState, _: Machine) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/pkix-crl")], server.tls.crl().der.to_vec())
}

async fn metadata(State(server): ServerState, _: Machine) -> JsonResult<Metadata> {
    let metadata = server.repository.snapshot().metadata;
    let metadata = metadata.ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            Reason::NotPublished,
            "nothing has been published, or the metadata has expired",
        )
    })?;
    Ok(Json((*metadata).clone()))
}

async fn roots(State(server): ServerState, _: Machine, PathParams(version): PathParams<u64>) -> Json<Roots> {
    Json(Roots { roots: server.repository.roots_after(version) })
}

async fn help(State(server): ServerState, machine: Machine, PathParams(id): PathParams<OrderId>) -> JsonResult<Help> {
    server.direct_offers.help(machine.id, id).await.map(Json)
}

async fn sources(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<SourcesRequest>,
) -> JsonResult<SourcesReply> {
    // The answer waits for what other machines say, and must not keep the machine from other work meanwhile.
    drop(machine.work);
    server.sources.answer(machine.id, &request).await.map(Json)
}

async fn flows(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<FlowsRequest>,
) -> JsonResult<FlowsReply> {
    // The answer waits, and must not keep the machine from other work meanwhile.
    drop(machine.work);
    server.flows.answer(machine.id, &request).await.map(Json)
}

async fn begin_link_check(State(server): ServerState, machine: Machine) -> Response {
    // The answer waits for the checks of other machines, and must not keep the machine from other work meanwhile.
    drop(machine.work);
    match server.link_checks.begin(machine.id).await {
        Some(bytes) => ([(CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn finish_link_check(
    State(server): ServerState,
    machine: Machine,
    QueryParams(reading): QueryParams<LinkCheckReading>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    server.link_checks.finish(machine.id, reading, request.with_limited_body().into_body()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn site_share(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<SiteShareRequest>,
) -> Json<SiteShareReply> {
    Json(server.site_budgets.share(machine.id, &request))
}

async fn sideload(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<PackageRequest>,
) -> JsonResult<Help> {
    server.sideload.order(machine.id, &request).await.map(Json)
}

async fn catalogue(State(server): ServerState, machine: Machine) -> JsonResult<Catalogue> {
    server.catalogues.of(machine.id).map(Json)
}

async fn order_from_catalogue(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<CatalogueRequest>,
) -> JsonResult<Help> {
    server.catalogues.order(machine.id, &request).await.map(Json)
}

async fn receipt(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<ReceiptRequest>,
) -> JsonResult<ReceiptReply> {
    server.receipts.issue(machine.id, &machine.caller.exporter, &request).await.map(Json)
}

async fn install_permit(
    State(server): ServerState,
    machine: Machine,
    JsonBody(request): JsonBody<InstallPermitRequest>,
) -> JsonResult<InstallPermitReply> {
    server.install_permits.issue(machine.id, request.order).await.map(Json)
}

async fn reports(
    State(server): ServerState,
    machine: Machine,
    JsonBody(delivery): JsonBody<Reports>,
) -> Result<StatusCode, Refusal> {
    server.reports.process(machine.id, delivery.reports).await?;
    Ok(StatusCode::NO_CONTENT)
}
