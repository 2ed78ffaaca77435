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
    output::{Exit, Failure, Tried as _, clean, say},
    platform,
};
use processes::{Ended, Fleet};
use std::path::Path;

/// A demo that failed.
struct Broken {
    failure: Failure,
    /// The process whose log may contain the cause.
    guilty: Option<String>,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { failure, guilty: None }
    }
}

/// The number of log lines shown after a failure.
const TAIL: usize = 20;

pub(crate) async fn run(args: &Args) -> Result<Exit, Failure> {
    let folder =
        tempfile::Builder::new().prefix("banyan-demo-").tempdir().tried(|| "make a temporary folder".into())?;
    let (mut fleet, mut ends) = Fleet::new(folder.path());
    let outcome = tokio::select! {
        biased;
        Ok(()) = platform::interrupted() => Err(interrupted(args.keep)),
        Some(ended) = ends.recv() => Err(died(ended)),
        outcome = scenario::tell(args, folder.path(), &mut fleet) => outcome,
    };
    if outcome.is_err() && console::Term::stderr().is_term() {
        // Start below the drawn tree.
        say("");
    }
    fleet.stop().await;
    if let Err(Broken { guilty: Some(name), .. }) = &outcome {
        show_log(folder.path(), name);
    }
    put_away(folder, args.keep)?;
    outcome.map_err(|broken| broken.failure)
}

fn interrupted(keep: bool) -> Broken {
    let next = if keep { "start it again" } else { "start it again; all temporary files were removed" };
    Failure::new("finish the demo", "it was interrupted", next).ending(Exit::Interrupted).into()
}

fn died(Ended { name, status }: Ended) -> Broken {
    let next = "check the end of its log above; `banyan demo --keep` keeps all logs";
    Broken {
        failure: Failure::new("finish the demo", format!("{name} exited unexpectedly ({status})"), next),
        guilty: Some(name),
    }
}

/// Prints the end of a child's log to standard error.
fn show_log(folder: &Path, name: &str) {
    let Ok(text) = std::fs::read(processes::log_of(folder, name)) else { return };
    let text = clean(&console::strip_ansi_codes(&String::from_utf8_lossy(&text)));
    let lines: Vec<&str> = text.lines().collect();
    say(&format!("end of the log of {name}:"));
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        say(&format!("  | {line}"));
    }
}

fn put_away(folder: tempfile::TempDir, keep: bool) -> Result<(), Failure> {
    if keep {
        let path = folder.keep();
        say(&format!("all data and logs are in {}; remove that folder when you no longer need it", path.display()));
        return Ok(());
    }
    let path = folder.path().display().to_string();
    folder.close().tried(|| format!("remove the temporary folder {path}"))
}
