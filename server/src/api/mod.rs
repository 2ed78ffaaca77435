//! The HTTP API: `/v1` for machines, `/api/v1` for administrators. Handlers only translate; the subjects' own files decide.

mod admin;
mod agents;
mod extract;

use crate::{nms::Nms, refusal::Refusal};
use axum::Router;
use std::sync::Arc;

/// All routes.
pub(crate) fn router(nms: Arc<Nms>) -> Router {
    agents::routes()
        .merge(admin::routes())
        .fallback(|| async { Refusal::not_found("there is nothing at this path; compare the versions on both sides") })
        .with_state(nms)
}
