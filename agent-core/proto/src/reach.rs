//! Who can dial a machine. A firewall, network address translation or a default of its system may keep others from it.

use serde::{Deserialize, Serialize};

/// The machines that can connect to a machine. Each machine can connect to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// All machines, as far as is known.
    #[default]
    Everyone,
    /// The machines of its own site.
    OwnSite,
    /// No machine.
    Nobody,
}
