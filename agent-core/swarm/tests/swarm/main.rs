//! Swarm tests: many machines and the server, driven over a simulated network with a virtual clock. Each module tests
//! one promise, using `World`.

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

/// Returns the number of cases for a property test: `PROPTEST_CASES`, or `usual`.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}
