//! The tools for writing promise tests: a [`World`] of real processes on loopback, and a [`stage`] for real windows.

pub mod alone;
pub mod by_hand;
pub mod package;
pub mod process;
pub mod programs;
#[cfg(target_os = "linux")]
pub mod stage;
pub mod users;
pub mod world;

pub use world::{Agent, World};
