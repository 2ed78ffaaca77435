//! The installer process: one job in, one line out.
//!
//! Usage: `banyan-installer [--data DIR] [--root DIR] JOB`, with the artifact as standard input. The options overrule the
//! job: whoever lets an agent without privileges start the installer with privileges (in sudo's rules, say) fixes the
//! folders there.

use super::{
    engine::{Engine, outcome_of},
    job::{Finished, Job, Outcome},
    room::Disks,
    trouble::Trouble,
};
use banyan_proto::{Reason, limits};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Largest job file (bytes): the manifest as a JSON text within JSON.
const JOB_BYTES: u64 = 2 * limits::MANIFEST_BYTES as u64;

/// Exit code of a job that is to be tried again: `EX_TEMPFAIL`.
const WAITS: u8 = 75;
/// Exit code of a call that makes no sense.
const USAGE: u8 = 64;

/// The whole program, with the arguments it was called with.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os().skip(1))
}

/// The same, for programs that have the installer as a verb of theirs: `arguments` are those after the verb.
///
/// Exit codes: 0 installed, 1 failed, 75 to be tried again, 64 not called correctly (no line is written then).
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let job = match read_job(arguments) {
        Ok(job) => job,
        Err(why) => {
            // Nobody may be listening any more.
            let _ = writeln!(io::stderr(), "banyan-installer: {why}");
            return ExitCode::from(USAGE);
        }
    };
    let finished = carry_out(job);
    let code = match &finished.outcome {
        Outcome::Installed { .. } => 0,
        Outcome::Failed { .. } => 1,
        Outcome::Waits { .. } => WAITS,
    };
    // The agent may be gone. Then the next one asks again, and is told the same.
    let line = serde_json::to_string(&finished).unwrap_or_default();
    let _ = writeln!(io::stdout(), "{line}");
    ExitCode::from(code)
}

/// Why there is no job.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("usage: banyan-installer [--data DIR] [--root DIR] JOB < ARTIFACT (the agent calls it)")]
    Usage,
    #[error("reading the job {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the job {path} is not one: {source}")]
    NotAJob { path: PathBuf, source: serde_json::Error },
}

fn read_job(mut arguments: impl Iterator<Item = OsString>) -> Result<Job, CallError> {
    let (mut data, mut root, mut path) = (None, None, None);
    while let Some(argument) = arguments.next() {
        let target = match argument.to_str() {
            Some("--data") => &mut data,
            Some("--root") => &mut root,
            _ if path.is_none() => {
                path = Some(PathBuf::from(argument));
                continue;
            }
            _ => return Err(CallError::Usage),
        };
        *target = Some(PathBuf::from(arguments.next().ok_or(CallError::Usage)?));
    }
    let path = path.ok_or(CallError::Usage)?;
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(JOB_BYTES).read_to_end(&mut bytes));
    if let Err(source) = read {
        return Err(CallError::Unreadable { path, source });
    }
    let mut job: Job = serde_json::from_slice(&bytes).map_err(|source| CallError::NotAJob { path, source })?;
    job.data_dir = data.unwrap_or(job.data_dir);
    job.install_root = root.unwrap_or(job.install_root);
    Ok(job)
}

fn carry_out(job: Job) -> Finished {
    let opened = artifact()
        .map_err(|error| Trouble::because(Reason::InternalError, format!("standard input is not a file: {error}")))
        .and_then(|artifact| Engine::open(job, artifact, &Disks));
    match opened {
        Err(trouble) => Finished { outcome: outcome_of(&trouble, true), output: String::new() },
        Ok(mut engine) => {
            let outcome = engine.run();
            Finished { outcome, output: engine.talk.text() }
        }
    }
}

/// Standard input, as the file that it is.
fn artifact() -> io::Result<File> {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned()?;
    Ok(handle.into())
}
