//! The install helper: a small separate process, the only one with privileges, started for one job.
//!
//! ```text
//! agent ──(stdin = the artifact, one argument = the request file)──▶ banyan-install-helper ──(JSON line)──▶ agent
//! ```
//!
//! The agent may have fewer privileges than the helper, and an attacker may have taken it over. So the helper trusts
//! nothing the agent says. A job consists of documents signed by publishers and server. `verification` checks them
//! against the helper's own records of trusted keys, minimum sequences and the newest order.
//!
//! The agent may still be able to write to the artifact through the handle, so the helper reads the handle only once.
//! It hashes the bytes while it copies them into its own folder, and then works on the copy.
//!
//! Archives and debs are separate lanes: one job of each runs at a time, and an archive never waits for dpkg.
//!
//! The steps (`engine` has the state machine): recover what an earlier run left → detect → check free space → stage →
//! inspect → write the intent (synced) → apply → probe → clean up, or undo. A run killed between or inside any of these
//! leaves its journal. The next start then finds the install complete, finishes it, or undoes it.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`process`], `command_line` | the process: one request in, one answer out |
//! | [`client`] | the agent's side: starts the process |
//! | [`protocol`] | what both sides say to each other |
//! | `engine` | the state machine of one install |
//! | `interrupted_steps` | how often a step may end the install helper |
//! | `standalone` | a personal helper, without privileges and without a server: installs what its user wants |
//! | `verification` | jobs and the records they are checked against |
//! | `methods` | one install method for each kind of package: archives, Debian packages |
//! | `package_state` | dpkg's words for the state of a package |
//! | `file_attributes` | owner, mode, times and extended attributes of a file as data |
//! | `storage` | the helper's own folder: layout, journal, staged copy, free space |
//! | `command` | runs publishers' commands and dpkg |
//! | `probe` | the commands that look at a release |
//! | `sys` | code for each operating system |

pub mod client;
mod command;
mod command_line;
mod engine;
mod error;
mod file_attributes;
mod interrupted_steps;
mod methods;
mod package_state;
pub mod priority;
mod probe;
pub mod process;
pub mod protocol;
mod release;
mod standalone;
mod storage;
mod sys;
mod verification;

/// Whether this process, and so a helper that it starts unchanged, has more privileges than the user who
/// started it.
#[must_use]
pub fn has_privileges() -> bool {
    sys::has_privileges()
}

#[cfg(all(test, unix))]
mod tests;

pub use protocol::{EnrolledIdentity, HelperRequest, InstallJob, InstallResult, Outcome, StandaloneJob, TrustAnswer};
