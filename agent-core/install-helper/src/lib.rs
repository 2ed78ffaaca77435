//! The installer: a small separate process, the only one with privileges, started for one job.
//!
//! ```text
//! agent ──(stdin = the artifact's open file, one argument = the call's file)──▶ banyan-install-helper ──(one JSON line)──▶ agent
//! ```
//!
//! The agent may have fewer privileges than the installer, and an attacker may have taken it over. So the installer
//! trusts nothing the agent says. A job consists of documents signed by publishers and server. `check` verifies them
//! against the installer's own `record` of trusted keys, minimum sequences and the newest order.
//!
//! The agent may still be able to write to the artifact through the handle, so the installer reads the handle only
//! once. It hashes the bytes while it copies them into its own folder, and then works on the copy.
//!
//! The steps (`engine` has the state machine): recover what an earlier run left → detect → room → stage → inspect →
//! write the intent (synced) → apply → probe → settle, or undo. A run killed between or inside any of these leaves its
//! `journal`. The next start then finds the install complete, finishes it, or undoes it.
//!
//! A personal installer, without privileges and without a server, also installs what its user wants and no server
//! ordered (`alone`).
//!
//! Each kind of package implements one trait (`method`): `archive` and `deb`. Code for each operating system is in
//! `sys`.

pub mod client;
mod command;
mod engine;
mod error;
mod methods;
pub mod priority;
pub mod process;
pub mod protocol;
mod release;
mod standalone;
mod storage;
mod sys;
mod verification;

/// Whether this process, and so an installer that it starts unchanged, has more privileges than the user who started
/// it.
#[must_use]
pub fn has_privileges() -> bool {
    sys::has_privileges()
}

#[cfg(all(test, unix))]
mod tests;

pub use protocol::{AloneJob, Believes, Call, Enrolled, Finished, Job, Outcome, WithoutRestore};
