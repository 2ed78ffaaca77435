//! The installer: a separate small process, the only one with privileges, started for one job.
//!
//! ```text
//! agent ──(stdin = the artifact's open file, one argument = the call's file)──▶ banyan-installer ──(one JSON line)──▶ agent
//! ```
//!
//! The agent may run with fewer rights than the installer, and somebody may have taken it over. So the installer believes
//! nothing the agent says: a job is made of documents that publishers and server signed, and `check` verifies them
//! against the installer's own `record` of whom to believe, of floors, and of the newest order. Nor is anything that was
//! checked read a second time from the handle, which the agent may still be able to write through: the bytes are hashed
//! while they are copied into the installer's own folder, and everything after that works on the copy.
//!
//! What happens, one step at a time (`engine` is the table of steps): recover what an earlier run left → detect →
//! room → stage → inspect → write down the intent (synced) → apply → probe → settle, or undo. A run that is killed
//! between or inside any two of these is recognised at the next start by its `journal` and is found complete,
//! finished, or undone.
//!
//! A person's own installer, without privileges and without a server, also takes what that person wants and no server
//! ordered (`alone`).
//!
//! The kinds of package stand behind one trait (`method`): `archive` and `deb`. What differs by operating system
//! stands in `sys`.

mod alone;
mod archive;
mod check;
pub mod client;
mod command;
mod deb;
mod dpkg;
mod engine;
mod job;
mod journal;
mod layout;
mod method;
pub mod process;
mod record;
mod room;
mod staging;
mod sys;
mod trouble;

/// Whether this process, and so an installer that it starts as it is, may do more than the person who started it.
pub(crate) fn has_privileges() -> bool {
    sys::has_privileges()
}

#[cfg(all(test, unix))]
mod tests;

pub use job::{AloneJob, Believes, Call, Enrolled, Finished, Job, Outcome, WithoutRestore};
