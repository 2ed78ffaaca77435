//! What the promises are written in: a [`World`] of real processes on loopback, and a [`hostile`] machine that is
//! enrolled like any other and then does not keep the rules.

pub mod hostile;
pub mod package;
pub mod programs;
pub mod world;

pub use world::{Agent, World};
