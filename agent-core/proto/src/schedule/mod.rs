//! When a machine may transfer and install: what its people choose, what administrators lay down, and what comes of it.
//!
//! These are the words that travel (orders, policies, the local API). What is decided from them is decided in
//! `banyan-schedule`, which also knows about local time; here is only data, so that every face speaks of the same thing.

mod choice;
mod policy;
mod signal;
mod verdict;
mod week;
mod window;

pub use choice::{Choice, GiveWay, Overrule, Pause, Wish};
pub use policy::{Bounds, ByHand, Catalogue, Charge, Deadline, Kind, Policy, Rules, Who};
pub use signal::{Load, Network, NetworkId, Power, Presence};
pub use verdict::{Announcement, By, DayUse, Gate, Limit, Pace, Rate, Stage, Unquiet, Verdict, Why};
pub use week::{Night, Week};
pub use window::{Window, WindowError};
