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
mod parent_dies;
mod responsibility;
mod restart;
mod turns;
mod undisturbed;
