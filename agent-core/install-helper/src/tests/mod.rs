//! Tests whole jobs, in folders that exist for one test.

mod archive_installs;
mod crash_recovery;
#[cfg(target_os = "linux")]
mod deb_attributes;
mod deb_builder;
#[cfg(target_os = "linux")]
mod deb_configuration;
mod deb_installs;
mod deb_losses;
mod deb_plans;
#[cfg(target_os = "linux")]
mod deb_power_cuts;
mod deb_restores;
mod deb_states;
mod ended_helper;
mod external_commands;
mod helper_process;
mod hostile_agent;
#[cfg(target_os = "linux")]
mod memory_limits;
mod other_kinds;
mod real_mounts;
mod request_format;
mod signed_documents;
mod standalone;
mod test_machine;
mod test_mount;
mod trust_setup;
mod versions_in_use;
