//! What the machine sees of its own state: each signal with its value and its age. Unknown is a value of its own.
//!
//! | signal | unknown, or too old, counts as | because |
//! | --- | --- | --- |
//! | processor | not idle | idleness is entered on evidence only |
//! | presence | nobody here | servers and machines without a screen have nobody |
//! | power | mains | most machines without a word about it have no battery |
//! | network | not metered | wired networks do not say |
//! | full screen | no | likewise |
//! | free disk | too little | the floor is promised to the owner; a disk that cannot even be asked is no place to write |

use banyan_proto::schedule::{Load, Network, Power, Presence};
use std::time::Duration;

/// A value that was seen at some time (monotonic, since the driver's start).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal<T> {
    seen: Option<(T, Duration)>,
    good_for: Option<Duration>,
}

impl<T> Signal<T> {
    /// Nothing is known.
    #[must_use]
    pub fn unknown() -> Self {
        Self { seen: None, good_for: None }
    }
    /// Seen at this time; holds until it is replaced (whoever gives it hears of changes).
    #[must_use]
    pub fn seen(value: T, at: Duration) -> Self {
        Self { seen: Some((value, at)), good_for: None }
    }
    /// It is unknown again after so long (whoever gives it looks now and then).
    #[must_use]
    pub fn good_for(self, long: Duration) -> Self {
        Self { good_for: Some(long), ..self }
    }
    /// The value, if it is known and not too old.
    #[must_use]
    pub fn get(&self, now: Duration) -> Option<&T> {
        let (value, _) = self.seen.as_ref()?;
        self.stale_at().is_none_or(|stale| now < stale).then_some(value)
    }
    /// How long ago it was seen.
    #[must_use]
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.seen.as_ref().map(|(_, at)| now.saturating_sub(*at))
    }
    /// When it becomes unknown by itself.
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

/// Everything the machine sees of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signals {
    /// The processor.
    pub load: Signal<Load>,
    /// Whether somebody is here.
    pub presence: Signal<Presence>,
    /// Where the power comes from.
    pub power: Signal<Power>,
    /// The network that leads out.
    pub network: Signal<Network>,
    /// A program fills the screen.
    pub full_screen: Signal<bool>,
    /// Free disk where content is kept (bytes).
    pub free_disk: Signal<u64>,
}

impl Signals {
    /// When the next one becomes unknown by itself, after `now`.
    pub(crate) fn next_stale(&self, now: Duration) -> Option<Duration> {
        let all = [
            self.load.stale_at(),
            self.presence.stale_at(),
            self.power.stale_at(),
            self.network.stale_at(),
            self.full_screen.stale_at(),
            self.free_disk.stale_at(),
        ];
        all.into_iter().flatten().filter(|stale| *stale > now).min()
    }
}
