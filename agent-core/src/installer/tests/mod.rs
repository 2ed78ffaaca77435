//! Whole jobs, in folders that exist for one test.

mod archives;
mod commands;
mod crashes;
mod debs;
mod process;
mod world;
