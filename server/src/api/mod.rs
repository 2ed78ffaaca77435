//! The HTTP API: `/v1` for machines, `/api/v1` for administrators. Handlers only translate; other modules decide.

mod admin;
mod agents;
mod extract;
mod long_work;
mod machines;

use crate::{net::accept::Routers, refusal::Refusal, server::Server};
use axum::Router;
use std::sync::Arc;

/// Returns the routers with their routes.
pub(crate) fn routers(server: &Arc<Server>) -> Routers {
    let finish = |routes: Router<Arc<Server>>| {
        let unknown = || async {
            Refusal::not_found("nothing is served at this path; check that both sides run the same version")
        };
        routes.fallback(unknown).with_state(Arc::clone(server))
    };
    Routers {
        administrators: finish(admin::routes(server)),
        all: finish(agents::routes().merge(admin::routes(server))),
    }
}
