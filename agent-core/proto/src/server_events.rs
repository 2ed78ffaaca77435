//! What happens on the server, as administrators' programs learn of it: over the stream `GET /api/v1/events`, and through
//! webhooks.

use crate::{DeploymentId, MachineId, Reason, UnixSeconds};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

macro_rules! kinds {
    ($($name:ident = $word:literal, $about:literal;)*) => {
        /// A kind of event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum EventKind {
            $(#[doc = $about] #[serde(rename = $word)] $name,)*
            /// A kind that only newer versions know.
            #[serde(other)] Unknown,
        }
        impl EventKind {
            /// All kinds that this version knows.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            /// Returns the kind's name, as in JSON.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* Self::Unknown => "unknown" }
            }
            /// Says what such an event tells.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* Self::Unknown => "Something that a newer version tells" }
            }
        }
    };
}

kinds! {
    DeploymentStarted = "deployment.started", "A deployment was accepted";
    DeploymentHalted = "deployment.halted", "A deployment was halted";
    DeploymentResumed = "deployment.resumed", "A halted deployment goes on";
    DeploymentCancelled = "deployment.cancelled", "A deployment was cancelled";
    DeploymentSuperseded = "deployment.superseded", "Newer deployments of the package took over the machines that were left";
    RingOpened = "deployment.ring-opened", "The next ring of a deployment may install; the explanation names it";
    GateBlocked = "deployment.gate-blocked", "The open ring has nobody left who could report, so its gate cannot pass by itself";
    DeploymentFinished = "deployment.finished", "Every machine of a deployment has succeeded or failed";
    MachineInstalled = "machine.installed", "The release of a deployment works on a machine";
    MachineFailed = "machine.failed", "A machine ended its part of a deployment without success";
    MachineEnrolled = "machine.enrolled", "A machine was enrolled";
    MachineRevoked = "machine.revoked", "A machine was revoked";
    WebhookPaused = "webhook.paused", "A webhook's receiver failed for too long, or is gone";
    WebhookTest = "webhook.test", "Someone tests a webhook; only its receiver gets this event";
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EventKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("{text:?} is no kind of event; the kinds are {}", names.join(", "))
        })
    }
}

/// Something that happened on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ServerEvent {
    /// The event's number. It rises; numbers can be missing.
    pub id: u64,
    /// The kind.
    pub kind: EventKind,
    /// When it was stored.
    pub at: UnixSeconds,
    /// The deployment that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// The event's number among those of the deployment, from 1; 0 without a deployment. Receivers of webhooks put events
    /// into order with it.
    #[serde(default)]
    pub sequence: u64,
    /// The package of the deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The version of the deployment, as shown to users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The machine that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// The machine's display name at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why, if there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// An explanation for people, at most [`ServerEvent::DETAIL_BYTES`]; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl ServerEvent {
    /// Longest explanation in an event (bytes).
    pub const DETAIL_BYTES: usize = 1000;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kinds_are_those_on_the_wire_and_unknown_ones_are_read() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("{:?}", kind.name()));
            assert_eq!(kind.name().parse(), Ok(*kind));
        }
        assert_eq!(serde_json::from_str::<EventKind>("\"moon.risen\"").unwrap(), EventKind::Unknown);
        assert!("moon.risen".parse::<EventKind>().unwrap_err().contains("deployment.halted"));
    }
}
