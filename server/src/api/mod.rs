//! The HTTP API: `/v1` for machines, `/api/v1` for administrators. Handlers only translate; other modules decide.

mod admin;
mod agents;
mod extract;
mod long_work;

use crate::{refusal::Refusal, server::Server};
use axum::Router;
use std::sync::Arc;

/// Returns the router with all routes.
pub(crate) fn router(server: Arc<Server>) -> Router {
    agents::routes()
        .merge(admin::routes(&server))
        .fallback(|| async {
            Refusal::not_found("nothing is served at this path; check that both sides run the same version")
        })
        .with_state(server)
}
