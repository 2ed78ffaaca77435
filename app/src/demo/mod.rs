//! `banyan demo`: the whole of it on one computer.
//!
//! Server and agents are processes of their own (this very program, started again); the administrator's steps are the
//! functions of the verbs. Whatever happens, the processes end and the folder goes: by the end of [`run`], and if this
//! process is killed, because the children's standard input then ends.

mod debian;
mod file;
mod fleet;
mod sample;
mod story;
mod summary;

use crate::{
    exit::Exit,
    failure::{Failure, Tried as _},
    output::{clean, say},
    system,
    verbs::demo::Args,
};
use fleet::{Ended, Fleet};
use std::path::Path;

/// A demo that did not get to its end.
struct Broken {
    failure: Failure,
    /// Whose log may tell more.
    guilty: Option<String>,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { failure, guilty: None }
    }
}

/// Lines of a log that are shown when something fails.
const TAIL: usize = 20;

pub(crate) async fn run(args: &Args) -> Result<Exit, Failure> {
    let folder =
        tempfile::Builder::new().prefix("banyan-demo-").tempdir().tried(|| "make a temporary folder".into())?;
    let (mut fleet, mut ends) = Fleet::new(folder.path());
    let outcome = tokio::select! {
        biased;
        Ok(()) = system::interrupted() => Err(interrupted(args.keep)),
        Some(ended) = ends.recv() => Err(died(ended)),
        outcome = story::tell(args, folder.path(), &mut fleet) => outcome,
    };
    if outcome.is_err() && console::Term::stderr().is_term() {
        // Below whatever was being drawn.
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
    let next = if keep { "start it again" } else { "start it again; nothing was left behind" };
    Failure::new("finish the demo", "it was interrupted", next).ending(Exit::Interrupted).into()
}

fn died(Ended { name, status }: Ended) -> Broken {
    let next = "look at the end of its log above; `banyan demo --keep` keeps all logs";
    Broken {
        failure: Failure::new("finish the demo", format!("{name} ended by itself ({status})"), next),
        guilty: Some(name),
    }
}

/// The end of a child's log, on standard error.
fn show_log(folder: &Path, name: &str) {
    let Ok(text) = std::fs::read(fleet::log_of(folder, name)) else { return };
    let text = clean(&console::strip_ansi_codes(&String::from_utf8_lossy(&text)));
    let lines: Vec<&str> = text.lines().collect();
    say(&format!("the end of the log of {name}:"));
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        say(&format!("  | {line}"));
    }
}

fn put_away(folder: tempfile::TempDir, keep: bool) -> Result<(), Failure> {
    if keep {
        let path = folder.keep();
        say(&format!("all data and logs are in {}; remove that folder when you have seen enough", path.display()));
        return Ok(());
    }
    let path = folder.path().display().to_string();
    folder.close().tried(|| format!("remove the temporary folder {path}"))
}
