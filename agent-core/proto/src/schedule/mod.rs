//! Schedules, policies and verdicts: when a machine may transfer and install.
//!
//! These types travel in orders, policies and the local API. They are data only. `banyan-schedule`, which also handles
//! local time, makes the decisions.

mod background;
mod choice;
mod policy;
mod signal;
mod verdict;
mod week;
mod window;

pub use background::{Background, CongestionControl, Dscp};
pub use choice::{Choice, GiveWay, Overrule, Pause, Wish};
pub use policy::{Bounds, ByHand, Catalogue, Charge, Deadline, Kind, Policy, Rules, Who};
pub use signal::{Load, Network, NetworkId, Power, Presence};
pub use verdict::{Announcement, By, DayUse, Gate, Limit, Priority, Rate, Stage, Unquiet, Verdict, Why};
pub use week::{Night, Week};
pub use window::{Window, WindowError};
