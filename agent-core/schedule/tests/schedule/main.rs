//! Tests of when a machine may transfer and install, through the public API. Each module tests one promise; `Case` sets
//! up the situation. Time zones are given as rules, so that nothing depends on this computer's time zone.

mod case;
mod cross_traffic;

mod next_change;
mod precedence;
mod sentences;
mod site_budget;
mod stricter_limit_wins;
mod upload_quota;
mod windows;
