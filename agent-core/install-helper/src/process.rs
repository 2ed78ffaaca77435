//! The installer process: reads one call and prints one line.
//!
//! Usage: `banyan-install-helper --data DIR [--root DIR] CALL`, with the artifact as standard input. The folders are set
//! where the installer is allowed to run with privileges (for example in a sudo rule), never by the call. A caller who
//! could choose the folder could supply another trust record.
//!
//! Administrators run `banyan-install-helper --data DIR --join CODE` before the agent's first start. From then on the
//! installer accepts only the publishers' root in that join code.

use crate::{
    engine::Engine,
    error::Trouble,
    protocol::{AloneJob, Believes, Call, Finished, Job, Outcome},
    standalone,
    storage::{
        free_space::Disks,
        layout::{Folders, Layout},
    },
    sys,
    verification::trust_record,
};
use banyan_proto::{Reason, UnixSeconds, join::JoinCode, limits};
use serde::Serialize;
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Maximum size of a call (bytes): manifest and metadata as JSON texts within JSON.
const CALL_BYTES: u64 = 2 * (limits::PACKAGE_HEAD_BYTES + limits::HTTP_BODY_BYTES) as u64;

/// Exit code of a job that must be tried again: `EX_TEMPFAIL`.
const WAITS: u8 = 75;
/// Exit code of an invalid call.
const USAGE: u8 = 64;

/// Runs the installer with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os().skip(1))
}

/// Runs the installer as a subcommand of another program: `arguments` are those after the subcommand.
///
/// Exit codes: 0 installed or trusted, 1 failed, 75 try again later, 64 usage error (no line is printed then).
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    sys::forget_callers_mask();
    let asked = match Asked::read(arguments).and_then(|asked| Ok((asked.folders()?, asked.what()?))) {
        Ok(asked) => asked,
        Err(why) => {
            // The reader may have gone.
            let _ = writeln!(io::stderr(), "banyan-install-helper: {why}");
            return ExitCode::from(USAGE);
        }
    };
    let (folders, what) = asked;
    match what {
        What::Install(job) => {
            crate::priority::give_way(!job.urgent);
            finished(&install(&folders, &job))
        }
        What::InstallAlone(job) => {
            // A user is waiting for this install, so it does not yield.
            crate::priority::give_way(false);
            finished(&install_alone(&folders, &job))
        }
        What::StandAlone => {
            believed(Layout::open(&folders).and_then(|layout| standalone::stand_alone(&layout, sys::has_privileges())))
        }
        What::Forget(root) => {
            believed(Layout::open(&folders).and_then(|layout| standalone::forget(&layout, sys::has_privileges(), root)))
        }
        What::Believe(said) => {
            believed(Layout::open(&folders).and_then(|layout| trust_record::believe(&layout, &said)))
        }
        What::Join(code) => {
            believed(Layout::open(&folders).and_then(|layout| trust_record::name_root(&layout, code.root)))
        }
    }
}

/// Prints the answer. If the agent has gone, the next one sends the same call and gets the same answer.
fn answer(line: &impl Serialize) {
    let line = serde_json::to_string(line).unwrap_or_default();
    let _ = writeln!(io::stdout(), "{line}");
}

fn finished(finished: &Finished) -> ExitCode {
    answer(finished);
    ExitCode::from(match &finished.outcome {
        Outcome::Installed { .. } => 0,
        Outcome::Failed { .. } => 1,
        Outcome::Waits { .. } => WAITS,
    })
}

fn believed(result: Result<(), Trouble>) -> ExitCode {
    let (line, code) = match result {
        Ok(()) => (Believes::Yes, 0),
        Err(trouble) => (Believes::No { reason: trouble.reason(), detail: trouble.to_string() }, 1),
    };
    answer(&line);
    ExitCode::from(code)
}

