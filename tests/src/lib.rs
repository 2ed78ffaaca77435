//! What the promises are written in: a [`World`] of real processes on loopback.

pub mod by_hand;
pub mod package;
pub mod programs;
pub mod users;
pub mod world;

pub use world::{Agent, World};
