//! Swarm tests: many machines and the server, driven over a simulated network with a virtual clock. Each module tests
//! one promise, using `World`.

mod address_lists;
mod chunk_transfer;
mod networks;
mod simulated_host;
mod simulated_network;

mod delegation;
mod flow_reports;
mod head_failures;
mod hostile_input;
mod install_stages;
mod known_links;
mod makespan;
mod malicious_peers;
mod network_table;
mod parent_failure;
mod random_faults;
mod receiving_closed;
mod restart;
mod source_selection;
mod spreads;
mod undialable_machines;
mod undisturbed_swarm;
mod unequal_links;
mod upload_slots;

/// Returns the number of cases for a property test: `PROPTEST_CASES`, or `usual`.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}
