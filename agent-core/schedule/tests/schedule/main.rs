//! When a machine may transfer and install, tried from outside. One module for each promise; `Case` is what they are written
//! in. Time zones are given by their rules, so that nothing depends on this machine's.

mod case;
mod pace;

mod every_minute;
mod quota;
mod said;
mod stricter_wins;
mod whose_will;
mod window_table;
