//! `banyan demo`: a complete deployment on one computer.
//!
//! Server and agents are separate processes (this program, started again). The administrator's steps call the functions
//! of the commands. The processes and the folder are removed in every case: at the end of [`run`], or, if this process
//! is killed, because the children's standard input is then closed.

pub(crate) mod args;
mod debian_requirements;
mod input_file;
mod processes;
mod sample_package;
mod scenario;
mod summary;

use crate::{
    demo::args::Args,
    output::{Exit, Failure, WithContext as _, print_note, sanitise},
    platform,
};
use banyan_proto::arguments;
use processes::{DemoProcesses, UnexpectedExit};
use std::path::Path;

/// A demo that failed.
struct DemoFailure {
    failure: Failure,
    /// The process whose log may contain the cause.
    suspect: Option<String>,
}

impl From<Failure> for DemoFailure {
    fn from(failure: Failure) -> Self {
        Self { failure, suspect: None }
    }
}

/// The number of log lines shown after a failure.
const LOG_LINES: usize = 20;

pub(crate) async fn run(args: &Args) -> Result<Exit, Failure> {
    let folder =
        tempfile::Builder::new().prefix("banyan-demo-").tempdir().with_context(|| "make a temporary folder".into())?;
    arguments::check_path("the folder for temporary files", folder.path()).map_err(|error| {
        let next = "pass another folder for temporary files: `TMPDIR=FOLDER banyan demo`";
        Failure::new("run the demo", error.to_string(), next)
    })?;
    if platform::forbids_programs(folder.path()) {
        let place = std::env::temp_dir();
        return Err(Failure::new(
            "run the demo",
            format!("its machines install below {}, from where no program may be started (noexec)", place.display()),
            "pass another folder for temporary files: `TMPDIR=FOLDER banyan demo`",
        ));
    }
    let (mut processes, mut ends) = DemoProcesses::new(folder.path());
    let outcome = tokio::select! {
        biased;
        Ok(()) = platform::wait_for_interrupt() => Err(interrupted(args.keep)),
        Some(ended) = ends.recv() => Err(unexpected_exit(ended)),
        outcome = scenario::run_scenario(args, folder.path(), &mut processes) => outcome,
    };
    if outcome.is_err() && console::Term::stderr().is_term() {
        // Start below the drawn tree.
        print_note("");
    }
    processes.stop().await;
    if let Err(DemoFailure { suspect: Some(name), .. }) = &outcome {
        show_log(folder.path(), name);
    }
    remove_folder(folder, args.keep)?;
    outcome.map_err(|broken| broken.failure)
}

fn interrupted(keep: bool) -> DemoFailure {
    let next = if keep { "start it again" } else { "start it again; all temporary files were removed" };
    Failure::new("finish the demo", "it was interrupted", next).with_exit(Exit::Interrupted).into()
}

fn unexpected_exit(UnexpectedExit { name, status }: UnexpectedExit) -> DemoFailure {
    let next = "check the end of its log above; `banyan demo --keep` keeps all logs";
    DemoFailure {
        failure: Failure::new("finish the demo", format!("{name} exited unexpectedly ({status})"), next),
        suspect: Some(name),
    }
}

/// Prints the end of a child's log to standard error.
fn show_log(folder: &Path, name: &str) {
    let Ok(text) = std::fs::read(processes::log_path(folder, name)) else { return };
    let text = sanitise(&console::strip_ansi_codes(&String::from_utf8_lossy(&text)));
    let lines: Vec<&str> = text.lines().collect();
    print_note(&format!("end of the log of {name}:"));
    for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
        print_note(&format!("  | {line}"));
    }
}

fn remove_folder(folder: tempfile::TempDir, keep: bool) -> Result<(), Failure> {
    if keep {
        let path = folder.keep();
        print_note(&format!(
            "all data and logs are in {}; remove that folder when you no longer need it",
            path.display()
        ));
        return Ok(());
    }
    let path = folder.path().display().to_string();
    folder.close().with_context(|| format!("remove the temporary folder {path}"))
}
