//! The conditions detected on the machine, each with its value and age. A value can be unknown.
//!
//! | signal | unknown or stale counts as | because |
//! | --- | --- | --- |
//! | processor | not idle | idleness requires evidence |
//! | presence | away | servers and machines without a screen have no user |
//! | power | mains | most machines that report nothing have no battery |
//! | network | not metered | wired networks do not report it |
//! | full screen | no | likewise |
//! | free disk | too little | the minimum is a promise to the owner, and a disk that cannot be checked is unsafe to write to |

use banyan_proto::schedule::{Load, Network, Power, Presence};
use std::time::Duration;

/// A value and when it was seen (monotonic, since the driver's start).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal<T> {
    seen: Option<(T, Duration)>,
    good_for: Option<Duration>,
}

impl<T> Signal<T> {
    /// Creates a signal without a value.
    #[must_use]
    pub fn unknown() -> Self {
        Self { seen: None, good_for: None }
    }
    /// Creates a signal seen at this time. It is valid until replaced, because its source reports every change.
    #[must_use]
    pub fn seen(value: T, at: Duration) -> Self {
        Self { seen: Some((value, at)), good_for: None }
    }
    /// Limits the validity, for a source that is polled.
    #[must_use]
    pub fn good_for(self, long: Duration) -> Self {
        Self { good_for: Some(long), ..self }
    }
    /// Returns the value, if it is known and not stale.
    #[must_use]
    pub fn get(&self, now: Duration) -> Option<&T> {
        let (value, _) = self.seen.as_ref()?;
        self.stale_at().is_none_or(|stale| now < stale).then_some(value)
    }
    /// Returns when the value becomes stale.
    #[must_use]
    pub fn stale_at(&self) -> Option<Duration> {
        Some(self.seen.as_ref()?.1.saturating_add(self.good_for?))
    }
}

impl<T> Default for Signal<T> {
    fn default() -> Self {
        Self::unknown()
    }
}

/// The size of a disk and what is free on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What this program can still write (bytes).
    pub free: u64,
    /// The size of the file system (bytes).
    pub size: u64,
}

/// All conditions detected on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signals {
    /// The processor load.
    pub load: Signal<Load>,
    /// Whether a user is present.
    pub presence: Signal<Presence>,
    /// The power source.
    pub power: Signal<Power>,
    /// The network with the default route.
    pub network: Signal<Network>,
    /// Whether a program fills the screen.
    pub full_screen: Signal<bool>,
    /// The disk where content is stored.
    pub disk: Signal<DiskSpace>,
}

impl Signals {
    /// Returns when the next value becomes stale, after `now`.
    pub(crate) fn next_stale(&self, now: Duration) -> Option<Duration> {
        let all = [
            self.load.stale_at(),
            self.presence.stale_at(),
            self.power.stale_at(),
            self.network.stale_at(),
            self.full_screen.stale_at(),
            self.disk.stale_at(),
        ];
        all.into_iter().flatten().filter(|stale| *stale > now).min()
    }
}
