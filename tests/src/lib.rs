//! The tools for writing promise tests: a [`TestNetwork`] of real processes on loopback, and a [`test_desktop`] for
//! real windows.

pub mod enrolment;
pub mod evil_agent;
#[cfg(target_os = "linux")]
pub mod fake_clock;
pub mod inspecting_proxy;
#[cfg(target_os = "linux")]
pub mod nginx;
pub mod process_cost;
pub mod programs;
pub mod session_user;
pub mod sideload;
pub mod simulated_fleet;
pub mod simulated_processor;
pub mod standalone_agent;
#[cfg(target_os = "linux")]
pub mod test_desktop;
#[cfg(target_os = "linux")]
pub mod test_mount;
pub mod test_network;
pub mod test_package;
pub mod virtual_network;

#[cfg(target_os = "linux")]
pub use fake_clock::FakeClock;
pub use test_network::{Agent, TestNetwork};
