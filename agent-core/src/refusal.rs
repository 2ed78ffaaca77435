//! Makes the answer to a request that the agent refuses.

use banyan_proto::{Reason, api::ApiError};

/// Returns the answer for a refused request.
pub(crate) fn refusal(reason: Reason, detail: impl Into<String>) -> ApiError {
    ApiError { reason, detail: detail.into() }
}
