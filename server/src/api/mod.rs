//! The HTTP API: `/v1` for machines, `/api/v1` for administrators. Handlers only translate; other modules decide.

mod access;
mod administrator;
mod agents;
mod audit;
mod deployments;
mod events;
mod extract;
mod join_codes;
mod long_work;
mod machine_pages;
mod machines;
mod metrics;
mod openapi;
mod policies;
mod publishing;
mod routes;
mod server_info;
mod versions;
mod webhooks;

use crate::{net::accept::Routers, refusal::Refusal, server::Server};
use axum::{Extension, Json, Router, extract::State, http::StatusCode};
use banyan_proto::Reason;
use openapi::Description;
use routes::{Routes, Rule};
use std::sync::Arc;
use utoipa_axum::routes;

type JsonResult<T> = Result<Json<T>, Refusal>;
type EmptyResult = Result<StatusCode, Refusal>;
type ServerState = State<Arc<Server>>;

/// Returns the table of the administrators' routes.
fn administrators(server: &Arc<Server>) -> Router<Arc<Server>> {
    let routes = Routes::new(server)
        .add(Rule::any_token(), routes!(openapi::document))
        .add(Rule::any_token(), routes!(long_work::work));
    let routes = server_info::add_to(routes);
    let routes = metrics::add_to(routes);
    let routes = access::add_to(routes);
    let routes = audit::add_to(routes);
    let routes = publishing::add_to(routes);
    let routes = join_codes::add_to(routes);
    let routes = machines::add_to(routes);
    let routes = policies::add_to(routes);
    let routes = deployments::add_to(routes);
    let routes = events::add_to(routes);
    let routes = webhooks::add_to(routes);
    let (router, description) = routes.finish();
    router.layer(Extension(Description::new(&description)))
}

/// Returns the routers with their routes.
pub(crate) fn routers(server: &Arc<Server>) -> Routers {
    let finish = |routes: Router<Arc<Server>>| {
        let unknown = || async {
            Refusal::not_found("nothing is served at this path; check that both sides run the same version")
        };
        let other_method = || async {
            let detail = "this path has other methods; GET /api/v1/openapi.json lists them";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Reason::BadRequest, detail)
        };
        routes.method_not_allowed_fallback(other_method).fallback(unknown).with_state(Arc::clone(server))
    };
    Routers {
        administrators: finish(administrators(server)),
        all: finish(agents::routes().merge(administrators(server))),
    }
}
