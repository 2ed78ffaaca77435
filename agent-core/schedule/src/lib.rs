//! When a machine may receive, install and pass on, and how fast.
//!
//! Everything here is pure: signals, the person's choice, the administrator's policy, the order, the time and the time zone
//! go in, a [`Verdict`] comes out, and [`next_change`] says when to ask again, so that an idle machine sleeps.
//! [`ledger`] keeps the daily upload quota, [`idleness`] turns processor samples into idleness, [`pace::others`] lets a
//! transfer give way to this machine's other programs, [`say`] puts a verdict into a sentence. The words are `banyan_proto::schedule`'s.
//!
//! The stricter limit wins, and the verdict says whose it was. A deadline overrides windows, wishes, pauses and full-screen
//! programs, never checks: disk, battery, power saver, metered networks and limits count after it too.
//!
//! Wall-clock time decides windows, deadlines and days, because people mean the clock on the wall; so a machine whose clock
//! is put forward transfers early. Nothing unsafe follows: before an install the server, by its own clock, gives
//! the go-ahead. Signals age by monotonic time.

mod clock;
mod conditions;
mod decide;
pub mod idleness;
pub mod ledger;
mod local;
pub mod pace;
pub mod say;
mod settle;
mod signals;

pub use banyan_proto::schedule::Verdict;
pub use clock::{ClockWatch, Moment, after_clock_step, day_name, tomorrow, tonight};
pub use decide::{Wake, deadline, decide, next_change};
pub use settle::{OutOfBounds, check_choice, give_way, quota, rates};
pub use signals::{Signal, Signals};

use banyan_proto::{
    UnixSeconds,
    schedule::{Choice, Policy, Window, Wish},
};
use jiff::tz::TimeZone;
use ledger::Ledger;

/// Seconds since 1970, signed for arithmetic.
pub(crate) type Seconds = i64;

/// Everything a verdict depends on, save the time.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Where the machine is.
    pub zone: &'a TimeZone,
    /// What it sees of itself.
    pub signals: &'a Signals,
    /// What its people chose; none as long as they have not.
    pub choice: Option<&'a Choice>,
    /// What the administrator laid down.
    pub policy: &'a Policy,
    /// What was passed on today.
    pub ledger: &'a Ledger,
    /// The order that is asked about; none for the machine in general.
    pub task: Option<&'a Task>,
}

/// What a verdict needs to know of one order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Task {
    /// When the order was signed.
    pub issued: UnixSeconds,
    /// When this machine first heard of it.
    pub seen: UnixSeconds,
    /// The order's window.
    pub window: Window,
    /// The order's deadline.
    pub deadline: Option<UnixSeconds>,
    /// What the person wants with it.
    pub wish: Wish,
}
