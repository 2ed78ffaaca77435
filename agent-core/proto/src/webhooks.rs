//! Webhooks: the server posts its events to receivers that administrators name (Standard Webhooks 1.0).

use crate::{Secret, UnixSeconds, format::requests, server_events::EventKind};
use serde::{Deserialize, Serialize};

/// The most webhooks of a server.
pub const WEBHOOKS: usize = 50;
/// Longest URL of a receiver (bytes).
pub const URL_BYTES: usize = 2048;
/// The most deliveries in the reply to `GET /api/v1/webhooks/{id}/deliveries`.
pub const DELIVERIES: u32 = 500;
/// How long the previous secret also signs after a change (seconds).
pub const OLD_SECRET_SECONDS: u64 = 24 * 3600;

/// `POST /api/v1/webhooks`: adds a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewWebhook {
    /// Where to post: `https://…`, or `http://…` with `private`.
    pub url: String,
    /// The kinds of events to post; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<EventKind>,
    /// Whether the receiver may be in a private network or on the server itself. Otherwise only public addresses are
    /// connected to. Addresses that clouds use for metadata never are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

/// The reply to [`NewWebhook`], and to `POST /api/v1/webhooks/{id}/secret`, which makes a new secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct WebhookSecret {
    /// The webhook's identifier.
    pub id: String,
    /// The secret that signs, `whsec_…`. It is shown only here.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub secret: Secret,
}

/// A webhook in the reply to `GET /api/v1/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Webhook {
    /// The webhook's identifier.
    pub id: String,
    /// Where events are posted.
    pub url: String,
    /// The kinds of events that are posted; empty: all.
    pub kinds: Vec<EventKind>,
    /// Whether the receiver may be in a private network.
    pub private: bool,
    /// When it was added.
    pub created: UnixSeconds,
    /// Why nothing is posted, until someone resumes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Deliveries that wait, including those that are tried again later.
    pub waiting: u64,
    /// The result of the last attempt, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DeliveryResult>,
}

/// How an attempt ended. Nothing that a receiver answered is in it, except the number of the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeliveryResult {
    /// When.
    pub at: UnixSeconds,
    /// Whether the receiver accepted the event.
    pub accepted: bool,
    /// The status of the answer, or why there was none.
    pub what: String,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// It is to be attempted, for the first time or again.
    Waiting,
    /// The receiver accepted it.
    Delivered,
    /// It failed for three days, or the receiver is gone.
    GivenUp,
}

/// A delivery in the reply to `GET /api/v1/webhooks/{id}/deliveries`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// The event's number.
    pub event: u64,
    /// The event's kind.
    pub kind: EventKind,
    /// The state.
    pub state: DeliveryState,
    /// The attempts so far.
    pub attempts: u32,
    /// When it is attempted next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<UnixSeconds>,
    /// The result of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DeliveryResult>,
}

requests! {
    NewWebhook = "request to add a webhook";
}
