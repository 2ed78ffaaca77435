//! The catalogue that an administrator offers to the users of a machine: the reply to [`super::Request::Catalogue`].
//!
//! The catalogue is not part of the snapshot, because only the server knows it and the agent requests it only when a
//! user opens it. The snapshot's updates show which of its packages are already on their way.

use super::Replaces;
use crate::api::OfferedRelease;
use serde::{Deserialize, Serialize};

/// The packages that the catalogue offers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Catalogue {
    /// The releases, sorted by package name.
    pub items: Vec<Item>,
}

/// A release that users can install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Item {
    /// The release as the server describes it.
    pub release: OfferedRelease,
    /// The version that Banyan installed here earlier, if any.
    pub installed: Option<Replaces>,
}
