//! Personal mode (`--personal`): runs an agent without root and without installing Banyan. The agent is a child process
//! that keeps its data in the person's folders and lasts as long as the tray.
//!
//! The agent is a process and not a thread, so it is the same program as on every other machine and the tray stays small.
//! It exits when its standard input closes, so it ends with the tray however the tray ends.

use crate::sibling_program::sibling_program;
use anyhow::Context;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Waits before an agent that exited is restarted; the last one repeats.
const RESTART_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// An agent that ran this long did not fail at startup.
const HEALTHY_RUN: Duration = Duration::from_secs(60);

/// Returns the agent's data folder.
///
/// # Errors
/// Fails when this person has no data folder.
pub(crate) fn data_folder() -> anyhow::Result<PathBuf> {
    let own = directories::BaseDirs::new().context("finding your data folder: HOME is not set")?;
    Ok(own.data_local_dir().join("banyan").join("agent"))
}

/// Starts the agent, keeps it running and returns its socket.
///
/// # Errors
/// Fails when the folder cannot be created or the program cannot be started.
pub(crate) fn start(folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("creating the folder {}", folder.display()))?;
    let program = sibling_program("banyan-agent");
    let first = spawn(&program, folder).with_context(|| {
        format!("starting {} (--personal), which must be in the same folder as banyan-tray", program.display())
    })?;
    let data = folder.to_owned();
    thread::spawn(move || keep_running(first, &program, &data));
    Ok(folder.join("agent.sock"))
}

/// Starts the agent on any free port, because the system's agent may use the usual one. The agent reports its port to
/// the server.
fn spawn(program: &Path, folder: &Path) -> io::Result<Child> {
    let log = File::create(log_path(folder))?;
    let mut command = Command::new(program);
    command.arg("--data").arg(folder).args(["--listen", "0.0.0.0:0", "--exit-with-stdin"]);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("agent.log")
}

fn keep_running(mut child: Child, program: &Path, folder: &Path) -> ! {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        // `wait` would close the agent's standard input, which makes it exit.
        let stdin = child.stdin.take();
        let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        drop(stdin);
        failures = if begun.elapsed() > HEALTHY_RUN { 0 } else { (failures + 1).min(RESTART_DELAYS.len() - 1) };
        banyan_ui_common::print_error(&format!(
            "personal agent ended ({status}) and will be restarted; see {}",
            log_path(folder).display()
        ));
        child = loop {
            thread::sleep(RESTART_DELAYS[failures]);
            match spawn(program, folder) {
                Ok(child) => break child,
                Err(error) => banyan_ui_common::print_error(&format!("cannot start {}: {error}", program.display())),
            }
            failures = RESTART_DELAYS.len() - 1;
        };
    }
}
