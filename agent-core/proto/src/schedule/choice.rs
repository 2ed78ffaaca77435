//! What the people at a machine choose.

use super::{NetworkId, Night, Window};
use crate::UnixSeconds;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the people at a machine chose about its transfers and installs. What is missing in stored text is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Choice {
    /// When it may receive and pass on.
    pub window: Window,
    /// When updates may be installed.
    pub install: Window,
    /// The hours meant by [`Window::Night`] in this choice.
    pub night: Night,
    /// Nothing is transferred or installed for a while.
    pub pause: Option<Pause>,
    /// Receive at most so fast (bytes a second); 0: nothing.
    pub download: Option<u64>,
    /// Pass on at most so fast (bytes a second); 0: nothing.
    pub upload: Option<u64>,
    /// Pass on at most so much in one local day (bytes).
    pub daily_upload: Option<u64>,
    /// Pass on to others at all.
    pub forward: bool,
    /// Leave at least so much of the disk free (bytes); the larger of this and the policy's counts.
    pub free_disk: u64,
    /// To whom transfers give way; what goes further of this and the policy's counts.
    pub give_way: GiveWay,
    /// Which signals do not count.
    pub overrule: Overrule,
}

impl Default for Choice {
    /// Any time, no limits, pass on, give way to this machine's other programs.
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

/// To whom transfers give way. Each goes further than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GiveWay {
    /// To nobody: they take their share.
    #[default]
    Nobody,
    /// To the other programs of this machine.
    Programs,
}

/// Signals that the person says do not count; heeded as far as the policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Overrule {
    /// Networks that are used although they are metered.
    pub metered: BTreeSet<NetworkId>,
    /// Transfer and install on battery and while power is saved.
    pub battery: bool,
    /// Install below a full-screen program.
    pub full_screen: bool,
    /// A busy processor counts as idle.
    pub processor: bool,
    /// Somebody at the machine counts as away.
    pub presence: bool,
}

/// Nothing for a while. `asked` is when it was said, by this machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pause {
    /// For so many seconds.
    For {
        /// Since when.
        asked: UnixSeconds,
        /// How long (seconds).
        seconds: u32,
    },
    /// Until 06:00 of the next day: who says that in the evening does not mean midnight.
    UntilTomorrow {
        /// On the day before.
        asked: UnixSeconds,
    },
    /// Until the person says so.
    UntilResumed {
        /// Since when.
        asked: UnixSeconds,
    },
}

impl Pause {
    /// For an hour.
    #[must_use]
    pub fn an_hour(asked: UnixSeconds) -> Self {
        Self::For { asked, seconds: 3600 }
    }
    /// When it was said.
    #[must_use]
    pub fn asked(self) -> UnixSeconds {
        match self {
            Self::For { asked, .. } | Self::UntilTomorrow { asked } | Self::UntilResumed { asked } => asked,
        }
    }
}

/// What the person wants with one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// Nothing special.
    #[default]
    Unsaid,
    /// Now: the person's own windows, pause and full-screen program do not count; the administrator's windows do, unless
    /// the policy says otherwise.
    Now,
    /// Not before this time.
    After(UnixSeconds),
}
