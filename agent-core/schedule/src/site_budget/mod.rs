//! A site's budget: how its machines together keep within a number of bytes a second over the site's uplink (rule P17).
//!
//! Both sides are here. The server divides the budget into shares ([`ShareLedger`]). A machine that moves content over
//! the uplink asks for a share, renews it, and goes by it ([`ShareHolder`]). A share ends by itself, so nothing that a
//! machine or the network fails to do leaves the site with more than its budget.

mod holder;
mod ledger;

pub use holder::ShareHolder;
pub use ledger::{Divisible, GrantedShare, ShareLedger};

use crate::{Seconds, local_time};
use banyan_proto::{
    UnixSeconds,
    schedule::Window,
    site_budget::{SiteBudget, SiteRates},
};
use jiff::tz::TimeZone;
use std::time::Duration;

/// How long a share is valid.
pub const SHARE_LIFETIME: Duration = Duration::from_secs(6);
/// How often a machine renews its share.
pub const RENEWAL_INTERVAL: Duration = Duration::from_secs(2);
/// How soon a machine asks again that did not get its whole part, or has just given up some of its own.
pub const SOON: Duration = Duration::from_millis(300);
/// All machines of a site together may move this part of the budget without shares.
const PART_WITHOUT_SHARE: u64 = 20;
/// The least that a machine moves without a share (bytes a second), so that its connections last.
const LEAST_WITHOUT_SHARE: u64 = 256;

/// The rates that apply at some time, and when they next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentRates {
    /// The rates.
    pub rates: SiteRates,
    /// How long they apply at least; `None`: as long as the budget.
    pub changes_after: Option<Duration>,
}

impl CurrentRates {
    /// Returns how long a share of these rates is valid.
    #[must_use]
    pub fn share_lifetime(&self) -> Duration {
        self.changes_after.unwrap_or(SHARE_LIFETIME).min(SHARE_LIFETIME)
    }
}

/// Returns the rates of a budget at this time.
#[must_use]
pub fn current_rates(budget: &SiteBudget, zone: &TimeZone, now: UnixSeconds) -> CurrentRates {
    let at = Seconds::try_from(now.0).unwrap_or(Seconds::MAX);
    let weeks = || {
        budget.0.iter().filter_map(|line| match line.hours {
            Window::Weekly(week) => Some(week),
            Window::Any | Window::Idle | Window::Night => None,
        })
    };
    let applies = |hours: &Window| match hours {
        Window::Weekly(week) => local_time::is_open(week, zone, at),
        Window::Any | Window::Idle | Window::Night => true,
    };
    let rates = budget.0.iter().find(|line| applies(&line.hours)).map(|line| line.rates).unwrap_or_default();
    let edge = weeks().filter_map(|week| local_time::next_edge(&week, zone, at)).min();
    let changes_after = edge.map(|edge| Duration::from_secs((edge - at).unsigned_abs()));
    CurrentRates { rates, changes_after }
}

/// Returns what each of a site's machines may move without a share, so that all of them together stay within a small
/// part of the budget.
#[must_use]
pub fn rates_without_share(budget: &SiteBudget, machines: usize) -> SiteRates {
    let machines = u64::try_from(machines.max(1).next_power_of_two()).unwrap_or(u64::MAX);
    let part = |rate: u64| (rate / PART_WITHOUT_SHARE / machines).max(LEAST_WITHOUT_SHARE);
    let SiteRates { download, upload } = budget.lowest();
    SiteRates { download: download.map(part), upload: upload.map(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(text: &str) -> SiteBudget {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_first_line_whose_hours_include_the_present_applies() {
        let budget = budget(
            r#"[{"hours":"Mon-Fri 08:00-18:00","download":600000},{"hours":"Sat 00:00-24:00"},{"hours":"any","download":9000000,"upload":1000000}]"#,
        );
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let at = |text: &str| {
            let time: jiff::Timestamp = text.parse().unwrap();
            current_rates(&budget, &zone, UnixSeconds(u64::try_from(time.as_second()).unwrap()))
        };
        let rates = |download, upload| SiteRates { download, upload };
        for (time, expected, hours) in [
            ("2026-01-14T07:30+01:00", rates(Some(9_000_000), Some(1_000_000)), 0.5),
            ("2026-01-14T08:00+01:00", rates(Some(600_000), None), 10.0),
            ("2026-01-17T12:00+01:00", rates(None, None), 12.0),
            ("2026-01-18T12:00+01:00", rates(Some(9_000_000), Some(1_000_000)), 20.0),
        ] {
            let found = at(time);
            assert_eq!(found.rates, expected, "{time}");
            assert_eq!(found.changes_after, Some(Duration::from_secs_f64(hours * 3600.0)), "{time}");
        }
    }

    #[test]
    fn without_shares_all_machines_together_use_a_small_part() {
        let budget = budget(r#"[{"hours":"any","download":625000},{"hours":"Mon 08:00-09:00","upload":125000}]"#);
        for machines in [1, 2, 7, 8, 30] {
            let SiteRates { download, upload } = rates_without_share(&budget, machines);
            assert!(download.unwrap() * machines as u64 <= 625_000 / 20 && download.unwrap() > 256);
            assert!(upload.unwrap() * machines as u64 <= 125_000 / 16, "{machines}: {upload:?}");
        }
    }
}
