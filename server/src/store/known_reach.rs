//! From where a machine could be dialled, as the server and real transfers have shown.
//!
//! A firewall, network address translation, or the default of an operating system keeps others from dialling many
//! machines. What another machine says about that is never enough: the machine itself must have lacked its offer, too.

use banyan_proto::{Reach, UnixSeconds};
use serde::{Deserialize, Serialize};

/// How long a failed dial counts (seconds). Afterwards it is tried again.
const FAILURE_LIFETIME: u64 = 7 * 24 * 3600;
/// How long a dial that worked, and one that failed, are not worth repeating (seconds).
const WORKED_IS_FRESH: u64 = 24 * 3600;
const FAILED_IS_FRESH: u64 = 3600;

/// The last dial from somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastDial {
    pub(crate) worked: bool,
    pub(crate) at: UnixSeconds,
}

impl LastDial {
    fn is_fresh(self, now: UnixSeconds) -> bool {
        now.0 < self.at.0 + if self.worked { WORKED_IS_FRESH } else { FAILED_IS_FRESH }
    }
}

/// Who dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialledFrom {
    OwnSite,
    Elsewhere,
}

/// The last dials of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownReach {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own_site: Option<LastDial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<LastDial>,
}

impl KnownReach {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
    fn from(&mut self, from: DialledFrom) -> &mut Option<LastDial> {
        match from {
            DialledFrom::OwnSite => &mut self.own_site,
            DialledFrom::Elsewhere => &mut self.elsewhere,
        }
    }
    /// Records a dial. Returns whether it shows anything that is worth storing.
    pub(crate) fn record(&mut self, from: DialledFrom, worked: bool, now: UnixSeconds) -> bool {
        let last = self.from(from);
        let is_new = last.is_none_or(|last| last.worked != worked || !last.is_fresh(now));
        if is_new {
            *last = Some(LastDial { worked, at: now });
        }
        is_new
    }
    /// Returns whether a dial from there would show anything new.
    pub(crate) fn needs_dial(mut self, from: DialledFrom, now: UnixSeconds) -> bool {
        self.from(from).is_none_or(|last| !last.is_fresh(now))
    }
    /// Returns who can dial the machine. What was never tried counts as possible.
    pub(crate) fn reach(&self, now: UnixSeconds) -> Reach {
        let failed =
            |last: Option<LastDial>| last.is_some_and(|last| !last.worked && now.0 < last.at.0 + FAILURE_LIFETIME);
        let worked = |last: Option<LastDial>| last.is_some_and(|last| last.worked);
        match (failed(self.own_site), failed(self.elsewhere)) {
            (true, _) if !worked(self.elsewhere) => Reach::Nobody,
            (_, true) => Reach::OwnSite,
            _ => Reach::Everyone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_can_dial_a_machine_follows_from_the_last_dials() {
        let at = |time| UnixSeconds(1_800_000_000 + time);
        let mut known = KnownReach::default();
        assert_eq!(known.reach(at(0)), Reach::Everyone, "as long as nothing is known");
        assert!(known.record(DialledFrom::Elsewhere, false, at(0)));
        assert_eq!(known.reach(at(1)), Reach::OwnSite);
        assert!(known.record(DialledFrom::OwnSite, false, at(1)));
        assert_eq!(known.reach(at(2)), Reach::Nobody);
        assert!(known.record(DialledFrom::OwnSite, true, at(3)) && !known.record(DialledFrom::OwnSite, true, at(4)));
        assert_eq!(known.reach(at(5)), Reach::OwnSite);
        assert_eq!(known.reach(at(FAILURE_LIFETIME)), Reach::Everyone, "it is tried again");
        let needs_dial = |from, time| known.needs_dial(from, at(time));
        assert!(!needs_dial(DialledFrom::Elsewhere, 5) && !needs_dial(DialledFrom::OwnSite, FAILED_IS_FRESH + 5));
        assert!(
            needs_dial(DialledFrom::Elsewhere, FAILED_IS_FRESH) && needs_dial(DialledFrom::OwnSite, FAILURE_LIFETIME)
        );
    }
}
