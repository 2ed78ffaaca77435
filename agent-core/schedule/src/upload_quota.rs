//! The usage history: bytes uploaded and downloaded per day, and the daily upload quota.
//!
//! **Never more than the quota.** A sender must first take the bytes out of the quota; bytes that were not sent after
//! all are given back. Nothing is granted unless it is already on disk: [`DailyUsage::write_ahead`] stores slightly
//! more than has been used, and grants are taken from that reserve. A machine that crashes therefore loses a little of
//! the day's quota instead of forgetting what it sent.
//!
//! **Days** are local days, 23 or 25 hours long when daylight saving time begins or ends. An upload is booked on the
//! day that the wall clock shows. Bookings on the next day count against a day's quota, too. Setting the clock back
//! across midnight, or travelling west, therefore yields no second quota. If the clock is set back further, the uploads
//! of the day that was open count once against the day that is now open. Setting the clock forward yields a new quota.
//! So does setting it back by more than a day while the program is not running: the quota protects the owner, and is
//! not a lock against them.

use crate::{Seconds, clock::seconds, local_time};
use banyan_proto::{UnixSeconds, schedule::DayUse};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// Number of days to keep.
const MAX_DAYS: usize = 92;
/// How much is stored ahead of actual use (bytes). A crash costs this much of the day's quota.
const WRITE_AHEAD_BYTES: u64 = 1 << 20;

/// The bytes uploaded and downloaded per day.
#[derive(Debug, Clone, Default)]
pub struct DailyUsage {
    days: BTreeMap<i64, DayTotals>,
    /// The latest day with a booking.
    latest: Option<i64>,
    /// Uploads from a later day, which count against an earlier one because the clock was set back.
    carried: Option<Carried>,
    /// What is stored on disk for a day.
    stored: Option<StoredAhead>,
    /// Bytes that will be sent even if the quota refuses more.
    set_aside: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct DayTotals {
    uploaded: u64,
    downloaded: u64,
}

#[derive(Debug, Clone, Copy)]
struct Carried {
    to: i64,
    bytes: u64,
}

/// Why the quota granted nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaRefusal {
    /// Today's quota does not have that much left.
    Quota,
    /// First store the result of [`DailyUsage::write_ahead`], confirm it with [`DailyUsage::confirm_stored`], then ask
    /// again.
    WriteFirst,
}

