//! The agent's side of the installer protocol: starts the installer for one call and waits for its answer.
//!
//! An install outlives the agent: dropping the future does not kill the installer, and a process group of its own
//! shields it from a Ctrl-C meant for the agent. A restarted agent sends the same job again and receives its outcome.
//! (A service manager that kills all of a service's processes must be told not to: `KillMode=process` in a systemd
//! unit.)

use crate::{
    command::OUTPUT_BYTES,
    protocol::{AloneJob, Believes, Call, Enrolled, Finished, Job},
    sys,
};
use banyan_proto::{Digest, OrderId, Reason};
use serde::de::DeserializeOwned;
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    process::Stdio,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

/// Maximum length of an answer (bytes): the end of the output, escaped, and the outcome.
const ANSWER_BYTES: u64 = 128 << 10;

/// How the installer is started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// `banyan-install-helper`, a program that starts it with privileges, or this program itself.
    pub program: PathBuf,
    /// Arguments before the path of the call's file: a command, the folders.
    pub arguments: Vec<OsString>,
    /// The agent's folder for the files that carry calls.
    pub jobs: PathBuf,
}

/// Why there is no answer. The outcome of the install is unknown then; the same job can be sent again.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The call's file could not be written. Typically a full disk.
    #[error("could not write the installer's call {path}: {source}")]
    Job {
        /// The file's path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The program is missing or must not be executed.
    #[error("could not start the installer {program}: {source}")]
    Start {
        /// The program's path.
        program: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The installer ended without an answer: it was killed, or called incorrectly.
    #[error("the installer ended without an answer ({status}): {said}")]
    NoAnswer {
        /// The exit status.
        status: String,
        /// The end of its standard error output.
        said: String,
    },
}

/// Why the installer does not trust what the agent's enrolment says.
#[derive(Debug, thiserror::Error)]
pub enum BelieveError {
    /// The installer could not be called.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The installer refused.
    #[error("{detail} [{code}]", code = .reason.code())]
    Refused {
        /// The reason code.
        reason: Reason,
        /// The explanation for people.
        detail: String,
    },
}

/// Runs a job in the installer. Passes the artifact as an open file, whose position does not matter. `order` only names
/// the call's file.
///
/// Dropping the future stops the wait, not the install.
///
/// # Errors
/// When the installer cannot be started, or dies.
pub async fn run(launcher: &Launcher, order: OrderId, job: Job, artifact: File) -> Result<Finished, ClientError> {
    ask(launcher, &format!("install-{order}"), &Call::Install(Box::new(job)), Stdio::from(artifact)).await
}

/// Tells the installer which machine this is and which keys to trust. The first such call is kept.
///
/// # Errors
/// When it cannot be started, or already trusts different keys.
pub async fn believe(launcher: &Launcher, said: Enrolled) -> Result<(), BelieveError> {
    told(launcher, "believe", &Call::Believe(said)).await
}

/// Tells the installer that it belongs to the user who runs it, and to no server.
///
/// # Errors
/// When it cannot be started, has privileges, or belongs to a server.
pub async fn stand_alone(launcher: &Launcher) -> Result<(), BelieveError> {
    told(launcher, "stand-alone", &Call::StandAlone).await
}

/// Installs what the user wants without a server's order; otherwise like [`run`].
///
/// # Errors
/// When the installer cannot be started, or dies.
pub async fn run_alone(launcher: &Launcher, job: AloneJob, artifact: File) -> Result<Finished, ClientError> {
    let name = format!("install-{}", job.id);
    ask(launcher, &name, &Call::InstallAlone(Box::new(job)), Stdio::from(artifact)).await
}

/// Tells the installer that the user no longer trusts these publishers.
///
/// # Errors
/// When it cannot be started, or is not a personal installer.
pub async fn forget(launcher: &Launcher, root: Digest) -> Result<(), BelieveError> {
    told(launcher, "forget", &Call::Forget(root)).await
}

async fn told(launcher: &Launcher, name: &str, call: &Call) -> Result<(), BelieveError> {
    match ask(launcher, name, call, Stdio::null()).await? {
        Believes::Yes => Ok(()),
        Believes::No { reason, detail } => Err(BelieveError::Refused { reason, detail }),
    }
}

async fn ask<T: DeserializeOwned>(
    launcher: &Launcher,
    name: &str,
    call: &Call,
    input: Stdio,
) -> Result<T, ClientError> {
    let path = launcher.jobs.join(format!("{name}.json"));
    if let Err(source) = write_call(&path, call) {
        return Err(ClientError::Job { path, source });
    }
    let mut command = Command::new(&launcher.program);
    command.args(&launcher.arguments).arg(&path).env_clear().envs(sys::clean_environment()).kill_on_drop(false);
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::own_group(&mut command);
    let failed = |source| ClientError::Start { program: launcher.program.clone(), source };
    let mut child = command.spawn().map_err(failed)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (answer, said, status) = tokio::join!(read_bounded(out), read_bounded(err), child.wait());
    // The installer reads the file once at its start. If it cannot be removed, the next call overwrites it.
    let _ = fs::remove_file(&path);
    answer.lines().rev().find_map(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
        let start = said.len().saturating_sub(OUTPUT_BYTES);
        let said = String::from_utf8_lossy(&said.as_bytes()[start..]).trim().to_owned();
        ClientError::NoAnswer { status: status.map_or_else(|error| error.to_string(), |s| s.to_string()), said }
    })
}

fn write_call(path: &PathBuf, call: &Call) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let json = serde_json::to_vec(call)?;
    sys::private_file(path)?.write_all(&json)
}

/// Reads a pipe up to a limit, then reads and drops the rest so that the writer does not block.
async fn read_bounded(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    let _ = (&mut pipe).take(ANSWER_BYTES).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
