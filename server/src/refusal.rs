//! What the server answers when it does not do what was asked: a status, a reason of the closed table, words.

use crate::{ca::CaError, repository::RepositoryError, store::StoreError};
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use banyan_proto::{Reason, api::ApiError};
use tracing::error;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: ApiError,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: Reason, detail: impl Into<String>) -> Self {
        Self { status, error: ApiError { reason, detail: detail.into() } }
    }
    /// The request makes no sense.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Reason::BadRequest, detail)
    }
    /// There is no such thing.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Reason::NotFound, detail)
    }
    /// It fits the request but not the state of things.
    pub(crate) fn conflict(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason, detail)
    }
    /// The caller may not.
    pub(crate) fn forbidden(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason, detail)
    }
    /// The machine that asks takes part in nothing.
    pub(crate) fn out(reason: Reason) -> Self {
        Self::forbidden(reason, format!("{}; what to do: {}", reason.words(), reason.next()))
    }
    /// The server's own fault: the caller learns only that, the log says what.
    pub(crate) fn internal(what: &dyn std::fmt::Display) -> Self {
        error!("a request failed: {what}");
        let detail = "the server could not do this; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::InternalError, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.error)).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}
impl From<RepositoryError> for Refusal {
    fn from(error: RepositoryError) -> Self {
        if error.is_callers_fault() {
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.reason(), error.to_string())
        } else {
            Self::internal(&error)
        }
    }
}
impl From<CaError> for Refusal {
    fn from(error: CaError) -> Self {
        if matches!(error, CaError::Request(_)) { Self::bad(error.to_string()) } else { Self::internal(&error) }
    }
}
