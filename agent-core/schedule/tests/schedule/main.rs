//! Tests of when a machine may transfer and install, through the public API. Each module tests one promise; `Case` sets
//! up the situation. Time zones are given as rules, so that nothing depends on this computer's time zone.

mod case;
mod pace;

mod every_minute;
mod quota;
mod said;
mod stricter_wins;
mod whose_will;
mod window_table;
