//! The server's error response: an HTTP status, a reason from the closed table and an explanation.

use crate::store::StoreError;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use banyan_proto::{Reason, admin::ChangedMeanwhile, api::ApiError};
use banyan_wire::{file_room, rare_log::RareLog};
use std::path::Path;
use tracing::error;

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: ApiError,
    /// What is set now, if the request was about something older.
    present: Option<Box<serde_json::Value>>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, reason: Reason, detail: impl Into<String>) -> Self {
        Self { status, error: ApiError { reason, detail: detail.into() }, present: None }
    }
    /// Says what is set now.
    pub(crate) fn with_present(self, present: serde_json::Value) -> Self {
        Self { present: Some(Box::new(present)), ..self }
    }
    /// The request is malformed (400).
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Reason::BadRequest, detail)
    }
    /// The named object does not exist (404).
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Reason::NotFound, detail)
    }
    /// The request is valid but conflicts with the current state (409).
    pub(crate) fn conflict(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, reason, detail)
    }
    /// The caller is not permitted to do this (403).
    pub(crate) fn forbidden(reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason, detail)
    }
    /// The requesting machine is excluded: revoked, quarantined or replaced.
    pub(crate) fn excluded(reason: Reason) -> Self {
        Self::forbidden(reason, "the server takes no requests from this machine")
    }
    /// The machine has sent more than its share (429).
    pub(crate) fn too_many_requests() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, Reason::TooManyRequests, Reason::TooManyRequests.for_admin().what)
    }
    /// The server's disk is full (507). It can lack free inodes, which the file or folder shows, if it is known.
    pub(crate) fn disk_full(at: Option<&Path>) -> Self {
        static FULL: RareLog = RareLog::each_minute();
        let detail = match at.and_then(file_room::describe_missing) {
            Some(missing) => format!("the server's disk is full: {missing}"),
            None => "the server's disk is full; free some space for its data folder".to_owned(),
        };
        if let Some(more) = FULL.due() {
            error!(more, "a request failed: {detail}");
        }
        Self::new(StatusCode::INSUFFICIENT_STORAGE, Reason::ServerDiskFull, detail)
    }
    /// An internal error (500). The response gives no details; the log does.
    pub(crate) fn internal(what: &dyn std::fmt::Display) -> Self {
        error!("a request failed: {what}");
        let detail = "internal server error; see the server's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::InternalError, detail)
    }
}

/// Why a response is a refusal. Attached to it for the wrappers of handlers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusalReason(pub(crate) Reason);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let reason = RefusalReason(self.error.reason);
        let mut response = match self.present {
            None => (self.status, Json(self.error)).into_response(),
            Some(present) => {
                let ApiError { reason, detail } = self.error;
                (self.status, Json(ChangedMeanwhile { reason, detail, present: *present })).into_response()
            }
        };
        response.extensions_mut().insert(reason);
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        if error.is_disk_full() { Self::disk_full(None) } else { Self::internal(&error) }
    }
}
