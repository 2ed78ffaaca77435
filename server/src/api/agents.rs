//! The machines' API (`/v1`).

use super::extract::{Anyone, Machine, Named, Renewing, Sent};
use crate::{refusal::Refusal, server::Nms};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::{get, post},
};
use banyan_proto::{
    OrderId, Reason,
    api::{
        Catalogue, CatalogueRequest, CheckIn, CheckInReply, EnrolReply, EnrolRequest, Help, InstallPermitReply,
        InstallPermitRequest, PackageRequest, ReceiptReply, ReceiptRequest, RenewReply, RenewRequest, Report, Roots,
    },
    limits,
    peer::Metadata,
};
use std::sync::Arc;

type Answer<T> = Result<Json<T>, Refusal>;
type Server = State<Arc<Nms>>;

pub(super) fn routes() -> Router<Arc<Nms>> {
    let strangers =
        Router::new().route("/v1/enrol", post(enrol)).layer(DefaultBodyLimit::max(limits::ENROL_BODY_BYTES));
    let machines = Router::new()
        .route("/v1/renew", post(renew))
        .route("/v1/check-in", post(check_in))
        .route("/v1/crl", get(crl))
        .route("/v1/metadata", get(metadata))
        .route("/v1/roots/{version}", get(roots))
        .route("/v1/orders/{id}/help", get(help))
        .route("/v1/packages", post(by_hand))
        .route("/v1/catalogue", get(catalogue).post(from_catalogue))
        .route("/v1/receipt", post(receipt))
        .route("/v1/go-ahead", post(install_permit))
        .route("/v1/reports", post(reports))
        .layer(DefaultBodyLimit::max(limits::AGENT_BODY_BYTES));
    strangers.merge(machines)
}

async fn enrol(State(nms): Server, Anyone(peer): Anyone, Sent(request): Sent<EnrolRequest>) -> Answer<EnrolReply> {
    nms.enrol(request, peer.from).await.map(Json)
}

async fn renew(State(nms): Server, machine: Renewing, Sent(request): Sent<RenewRequest>) -> Answer<RenewReply> {
    nms.renew(machine.id, &request).await.map(Json)
}

async fn check_in(State(nms): Server, machine: Machine, Sent(said): Sent<CheckIn>) -> Answer<CheckInReply> {
    nms.check_in(machine.id, machine.peer.from, said).await.map(Json)
}

async fn crl(State(nms): Server, _: Machine) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/pkix-crl")], nms.doors.crl().der.to_vec())
}

async fn metadata(State(nms): Server, _: Machine) -> Answer<Metadata> {
    let metadata = nms.desk.shown().metadata;
    let metadata = metadata.ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            Reason::NotPublished,
            "nothing has been published, or the metadata has expired",
        )
    })?;
    Ok(Json((*metadata).clone()))
}

async fn roots(State(nms): Server, _: Machine, Named(version): Named<u64>) -> Json<Roots> {
    Json(Roots { roots: nms.desk.roots_after(version) })
}

async fn help(State(nms): Server, machine: Machine, Named(id): Named<OrderId>) -> Answer<Help> {
    nms.help(machine.id, id).await.map(Json)
}

async fn by_hand(State(nms): Server, machine: Machine, Sent(request): Sent<PackageRequest>) -> Answer<Help> {
    nms.by_hand(machine.id, &request).await.map(Json)
}

async fn catalogue(State(nms): Server, machine: Machine) -> Answer<Catalogue> {
    nms.catalogue(machine.id).map(Json)
}

async fn from_catalogue(State(nms): Server, machine: Machine, Sent(request): Sent<CatalogueRequest>) -> Answer<Help> {
    nms.order_offered(machine.id, &request).await.map(Json)
}

async fn receipt(State(nms): Server, machine: Machine, Sent(request): Sent<ReceiptRequest>) -> Answer<ReceiptReply> {
    nms.receipt(machine.id, &machine.peer.exporter, &request).await.map(Json)
}

async fn install_permit(
    State(nms): Server,
    machine: Machine,
    Sent(request): Sent<InstallPermitRequest>,
) -> Answer<InstallPermitReply> {
    nms.install_permit(machine.id, request.order).await.map(Json)
}

async fn reports(
    State(nms): Server,
    machine: Machine,
    Sent(reports): Sent<Vec<Report>>,
) -> Result<StatusCode, Refusal> {
    nms.report(machine.id, reports).await?;
    Ok(StatusCode::NO_CONTENT)
}
