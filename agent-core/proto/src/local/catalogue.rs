//! What the administrator offers to the people at a machine: answer to [`super::Request::Catalogue`].
//!
//! It is no part of the snapshot: only the server knows what is offered, and it is asked when somebody looks and at no other
//! time. Whether one of these is on its way stands in the snapshot, among the updates.

use super::Replaces;
use crate::api::OfferedRelease;
use serde::{Deserialize, Serialize};

/// What is offered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Catalogue {
    /// By name of the package.
    pub items: Vec<Item>,
}

/// One release that people may get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Item {
    /// What the server says of it.
    pub release: OfferedRelease,
    /// The version that Banyan installed here before, if it did.
    pub installed: Option<Replaces>,
}