impl DailyUsage {
    /// Restores the history from stored rows. Unreadable days are skipped.
    #[must_use]
    pub fn restore(days: &[DayUse]) -> Self {
        let mut usage = Self::default();
        for row in days {
            if let Some(day) = local_time::day_of_name(&row.day) {
                let totals = usage.days.entry(day).or_default();
                totals.uploaded = totals.uploaded.saturating_add(row.given);
                totals.downloaded = totals.downloaded.saturating_add(row.received);
            }
        }
        usage.forget_old_days(i64::MAX);
        usage
    }
    /// Returns the days, oldest first, for display and for storing at an orderly shutdown.
    #[must_use]
    pub fn days(&self) -> Vec<DayUse> {
        let rows = self.days.iter().filter(|(_, totals)| totals.uploaded > 0 || totals.downloaded > 0);
        rows.map(|(day, totals)| DayUse {
            day: local_time::day_name(*day),
            given: totals.uploaded,
            received: totals.downloaded,
        })
        .collect()
    }
    /// Returns the bytes that count against the quota of the day that contains this time.
    pub(crate) fn used(&self, zone: &TimeZone, at: Seconds) -> u64 {
        self.used_on(local_time::day(zone, at))
    }
    fn used_on(&self, day: i64) -> u64 {
        let after_step_back = self.latest.filter(|latest| *latest > day + 1).map_or(0, |latest| self.booked(latest));
        self.booked(day)
            .saturating_add(self.uploaded_on(day + 1))
            .saturating_add(after_step_back)
            .saturating_add(self.set_aside)
    }
    fn booked(&self, day: i64) -> u64 {
        let carried = self.carried.filter(|carried| carried.to == day).map_or(0, |carried| carried.bytes);
        self.uploaded_on(day).saturating_add(carried)
    }
    fn uploaded_on(&self, day: i64) -> u64 {
        self.days.get(&day).map_or(0, |totals| totals.uploaded)
    }
    /// Takes bytes out of today's quota before they are sent. Without a quota it only counts them.
    ///
    /// # Errors
    /// See [`QuotaRefusal`]. Nothing is taken then.
    pub fn take(
        &mut self,
        zone: &TimeZone,
        now: UnixSeconds,
        bytes: u64,
        quota: Option<u64>,
    ) -> Result<(), QuotaRefusal> {
        let day = self.begin_day(zone, now);
        let used = self.used_on(day).saturating_add(bytes);
        if let Some(quota) = quota {
            if used > quota {
                return Err(QuotaRefusal::Quota);
            }
            // Bytes set aside are not part of the stored amount, because they shrink as actual bookings replace them.
            let uploaded = used.saturating_sub(self.set_aside);
            if self.stored.is_none_or(|stored| stored.day != day || uploaded > stored.uploaded) {
                return Err(QuotaRefusal::WriteFirst);
            }
        }
        let totals = self.days.entry(day).or_default();
        totals.uploaded = totals.uploaded.saturating_add(bytes);
        Ok(())
    }
    /// Gives back bytes that were taken today but were not sent. Returns how many could be given back.
    pub fn give_back(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) -> u64 {
        let day = self.begin_day(zone, now);
        let totals = self.days.entry(day).or_default();
        let back = bytes.min(totals.uploaded);
        totals.uploaded -= back;
        back
    }
    /// Counts downloaded content (bytes).
    pub fn count_download(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) {
        let day = self.begin_day(zone, now);
        let totals = self.days.entry(day).or_default();
        totals.downloaded = totals.downloaded.saturating_add(bytes);
    }
    /// Returns what to store before more can be taken: all days, with slightly more for today than has been used.
    #[must_use]
    pub fn write_ahead(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) -> (Vec<DayUse>, StoredAhead) {
        let day = self.begin_day(zone, now);
        let uploaded = self.used_on(day).saturating_sub(self.set_aside).saturating_add(bytes.max(WRITE_AHEAD_BYTES));
        let given = uploaded - self.uploaded_on(day + 1);
        let mut rows = self.days();
        let name = local_time::day_name(day);
        match rows.iter_mut().find(|row| row.day == name) {
            Some(row) => row.given = given,
            None => rows.push(DayUse { day: name, given, received: 0 }),
        }
        (rows, StoredAhead { day, uploaded })
    }
    /// Counts bytes as used that will be sent today in any event (acknowledgements), until actual bookings replace
    /// them.
    pub fn set_aside(&mut self, bytes: u64) {
        self.set_aside = bytes;
    }
    /// Records that the stored rows contain no reserve.
    pub fn clear_stored(&mut self) {
        self.stored = None;
    }
    /// Confirms that the result of [`DailyUsage::write_ahead`] is stored and synced.
    pub fn confirm_stored(&mut self, stored: StoredAhead) {
        self.stored = Some(stored);
    }
    /// Returns today, and makes it the latest day.
    fn begin_day(&mut self, zone: &TimeZone, now: UnixSeconds) -> i64 {
        let day = local_time::day(zone, seconds(now));
        match self.latest {
            Some(latest) if latest > day + 1 => {
                self.carried = Some(Carried { to: day, bytes: self.booked(latest) });
                self.latest = Some(day);
            }
            latest => self.latest = latest.max(Some(day)),
        }
        self.days.entry(day).or_default();
        self.forget_old_days(day);
        day
    }
    /// Removes the oldest days, but never today, which can be the oldest after the clock was set back.
    fn forget_old_days(&mut self, today: i64) {
        while self.days.len() > MAX_DAYS
            && let Some(oldest) = self.days.keys().copied().find(|day| *day != today)
        {
            self.days.remove(&oldest);
        }
    }
}

/// The maximum upload of a day that is stored on disk, ahead of actual use and without the bytes set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredAhead {
    day: i64,
    uploaded: u64,
}
