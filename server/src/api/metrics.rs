//! The metrics, in the text form of Prometheus. Their labels have few values, whatever the number of machines: states,
//! stages and who has to act on a reason. `docs/metrics.md` explains them.

use super::{
    ServerState,
    routes::{Routes, Rule, Scoping},
};
use crate::{
    refusal::Refusal,
    server::{SOFTWARE, Server},
};
use axum::{extract::State, http::header::CONTENT_TYPE, response::IntoResponse};
use banyan_proto::{
    Reason, UnixSeconds,
    access::Permission,
    admin::{DeploymentState, Stage},
    reason::Fault,
};
use std::{collections::BTreeMap, fmt::Write as _};
use utoipa_axum::routes;

/// The text form's name and version.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn add_to(routes: Routes) -> Routes {
    routes.add(Rule::read(Permission::Metrics, Scoping::WholeServer), routes!(metrics))
}

/// Writes metrics, each with its help text and type.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str, series: &[(&[(&str, &str)], f64)]) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in series {
            let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help, &[(&[], value)]);
    }
    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "counter", help, &[(&[], value)]);
    }
}

fn fault_name(reason: Option<Reason>) -> &'static str {
    match reason.map(Reason::fault) {
        None => "none",
        Some(Fault::Nobody) => "nobody",
        Some(Fault::Machine) => "machine",
        Some(Fault::Peer) => "peer",
        Some(Fault::Network) => "network",
        Some(Fault::Server) => "server",
        Some(Fault::Publisher) => "publisher",
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Expected => "expected",
        Stage::Receiving => "receiving",
        Stage::Verified => "verified",
        Stage::Authenticated => "authenticated",
        Stage::Installing => "installing",
        Stage::Installed => "installed",
        Stage::Failed => "failed",
    }
}

fn state_name(state: DeploymentState) -> &'static str {
    match state {
        DeploymentState::Running => "running",
        DeploymentState::Halted => "halted",
        DeploymentState::Superseded => "superseded",
        DeploymentState::Finished => "finished",
        DeploymentState::Cancelled => "cancelled",
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating-point numbers, exact up to 2^53")]
fn number(value: u64) -> f64 {
    value as f64
}

fn count(value: usize) -> f64 {
    number(value as u64)
}

/// Returns metrics in the text form of Prometheus.
#[utoipa::path(
    get,
    path = "/api/v1/metrics",
    operation_id = "get_metrics",
    tag = "server",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"))
)]
async fn metrics(State(server): ServerState) -> Result<impl IntoResponse, Refusal> {
    let mut page = Page::default();
    write_server(&mut page, &server).await;
    write_machines(&mut page, &server);
    let counts = server.orders.store.fleet_counts().await?;
    let mut states = BTreeMap::from([("running", 0), ("halted", 0), ("superseded", 0), ("finished", 0)]);
    for (state, found) in counts.deployments {
        *states.entry(state_name(state)).or_default() += found;
    }
    let states: Vec<_> = states.into_iter().map(|(state, found)| ([("state", state)], number(found))).collect();
    let series: Vec<(&[(&str, &str)], f64)> =
        states.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
    page.family("banyan_deployments", "gauge", "Deployments by state.", &series);
    let mut stages = BTreeMap::<(&str, &str), u64>::new();
    for (stage, reason, found) in counts.machines {
        *stages.entry((stage_name(stage), fault_name(reason))).or_default() += found;
    }
    let stages: Vec<_> = stages
        .into_iter()
        .map(|((stage, fault), found)| ([("stage", stage), ("fault", fault)], number(found)))
        .collect();
    let series: Vec<(&[(&str, &str)], f64)> =
        stages.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
    let help = "Machines of running and halted deployments, by stage and by who has to act on their reason.";
    page.family("banyan_deployment_machines", "gauge", help, &series);
    page.counter(
        "banyan_server_sent_bytes_total",
        "Content that the server itself has sent for deployments.",
        number(counts.server_sent),
    );
    Ok(([(CONTENT_TYPE, TEXT)], page.0))
}

async fn write_server(page: &mut Page, server: &Server) {
    let version = SOFTWARE.split(' ').next_back().unwrap_or_default();
    page.family("banyan_info", "gauge", "The server's version.", &[(&[("version", version)], 1.0)]);
    let taken = server.connections.occupancy();
    page.gauge("banyan_connected_machines", "Machines that are connected.", count(taken.machines));
    page.gauge(
        "banyan_machine_connections_limit",
        "Connections of machines that the server takes at most.",
        count(taken.places.machines),
    );
    page.counter(
        "banyan_machine_connections_refused_total",
        "Connections of machines that were refused for lack of places, since the server started.",
        number(taken.refused),
    );
    let statuses = server.request_counts.read();
    let statuses: Vec<_> = statuses.iter().map(|(class, found)| ([("status", *class)], number(*found))).collect();
    let series: Vec<(&[(&str, &str)], f64)> =
        statuses.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
    let help = "Requests of administrators, by the class of the answer's status, since the server started.";
    page.family("banyan_admin_requests_total", "counter", help, &series);
    page.counter("banyan_audit_rows_total", "Rows of the audit log.", number(server.audit.size().await));
    if let Some(free) = server.uploads.free_bytes() {
        page.gauge("banyan_disk_free_bytes", "Free space on the disk of the server's data folder.", number(free));
    }
    let flag = |is_set: bool| f64::from(u8::from(is_set));
    let fails = server.check_storage().await.is_err();
    page.gauge("banyan_storage_fault", "1 while the server cannot store anything.", flag(fails));
    let jumped = server.clock.unconfirmed().is_some();
    page.gauge(
        "banyan_clock_unconfirmed",
        "1 while the server's clock has jumped and nothing has confirmed it.",
        flag(jumped),
    );
    if let Some(expires) = server.repository.snapshot().publishers_expire {
        page.gauge(
            "banyan_publishers_expire_timestamp_seconds",
            "When the first of the publishers' signatures expires (seconds since 1970).",
            number(expires.0),
        );
    }
}

fn write_machines(page: &mut Page, server: &Server) {
    let mut states = BTreeMap::from([("online", 0), ("offline", 0), ("quarantined", 0), ("revoked", 0)]);
    let (mut unseen, now) = (0, UnixSeconds::now());
    for row in server.registry.all() {
        let state = match &row {
            row if row.revoked.is_some() => "revoked",
            row if row.quarantined.is_some() => "quarantined",
            row if server.connections.is_online(row.id) => "online",
            _ => "offline",
        };
        *states.entry(state).or_default() += 1;
        unseen += usize::from(state == "offline" && row.seen.plus(7 * 24 * 3600) < now);
    }
    let states: Vec<_> = states.into_iter().map(|(state, found)| ([("state", state)], count(found))).collect();
    let series: Vec<(&[(&str, &str)], f64)> =
        states.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
    page.family("banyan_machines", "gauge", "Enrolled machines by state.", &series);
    page.gauge(
        "banyan_machines_unseen_for_week",
        "Machines that are offline and were not seen for seven days.",
        count(unseen),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_help_type_and_labels() {
        let mut page = Page::default();
        page.family("banyan_x", "gauge", "An x.", &[(&[("a", "b"), ("c", "d")], 1.5), (&[], 2.0)]);
        assert_eq!(page.0, "# HELP banyan_x An x.\n# TYPE banyan_x gauge\nbanyan_x{a=\"b\",c=\"d\"} 1.5\nbanyan_x 2\n");
    }
}
