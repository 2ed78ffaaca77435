//! `--own-agent`: Banyan tried without root and without installing anything. The agent runs as a process of this program, in
//! the person's own folders, for as long as the tray does.
//!
//! A process of its own and not a thread: what it is and how it ends is the same as on every other machine, and the tray
//! stays as small as it is. It ends when its standard input does, so nothing is left behind however the tray ends.

use anyhow::Context;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Waits before an agent that has ended is started again; the last one for ever.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// An agent that ran for so long did not fail at its start.
const RAN: Duration = Duration::from_secs(60);

/// Where it keeps everything.
///
/// # Errors
/// When this person has no folder for data.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let own = directories::BaseDirs::new().context("finding your folder for data: HOME is not set")?;
    Ok(own.data_local_dir().join("banyan").join("agent"))
}

/// Starts it and keeps it running; gives where it answers.
///
/// # Errors
/// When the folder cannot be made or the program cannot be started.
pub(crate) fn start(folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let program = program();
    let first = run(&program, folder)
        .with_context(|| format!("starting {} (--own-agent); it belongs beside banyan-tray", program.display()))?;
    let data = folder.to_owned();
    thread::spawn(move || keep(first, &program, &data));
    Ok(folder.join("agent.sock"))
}

/// It lies beside this program.
fn program() -> PathBuf {
    let name = format!("banyan-agent{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|tray| tray.parent().map(|folder| folder.join(&name)));
    beside.unwrap_or_else(|| name.into())
}

/// The service's port may be taken by this machine's own agent, so any free one is used: the server is told which.
fn run(program: &Path, folder: &Path) -> io::Result<Child> {
    let log = File::create(log(folder))?;
    let mut command = Command::new(program);
    command.arg("--data").arg(folder).args(["--listen", "0.0.0.0:0", "--exit-with-stdin"]);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()
}

fn log(folder: &Path) -> PathBuf {
    folder.join("agent.log")
}

fn keep(mut child: Child, program: &Path, folder: &Path) -> ! {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        // Waiting would close its standard input, which ends it.
        let stdin = child.stdin.take();
        let ended = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        drop(stdin);
        failures = if begun.elapsed() > RAN { 0 } else { (failures + 1).min(WAITS.len() - 1) };
        eprintln!("your own agent has ended ({ended}) and is started again; {} says why", log(folder).display());
        child = loop {
            thread::sleep(WAITS[failures]);
            match run(program, folder) {
                Ok(child) => break child,
                Err(error) => eprintln!("{} cannot be started: {error}", program.display()),
            }
            failures = WAITS.len() - 1;
        };
    }
}
