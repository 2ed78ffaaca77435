//! The swarm: many machines and the server, driven over a fake network with a virtual clock. One module for each promise;
//! `World` is what they are written in.

mod content;
mod host;
mod plan;
mod world;

mod choosing;
mod everyone_gets_it;
mod foreign_input;
mod handing_on;
mod install_order;
mod liars;
mod makespan;
mod may_not_receive;
mod parent_dies;
mod responsibility;
mod restart;
mod turns;
mod undisturbed;

/// How many cases a property is tried with: `PROPTEST_CASES`, or so many.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}
