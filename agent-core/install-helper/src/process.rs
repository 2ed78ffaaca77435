//! The install helper process: reads one request and prints one line.
//!
//! Usage: `banyan-install-helper --data DIR [--root DIR] REQUEST`, with the artifact as standard input. The folders are
//! set where the install helper is allowed to run with privileges (for example in a sudo rule), never by the request. A
//! caller who could choose the folder could supply another trust record.
//!
//! Administrators run `banyan-install-helper --data DIR --join-file FILE` before the agent's first start. From then on the
//! install helper accepts only the publishers' root in that join code.

use crate::{
    command_line::{Arguments, Task},
    engine::InstallEngine,
    error::InstallError,
    priority,
    protocol::{HelperRequest, InstallJob, InstallResult, Outcome, StandaloneJob, TrustAnswer},
    standalone,
    storage::{
        free_space::{self, RealDisks},
        layout::{HelperFolders, Layout},
    },
    sys,
    verification::trust_record,
};
use banyan_proto::{Reason, UnixSeconds};
use serde::Serialize;
use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    process::ExitCode,
};

/// Exit code of a job that must be tried again: `EX_TEMPFAIL`.
const EXIT_TRY_AGAIN: u8 = 75;
/// Exit code of an invalid request.
const EXIT_USAGE: u8 = 64;

/// Runs the install helper with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os().skip(1))
}

/// Runs the install helper as a subcommand of another program: `arguments` are those after the subcommand.
///
/// Exit codes: 0 installed or trusted, 1 failed, 75 try again later, 64 usage error (no line is printed then).
#[must_use]
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    sys::reset_umask();
    sys::limit_open_files();
    sys::fail_beyond_file_size_limit();
    let parsed = Arguments::parse(arguments).and_then(|arguments| Ok((arguments.folders()?, arguments.into_task()?)));
    let (folders, task) = match parsed {
        Ok(parsed) => parsed,
        Err(why) => {
            // The reader may have gone.
            let _ = writeln!(io::stderr(), "banyan-install-helper: {why}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match task {
        Task::Request(HelperRequest::Install(job)) => {
            priority::set_low_priority(!job.urgent);
            print_result(&install(&folders, &job))
        }
        Task::Request(HelperRequest::InstallStandalone(job)) => {
            // A user is waiting for this install, so it does not yield.
            priority::set_low_priority(false);
            print_result(&install_standalone(&folders, &job))
        }
        Task::Request(HelperRequest::SetPersonal) => {
            let set = |layout: Layout| standalone::set_personal(&layout, sys::has_privileges());
            print_trust_answer(Layout::open(&folders).and_then(set))
        }
        Task::Request(HelperRequest::ForgetPublisher(root)) => {
            let forget = |layout: Layout| standalone::forget_publisher(&layout, sys::has_privileges(), root);
            print_trust_answer(Layout::open(&folders).and_then(forget))
        }
        Task::Request(HelperRequest::SetTrust(identity)) => {
            let set = |layout: Layout| trust_record::set_trust(&layout, &identity);
            print_trust_answer(Layout::open(&folders).and_then(set))
        }
        Task::PinRoot(code) => {
            let pin = |layout: Layout| trust_record::pin_root(&layout, code.root);
            print_trust_answer(Layout::open(&folders).and_then(pin))
        }
    }
}

/// Prints the answer. If the agent has gone, the next one sends the same request and gets the same answer.
fn print_line(line: &impl Serialize) {
    let line = serde_json::to_string(line).unwrap_or_default();
    let _ = writeln!(io::stdout(), "{line}");
}

fn print_result(result: &InstallResult) -> ExitCode {
    print_line(result);
    ExitCode::from(match &result.outcome {
        Outcome::Installed { .. } => 0,
        Outcome::Failed { .. } => 1,
        Outcome::Waits { .. } => EXIT_TRY_AGAIN,
    })
}

fn print_trust_answer(result: Result<(), InstallError>) -> ExitCode {
    let (line, code) = match result {
        Ok(()) => (TrustAnswer::Accepted, 0),
        Err(error) => (TrustAnswer::Refused { reason: error.reason(), detail: error.to_string() }, 1),
    };
    print_line(&line);
    ExitCode::from(code)
}

fn install_standalone(folders: &HelperFolders, job: &StandaloneJob) -> InstallResult {
    let result = artifact_from_stdin().and_then(|artifact| {
        standalone::install(folders, job, artifact, sys::has_privileges(), UnixSeconds::now(), &RealDisks)
    });
    explain(
        folders,
        result.unwrap_or_else(|error| InstallResult { outcome: error.to_outcome(true), output: String::new() }),
    )
}

/// Says of a full disk whether it lacks space or files.
fn explain(folders: &HelperFolders, result: InstallResult) -> InstallResult {
    let InstallResult { outcome, output } = result;
    let outcome = free_space::explain_full_disk(&RealDisks, [&folders.data, &folders.root], outcome);
    InstallResult { outcome, output }
}

fn install(folders: &HelperFolders, job: &InstallJob) -> InstallResult {
    let opened = artifact_from_stdin()
        .and_then(|artifact| InstallEngine::open(folders, job, artifact, UnixSeconds::now(), &RealDisks));
    let result = match opened {
        Err(error) => InstallResult { outcome: error.to_outcome(true), output: String::new() },
        Ok(mut engine) => {
            let outcome = engine.run();
            InstallResult { outcome, output: engine.log.tail() }
        }
    };
    explain(folders, result)
}

fn artifact_from_stdin() -> Result<File, InstallError> {
    sys::stdin_as_file()
        .map_err(|error| InstallError::new(Reason::InternalError, format!("standard input is not a file: {error}")))
}
