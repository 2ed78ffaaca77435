//! What the promises are written in: a [`World`] of real processes on loopback.

pub mod package;
pub mod programs;
pub mod world;

pub use world::{Agent, World};
