//! What was passed on and received, day by day, and the daily upload quota.
//!
//! **Never more than the quota.** Who wants to send reserves first; what is reserved counts as given until it is
//! settled. Nothing is granted that has not been written down before: [`Ledger::write_ahead`] stores a
//! little more than has been used, grants are taken from that, and so a machine that crashes loses some of the day's quota instead of
//! forgetting what it gave.
//!
//! **Days** are local ones, as people read them: 23 or 25 hours long when daylight saving changes. What is given goes to the day
//! that the clock on the wall shows; what is booked on the next day counts against its quota too. So a clock that is put back
//! over midnight, or a journey to the west, gives no second quota. When the clock is put back further, what was given on the
//! day that was open counts against the day that is open now, once. A clock that is put forward gains a new quota, and so does one that
//! is put back by more than a day while the program does not run: the quota is the owner's own, not a lock.

use crate::{Seconds, clock::seconds, local};
use banyan_proto::{UnixSeconds, schedule::DayUse};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// So many days are kept.
const DAYS: usize = 92;
/// So much is written down ahead of what has been used (bytes): lost from the day's quota when the machine crashes.
const AHEAD: u64 = 1 << 20;

/// What was passed on and received.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    days: BTreeMap<i64, Use>,
    /// The latest day that was booked on.
    open: Option<i64>,
    /// Given on a later day, before the clock was put back to this one.
    carried: Option<(i64, u64)>,
    /// Given or reserved on which day at the most, according to what is stored; without what is set aside.
    stored: Option<(i64, u64)>,
    /// Will be given, whatever is refused.
    aside: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    given: u64,
    received: u64,
    reserved: u64,
}

impl Use {
    /// What has gone out, or may have.
    fn out(self) -> u64 {
        self.given.saturating_add(self.reserved)
    }
}

/// Leave to send so many bytes. Give it back with [`Ledger::settle`]; one that is dropped stays counted.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is not settled stays reserved"]
pub struct Reservation {
    day: i64,
    bytes: u64,
}

/// Why nothing was reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The quota does not hold so much more today.
    Quota,
    /// Store what [`Ledger::write_ahead`] gives, say so with [`Ledger::stored`], and ask again.
    WriteFirst,
}

impl Ledger {
    /// From what was stored. Days that cannot be read are left out.
    #[must_use]
    pub fn restore(days: &[DayUse]) -> Self {
        let mut ledger = Self::default();
        for row in days {
            if let Some(day) = local::day_of_name(&row.day) {
                let entry = ledger.days.entry(day).or_default();
                entry.given = entry.given.saturating_add(row.given);
                entry.received = entry.received.saturating_add(row.received);
            }
        }
        ledger.forget(i64::MAX);
        ledger
    }
    /// For people, and to be stored when the program ends in an orderly way: oldest day first. What is reserved counts as
    /// given.
    #[must_use]
    pub fn days(&self) -> Vec<DayUse> {
        let rows = self.days.iter().filter(|(_, of)| of.out() > 0 || of.received > 0);
        rows.map(|(day, of)| DayUse { day: local::day_name(*day), given: of.out(), received: of.received }).collect()
    }
    /// Counted against the quota of the day that this time falls on (bytes).
    pub(crate) fn used(&self, zone: &TimeZone, at: Seconds) -> u64 {
        self.used_on(local::day(zone, at))
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
    /// Takes so many bytes out of today's quota, before they are sent. Without a quota it only counts.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing has been taken then.
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
            // What is set aside is no part of what is stored: it shrinks while others take its place.
            let out = used.saturating_sub(self.aside);
            if self.stored.is_none_or(|(stored, most)| stored != day || out > most) {
                return Err(Refusal::WriteFirst);
            }
        }
        let entry = self.days.entry(day).or_default();
        entry.reserved = entry.reserved.saturating_add(bytes);
        Ok(Reservation { day, bytes })
    }
    /// So many of the reserved bytes were sent; the rest goes back. Bytes count on the day they were reserved.
    #[expect(clippy::needless_pass_by_value, reason = "a reservation is settled once")]
    pub fn settle(&mut self, reservation: Reservation, sent: u64) {
        let entry = self.days.entry(reservation.day).or_default();
        entry.reserved = entry.reserved.saturating_sub(reservation.bytes);
        entry.given = entry.given.saturating_add(sent);
    }
    /// So many bytes that were settled as sent today did not go out after all; gives how many of them could be taken back.
    pub fn give_back(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) -> u64 {
        let day = self.open_day(zone, now);
        let entry = self.days.entry(day).or_default();
        let back = bytes.min(entry.given);
        entry.given -= back;
        back
    }
    /// Content came in.
    pub fn received(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) {
        let day = self.open_day(zone, now);
        let entry = self.days.entry(day).or_default();
        entry.received = entry.received.saturating_add(bytes);
    }
    /// What to store so that more may be reserved: all days, today with a little more than has been used.
    #[must_use]
    pub fn write_ahead(&mut self, zone: &TimeZone, now: UnixSeconds, bytes: u64) -> (Vec<DayUse>, Stored) {
        let day = self.open_day(zone, now);
        let most = self.used_on(day).saturating_sub(self.aside).saturating_add(bytes.max(AHEAD));
        let given = most - self.entry(day + 1).out();
        let mut rows = self.days();
        let name = local::day_name(day);
        match rows.iter_mut().find(|row| row.day == name) {
            Some(row) => row.given = given,
            None => rows.push(DayUse { day: name, given, received: 0 }),
        }
        (rows, Stored { day, most })
    }
    /// So many bytes will go out today whatever is refused (acknowledgements): they count as used until others take their place.
    pub fn set_aside(&mut self, bytes: u64) {
        self.aside = bytes;
    }
    /// What was stored last holds nothing ahead.
    pub fn nothing_stored(&mut self) {
        self.stored = None;
    }
    /// What [`Ledger::write_ahead`] gave is stored, synced.
    pub fn stored(&mut self, stored: Stored) {
        self.stored = Some((stored.day, stored.most));
    }
    /// Today.
    fn open_day(&mut self, zone: &TimeZone, now: UnixSeconds) -> i64 {
        let day = local::day(zone, seconds(now));
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
    /// Old days, but never this one: it may be the oldest by a clock that was put back.
    fn forget(&mut self, today: i64) {
        while self.days.len() > DAYS
            && let Some(oldest) = self.days.keys().copied().find(|day| *day != today)
        {
            self.days.remove(&oldest);
        }
    }
}

/// What has been stored ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    day: i64,
    most: u64,
}
