//! The administrators' API about the server itself: its keys, capacity and clock, and suspicious events.

use super::{
    JsonResult, ServerState,
    administrator::Administrator,
    routes::{Routes, Rule, Scoping},
};
use crate::{
    server::{SOFTWARE, Server},
    store::Suspicion,
};
use axum::{Json, extract::State};
use banyan_proto::{
    UnixSeconds,
    access::Permission,
    admin::{self, Capacity, Info, SuspiciousEvent},
};
use banyan_wire::open_files;
use utoipa_axum::routes;

pub(super) fn add_to(routes: Routes) -> Routes {
    routes
        .add(Rule::read(Permission::View, Scoping::Narrowed), routes!(info))
        .add(Rule::read(Permission::View, Scoping::Narrowed), routes!(suspicions))
}

/// Returns the server's keys, capacity and clock.
#[utoipa::path(
    get,
    path = "/api/v1/info",
    operation_id = "get_info",
    tag = "server",
    responses((status = 200, description = "About the server.", body = Info))
)]
async fn info(State(server): ServerState, administrator: Administrator) -> JsonResult<Info> {
    let online_keys = server.repository.with(|repository| Ok(repository.online_keys())).await?;
    Ok(Json(Info {
        server: server.identity.id,
        software: SOFTWARE.to_owned(),
        epoch: server.identity.epoch,
        online_keys,
        keys: server.secrets.key_ring(),
        has_root: server.repository.snapshot().first_root.is_some(),
        capacity: administrator.scope().is_all().then(|| capacity(&server)),
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

/// Returns the latest suspicious events, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/suspicions",
    operation_id = "list_suspicions",
    tag = "machines",
    responses((status = 200, description = "The events.", body = Vec<SuspiciousEvent>))
)]
async fn suspicions(State(server): ServerState, administrator: Administrator) -> JsonResult<Vec<SuspiciousEvent>> {
    let event = |Suspicion { at, machine, order: _, deployment, reason, detail }| SuspiciousEvent {
        at,
        machine,
        deployment,
        reason,
        detail,
    };
    let mut events: Vec<_> = server.suspicions.latest(admin::SUSPICIONS).await?.into_iter().map(event).collect();
    if !administrator.scope().is_all() {
        let is_visible = |machine| server.registry.is_in(machine, administrator.scope());
        events.retain(|event| event.machine.is_some_and(is_visible));
    }
    Ok(Json(events))
}
