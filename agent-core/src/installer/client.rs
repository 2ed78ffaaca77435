//! The agent's side: starts the installer for one call and waits for its answer.
//!
//! An install is never ended because the agent ends: the installer is not killed when the future is dropped, and it is in
//! a process group of its own, so that a Ctrl-C for the agent does not reach it. An agent that starts again gives the
//! same job again and is told how it ended. (A service manager that kills everything a service started must be told not
//! to: `KillMode=process` in a systemd unit.)

use super::{
    command::OUTPUT_BYTES,
    job::{AloneJob, Believes, Call, Enrolled, Finished, Job},
    sys,
};
use banyan_proto::{DeploymentId, Digest, Reason};
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

/// Longest answer that is read (bytes): the output's end, escaped, and the outcome.
const ANSWER_BYTES: u64 = 128 << 10;

/// How the installer is started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// `banyan-installer`, or something that starts it with privileges, or this very program.
    pub program: PathBuf,
    /// What comes before the call's file: a verb, the folders.
    pub arguments: Vec<OsString>,
    /// A folder of the agent's where the call's file can be.
    pub jobs: PathBuf,
}

/// Why there is no answer. Nothing is known about the install then; the same job can be given again.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The call's file could not be written. Typically a full disk.
    #[error("writing the installer's call {path}: {source}")]
    Job {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program is missing or may not be run.
    #[error("starting the installer {program}: {source}")]
    Start {
        /// Which program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended without saying how the job ended: killed, or not called as it wants to be.
    #[error("the installer gave no answer ({status}): {said}")]
    NoAnswer {
        /// How it ended.
        status: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
}

/// The installer believes others.
#[derive(Debug, thiserror::Error)]
pub enum BelieveError {
    /// It could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It said no.
    #[error("{detail} [{code}]", code = .reason.code())]
    Refused {
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
    },
}

/// Has the job carried out. The artifact is handed over as an open file; its position does not matter. `order` only gives
/// the call's file its name.
///
/// Dropping the future gives up waiting, not the install.
///
/// # Errors
/// When the installer cannot be started, or dies.
pub async fn run(launcher: &Launcher, order: DeploymentId, job: Job, artifact: File) -> Result<Finished, ClientError> {
    ask(launcher, &format!("install-{order}"), &Call::Install(Box::new(job)), Stdio::from(artifact)).await
}

/// Tells the installer whom to believe, if nobody has yet.
///
/// # Errors
/// When it cannot be started, or believes others already.
pub async fn believe(launcher: &Launcher, said: Enrolled) -> Result<(), BelieveError> {
    told(launcher, "believe", &Call::Believe(said)).await
}

/// Tells the installer that it belongs to the person who runs it, and to no server.
///
/// # Errors
/// When it cannot be started, has privileges, or belongs to a server.
pub(crate) async fn stand_alone(launcher: &Launcher) -> Result<(), BelieveError> {
    told(launcher, "stand-alone", &Call::StandAlone).await
}

/// Has something installed that the person wants and no server ordered; otherwise as [`run`].
///
/// # Errors
/// When the installer cannot be started, or dies.
pub(crate) async fn run_alone(launcher: &Launcher, job: AloneJob, artifact: File) -> Result<Finished, ClientError> {
    let name = format!("install-{}", job.id);
    ask(launcher, &name, &Call::InstallAlone(Box::new(job)), Stdio::from(artifact)).await
}

/// Tells the installer that the person does not trust these publishers any more.
///
/// # Errors
/// When it cannot be started, or does not belong to a person.
pub(crate) async fn forget(launcher: &Launcher, root: Digest) -> Result<(), BelieveError> {
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
    // Read once at the start; one that stays is overwritten by the next.
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

/// What comes over a pipe, up to a limit; the rest is read and dropped, so that the other side is not held up.
async fn read_bounded(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    let _ = (&mut pipe).take(ANSWER_BYTES).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
