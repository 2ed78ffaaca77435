//! The scheduling preferences of a machine's users.

use super::{NetworkId, Night, Window};
use crate::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the users of a machine chose about its transfers and installs. Fields missing in stored text get their default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Choice {
    /// When the machine may receive and forward.
    pub window: Window,
    /// When updates may be installed.
    pub install: Window,
    /// The hours that [`Window::Night`] means in this choice.
    pub night: Night,
    /// A pause, during which nothing is transferred or installed.
    pub pause: Option<Pause>,
    /// Download limit in bytes a second. 0: receive nothing.
    pub download: Option<u64>,
    /// Upload limit in bytes a second. 0: forward nothing.
    pub upload: Option<u64>,
    /// Upload limit for one local day, in bytes.
    pub daily_upload: Option<u64>,
    /// Whether the machine forwards to other machines at all.
    pub forward: bool,
    /// Disk space to keep free, in bytes. The larger of this value and the policy's applies.
    pub free_disk: u64,
    /// What transfers give way to. The stricter of this value and the policy's applies.
    pub give_way: GiveWay,
    /// The conditions that the user chose to ignore.
    pub overrule: Overrule,
}

impl Default for Choice {
    /// Any time, no limits, forwarding on, and transfers give way to this machine's other programs.
    fn default() -> Self {
        Self {
            window: Window::Any,
            install: Window::Any,
            night: Night::default(),
            pause: None,
            download: None,
            upload: None,
            daily_upload: None,
            forward: true,
            free_disk: 0,
            give_way: GiveWay::Programs,
            overrule: Overrule::default(),
        }
    }
}

/// What transfers give way to. Each value includes the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum GiveWay {
    /// Nothing: transfers take their share.
    #[default]
    Nobody,
    /// The other programs of this machine.
    Programs,
}

/// The conditions that the user chose to ignore. They are ignored only as far as the policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, rename_all = "kebab-case")]
pub struct Overrule {
    /// Networks to use although they are metered.
    pub metered: BTreeSet<NetworkId>,
    /// Whether to transfer and install on battery and while the system saves power.
    pub battery: bool,
    /// Whether to install during a full-screen program.
    pub full_screen: bool,
    /// Whether a busy processor counts as idle.
    pub processor: bool,
    /// Whether a user at the machine counts as away.
    pub presence: bool,
}

/// A pause of transfers and installs. `asked` is when the user started it, by this machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Pause {
    /// For a number of seconds.
    For {
        /// When the user started the pause.
        asked: UnixSeconds,
        /// The length in seconds.
        seconds: u32,
    },
    /// Until 06:00 of the next day. In the evening, "until tomorrow" does not mean midnight.
    UntilTomorrow {
        /// When the user started the pause, on the previous day.
        asked: UnixSeconds,
    },
    /// Until the user resumes.
    UntilResumed {
        /// When the user started the pause.
        asked: UnixSeconds,
    },
}

impl Pause {
    /// Returns a pause of one hour.
    #[must_use]
    pub fn an_hour(asked: UnixSeconds) -> Self {
        Self::For { asked, seconds: 3600 }
    }
    /// Returns when the user started the pause.
    #[must_use]
    pub fn asked(self) -> UnixSeconds {
        match self {
            Self::For { asked, .. } | Self::UntilTomorrow { asked } | Self::UntilResumed { asked } => asked,
        }
    }
}

/// What the user wants for one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// No wish: the schedule decides.
    #[default]
    Unsaid,
    /// Now. The user's own windows, pause and full-screen program do not block it. The administrator's windows still
    /// do, unless the policy says otherwise.
    Now,
    /// Not before this time.
    After(UnixSeconds),
}