/// Why the call cannot be carried out.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(
        "usage: banyan-install-helper --data DIR [--root DIR] CALL < ARTIFACT (started by the agent)\n       \
         banyan-install-helper --data DIR --join CODE (run by an administrator before the agent's first start)"
    )]
    Usage,
    #[error("{option} is given twice: only the rule that allows this program to run may set it")]
    Twice { option: &'static str },
    #[error("{option} {path:?} must be an absolute path, because the caller chooses the working folder")]
    Relative { option: &'static str, path: PathBuf },
    #[error(transparent)]
    Code(#[from] banyan_proto::join::JoinCodeError),
    #[error("could not read the call {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is not a valid call: {source}")]
    NotACall { path: PathBuf, source: serde_json::Error },
}

/// The parsed command line.
#[derive(Default)]
struct Asked {
    data: Option<OsString>,
    root: Option<OsString>,
    join: Option<OsString>,
    call: Option<OsString>,
}

enum What {
    Install(Box<Job>),
    Believe(crate::protocol::Enrolled),
    StandAlone,
    InstallAlone(Box<AloneJob>),
    Forget(banyan_proto::Digest),
    Join(JoinCode),
}

impl Asked {
    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, CallError> {
        let mut asked = Self::default();
        while let Some(argument) = arguments.next() {
            let (option, place) = match argument.to_str() {
                Some("--data") => ("--data", &mut asked.data),
                Some("--root") => ("--root", &mut asked.root),
                Some("--join") => ("--join", &mut asked.join),
                _ if asked.call.is_none() => {
                    asked.call = Some(argument);
                    continue;
                }
                _ => return Err(CallError::Usage),
            };
            if place.replace(arguments.next().ok_or(CallError::Usage)?).is_some() {
                return Err(CallError::Twice { option });
            }
        }
        Ok(asked)
    }
    fn folders(&self) -> Result<Folders, CallError> {
        let whole = |option, path: &OsString| {
            let path = PathBuf::from(path);
            if path.is_absolute() { Ok(path) } else { Err(CallError::Relative { option, path }) }
        };
        let data = whole("--data", self.data.as_ref().ok_or(CallError::Usage)?)?;
        let root = self.root.as_ref().map_or_else(|| Ok("/".into()), |root| whole("--root", root))?;
        Ok(Folders { data, root })
    }
    fn what(self) -> Result<What, CallError> {
        let path = match (self.call, self.join) {
            (None, Some(code)) => return Ok(What::Join(code.to_str().ok_or(CallError::Usage)?.parse()?)),
            (Some(path), None) => PathBuf::from(path),
            _ => return Err(CallError::Usage),
        };
        let mut bytes = Vec::new();
        let read = sys::open_named(&path).and_then(|file| file.take(CALL_BYTES).read_to_end(&mut bytes));
        if let Err(source) = read {
            return Err(CallError::Unreadable { path, source });
        }
        match serde_json::from_slice(&bytes) {
            Ok(Call::Install(job)) => Ok(What::Install(job)),
            Ok(Call::Believe(said)) => Ok(What::Believe(said)),
            Ok(Call::StandAlone) => Ok(What::StandAlone),
            Ok(Call::InstallAlone(job)) => Ok(What::InstallAlone(job)),
            Ok(Call::Forget(root)) => Ok(What::Forget(root)),
            Err(source) => Err(CallError::NotACall { path, source }),
        }
    }
}

fn install_alone(folders: &Folders, job: &AloneJob) -> Finished {
    let ended = the_artifact().and_then(|artifact| {
        standalone::install(folders, job, artifact, sys::has_privileges(), UnixSeconds::now(), &Disks)
    });
    ended.unwrap_or_else(|trouble| Finished { outcome: trouble.to_outcome(true), output: String::new() })
}

fn install(folders: &Folders, job: &Job) -> Finished {
    let opened = the_artifact().and_then(|artifact| Engine::open(folders, job, artifact, UnixSeconds::now(), &Disks));
    match opened {
        Err(trouble) => Finished { outcome: trouble.to_outcome(true), output: String::new() },
        Ok(mut engine) => {
            let outcome = engine.run();
            Finished { outcome, output: engine.talk.text() }
        }
    }
}

fn the_artifact() -> Result<File, Trouble> {
    artifact()
        .map_err(|error| Trouble::because(Reason::InternalError, format!("standard input is not a file: {error}")))
}

/// Returns standard input as a file.
fn artifact() -> io::Result<File> {
    #[cfg(unix)]
    let handle = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
    #[cfg(windows)]
    let handle = std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned()?;
    Ok(handle.into())
}
