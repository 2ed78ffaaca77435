//! How background transfers are sent: transfers that nobody waits for.

use serde::{Deserialize, Serialize};

/// How the packets of background transfers are sent. A transfer is in the background unless a user wants it now or its
/// deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Background {
    /// The mark on the packets.
    pub dscp: Dscp,
    /// The congestion control.
    pub congestion_control: CongestionControl,
}

/// The differentiated services codepoint (RFC 2474) of background transfers.
///
/// [`Self::Le`] is the default. Routers that are not set up for it forward such packets like all others. Those that are
/// let other traffic go first. An administrator whose network treats the mark wrongly switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Dscp {
    /// Lower effort (RFC 8622).
    #[default]
    Le,
    /// The system's default, which is no mark.
    Default,
}

/// The congestion control of background transfers.
///
/// [`Self::Default`] is the default: each machine forwards to others, so one that gives way to all traffic of its network
/// also slows down those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CongestionControl {
    /// The system's default.
    #[default]
    Default,
    /// The system's own for background transfers, where it has one that the program may use: TCP-LP (`lp`) on Linux.
    Background,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Policy;

    #[test]
    fn a_policy_from_before_background_transfers_marks_them() {
        let mut old = serde_json::to_value(Policy::default()).unwrap();
        assert!(old.as_object_mut().unwrap().remove("background").is_some());
        let read: Policy = serde_json::from_value(old).unwrap();
        assert_eq!(read.background, Background { dscp: Dscp::Le, congestion_control: CongestionControl::Default });
        let set = r#"{"background":{"dscp":"default","congestion-control":"background"}}"#;
        let read: Policy = serde_json::from_str(set).unwrap();
        let wanted = Background { dscp: Dscp::Default, congestion_control: CongestionControl::Background };
        assert_eq!(read.background, wanted);
        assert!(serde_json::from_str::<Policy>(r#"{"background":{"dscp":"ef"}}"#).is_err());
    }
}
