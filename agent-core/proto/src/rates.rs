//! What a machine's link carries, as its transfers show. All rates are bytes of content a second.

use crate::UnixSeconds;
use serde::{Deserialize, Serialize};

/// What a link carries in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MeasuredRate {
    /// The rate that the link has carried for some time.
    pub at_least: u64,
    /// The most that it carries; `None` if only the other side is known to have been the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
    /// Whether a short check of the link has shown this, and no transfer. Then both rates are estimates.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_rough: bool,
}

/// What a link carries in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkRates {
    /// What the machine can receive; `None` if it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<MeasuredRate>,
    /// What the machine can send; `None` if it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<MeasuredRate>,
}

impl LinkRates {
    /// Returns whether nothing was measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.down.is_none() && self.up.is_none()
    }
}

/// What the server remembers of a link in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KnownRate {
    /// The rate over the last transfers.
    #[serde(flatten)]
    pub rate: MeasuredRate,
    /// When it was last measured.
    pub measured: UnixSeconds,
}

/// What the server remembers of a machine's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KnownRates {
    /// What the machine can receive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<KnownRate>,
    /// What the machine can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<KnownRate>,
}

impl KnownRates {
    /// Returns whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.down.is_none() && self.up.is_none()
    }
}
