//! The schedule: when a machine may download, install and share, and how fast.
//!
//! Everything here is pure. The inputs are signals, the user's choice, the administrator's policy, the order, the time
//! and the time zone. [`decide()`] returns a [`Verdict`], and [`next_change`] returns when to ask again, so that an
//! idle machine can sleep. [`site_budget`] divides the budget of a site. [`upload_quota`] keeps the daily upload quota, [`idle_detector`] detects idleness from
//! processor samples, [`cross_traffic`] lets a transfer yield to other programs on this machine, and [`sentences`]
//! turns a verdict into a sentence. The types are defined in `banyan_proto::schedule`.
//!
//! The stricter limit wins, and the verdict says who set it. A deadline overrides windows, wishes, pauses and
//! full-screen programs, but never checks: disk, battery, power saver, metered networks and rate limits still apply
//! after it.
//!
//! Windows, deadlines and days follow wall-clock time, because users expect that. A machine whose clock is set forward
//! therefore transfers early. This is safe: before an install, the server issues the install permit by its own clock.
//! Signals age by monotonic time.

mod clock;
mod conditions;
pub mod cross_traffic;
mod decide;
mod effective_settings;
pub mod idle_detector;
mod local_time;
pub mod sentences;
mod signals;
pub mod site_budget;
pub mod upload_quota;
mod user_request;

pub use banyan_proto::schedule::Verdict;
pub use clock::{ClockWatch, Moment, adjust_to_clock_step, day_name, tomorrow, tonight};
pub use decide::{Wake, deadline, decide, is_background, next_change};
pub use effective_settings::{OutOfBounds, check_choice, effective_give_way, effective_quota, effective_rates};
pub use signals::{DiskSpace, Signal, Signals};
pub use user_request::{RequestError, apply_to_choice, apply_wish};

use banyan_proto::{
    UnixSeconds,
    schedule::{Choice, Policy, Window, Wish},
};
use jiff::tz::TimeZone;
use upload_quota::DailyUsage;

/// Seconds since 1970, signed for arithmetic.
pub(crate) type Seconds = i64;

/// Everything a verdict depends on, except the time.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The machine's time zone.
    pub zone: &'a TimeZone,
    /// The conditions detected on the machine.
    pub signals: &'a Signals,
    /// The user's choice; `None` until the user has chosen.
    pub choice: Option<&'a Choice>,
    /// The administrator's policy.
    pub policy: &'a Policy,
    /// The usage history with today's uploads.
    pub usage: &'a DailyUsage,
    /// The order in question; `None` for the machine in general.
    pub task: Option<&'a Task>,
}

/// What a verdict needs to know about one order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Task {
    /// When the order was signed.
    pub issued: UnixSeconds,
    /// When this machine first received it.
    pub seen: UnixSeconds,
    /// The order's window.
    pub window: Window,
    /// The order's deadline.
    pub deadline: Option<UnixSeconds>,
    /// The user's wish for this order.
    pub wish: Wish,
}
