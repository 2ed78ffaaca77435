//! Tests whole jobs, in folders that exist for one test.

mod alone;
mod archives;
mod commands;
mod crashes;
mod debs;
mod hostile_agent;
mod papers;
mod process;
mod whom_to_believe;
mod world;
