//! The usage history: bytes uploaded and downloaded per day, and the daily upload quota.
//!
//! **Never more than the quota.** A sender must first reserve bytes. Reserved bytes count as sent until they are
//! settled. Nothing is granted unless it is already on disk: [`Ledger::write_ahead`] stores slightly more than has been
//! used, and grants are taken from that reserve. A machine that crashes therefore loses a little of the day's quota
//! instead of forgetting what it sent.
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
const DAYS: usize = 92;
/// How much is stored ahead of actual use (bytes). A crash costs this much of the day's quota.
const AHEAD: u64 = 1 << 20;

/// The bytes uploaded and downloaded per day.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    days: BTreeMap<i64, Use>,
    /// The latest day with a booking.
    open: Option<i64>,
    /// Uploads from a later day, carried to this day when the clock was set back.
    carried: Option<(i64, u64)>,
    /// The day, and the maximum upload on it that is stored on disk (sent or reserved, without `aside`).
    stored: Option<(i64, u64)>,
    /// Bytes that will be sent even if the quota refuses more.
    aside: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    given: u64,
    received: u64,
    reserved: u64,
}

impl Use {
    /// Returns the bytes that were sent or may have been.
    fn out(self) -> u64 {
        self.given.saturating_add(self.reserved)
    }
}

/// Permission to send a number of bytes. Return it with [`Ledger::settle`]; a dropped reservation stays counted.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an unsettled reservation stays counted"]
pub struct Reservation {
    day: i64,
    bytes: u64,
}

/// Why nothing was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Today's quota does not have that much left.
    Quota,
    /// First store the result of [`Ledger::write_ahead`], confirm it with [`Ledger::stored`], then ask again.
    WriteFirst,
}

impl Ledger {
    /// Restores the history from stored rows. Unreadable days are skipped.
    #[must_use]
    pub fn restore(days: &[DayUse]) -> Self {
        let mut ledger = Self::default();
        for row in days {
            if let Some(day) = local_time::day_of_name(&row.day) {
                let entry = ledger.days.entry(day).or_default();
                entry.given = entry.given.saturating_add(row.given);
                entry.received = entry.received.saturating_add(row.received);
            }
        }
        ledger.forget(i64::MAX);
        ledger
    }
    /// Returns the days, oldest first, for display and for storing at an orderly shutdown. Reserved bytes count as
    /// sent.
    #[must_use]
    pub fn days(&self) -> Vec<DayUse> {
        let rows = self.days.iter().filter(|(_, of)| of.out() > 0 || of.received > 0);
        rows.map(|(day, of)| DayUse { day: local_time::day_name(*day), given: of.out(), received: of.received })
            .collect()
    }
    /// Returns the bytes that count against the quota of the day that contains this time.
    pub(crate) fn used(&self, zone: &TimeZone, at: Seconds) -> u64 {
        self.used_on(local_time::day(zone, at))
    }
    fn used_on(&self, day: i64) -> u64 {
        let put_back = self.open.filter(|open| *open > day + 1).map_or(0, |open| self.booked(open));
        self.booked(day).saturating_add(self.entry(day + 1).out()).saturating_add(put_back).saturating_add(self.aside)
    }
    fn booked(&self, day: i64) -> u64 {
        let carried = self.carried.filter(|(to, _)| *to == day).map_or(0, |(_, bytes)| bytes);
        self.entry(day).out().saturating_add(carried)
    }
    fn entry(&self, day: i64) -> Use {
        self.days.get(&day).copied().unwrap_or_default()
    }
    /// Reserves bytes of today's quota before they are sent. Without a quota it only counts them.
    ///
    /// # Errors
    /// See [`Refusal`]. Nothing is reserved then.
    pub fn reserve(
        &mut self,
        zone: &TimeZone,
        now: UnixSeconds,
        bytes: u64,
        quota: Option<u64>,
    ) -> Result<Reservation, Refusal> {
        let day = self.open_day(zone, now);
        let used = self.used_on(day).saturating_add(bytes);
        if let Some(quota) = quota {
            if used > quota {
                return Err(Refusal::Quota);
            }
            // `aside` is not part of the stored amount, because it shrinks as actual bookings replace it.
            let out = used.saturating_sub(self.aside);
            if self.stored.is_none_or(|(stored, most)| stored != day || out > most) {
                return Err(Refusal::WriteFirst);
            }
        }
        let entry = self.days.entry(day).or_default();
        entry.reserved = entry.reserved.saturating_add(bytes);
        Ok(Reservation { day, bytes })
    }
    /// Settles a reservation: `sent` of its bytes were sent, and the rest is released. The bytes count on the day of
    /// the reservation.
    #[expect(clippy::needless_pass_by_value, reason = "a reservation is settled once")]
    pub fn settle(&mut self, reservation: Reservation, sent: u64) {
        let entry = self.days.entry(reservation.day).or_default();
        entry.reserved = entry.reserved.saturating_sub(reservation.bytes);
        entry.given = entry.given.saturating_add(sent);
    }
    /// Takes back bytes that were settled as sent today but were not sent. Returns how many could be taken back.
    pub fn give_back(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) -> u64 {
        let day = self.open_day(zone, now);
        let entry = self.days.entry(day).or_default();
        let back = bytes.min(entry.given);
        entry.given -= back;
        back
    }
    /// Counts downloaded content (bytes).
    pub fn received(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) {
        let day = self.open_day(zone, now);
        let entry = self.days.entry(day).or_default();
        entry.received = entry.received.saturating_add(bytes);
    }
    /// Returns what to store before more can be reserved: all days, with slightly more for today than has been used.
    #[must_use]
    pub fn write_ahead(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) -> (Vec<DayUse>, Stored) {
        let day = self.open_day(zone, now);
        let most = self.used_on(day).saturating_sub(self.aside).saturating_add(bytes.max(AHEAD));
        let given = most - self.entry(day + 1).out();
        let mut rows = self.days();
        let name = local_time::day_name(day);
        match rows.iter_mut().find(|row| row.day == name) {
            Some(row) => row.given = given,
            None => rows.push(DayUse { day: name, given, received: 0 }),
        }
        (rows, Stored { day, most })
    }
    /// Counts bytes as used that will be sent today in any event (acknowledgements), until actual bookings replace
    /// them.
    pub fn set_aside(&mut self, bytes: u64) {
        self.aside = bytes;
    }
    /// Records that the stored rows contain no reserve.
    pub fn nothing_stored(&mut self) {
        self.stored = None;
    }
    /// Confirms that the result of [`Ledger::write_ahead`] is stored and synced.
    pub fn stored(&mut self, stored: Stored) {
        self.stored = Some((stored.day, stored.most));
    }
    /// Returns today, and opens it.
    fn open_day(&mut self, zone: &TimeZone, now: UnixSeconds) -> i64 {
        let day = local_time::day(zone, seconds(now));
        match self.open {
            Some(open) if open > day + 1 => {
                self.carried = Some((day, self.booked(open)));
                self.open = Some(day);
            }
            open => self.open = open.max(Some(day)),
        }
        self.days.entry(day).or_default();
        self.forget(day);
        day
    }
    /// Removes the oldest days, but never today, which can be the oldest after the clock was set back.
    fn forget(&mut self, today: i64) {
        while self.days.len() > DAYS
            && let Some(oldest) = self.days.keys().copied().find(|day| *day != today)
        {
            self.days.remove(&oldest);
        }
    }
}

/// The reserve that was stored ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    day: i64,
    most: u64,
}
