//! The agent's side of the install helper protocol: starts the install helper for one request and waits for its answer.
//!
//! An install outlives the agent: dropping the future does not kill the install helper, and a process group of its own
//! shields it from a Ctrl-C meant for the agent. A restarted agent sends the same job again and receives its outcome.
//! (A service manager that kills all of a service's processes must be told not to: `KillMode=process` in a systemd
//! unit.)

use crate::{
    command::OUTPUT_BYTES,
    protocol::{EnrolledIdentity, HelperRequest, InstallJob, InstallResult, StandaloneJob, TrustAnswer},
    sys,
};
use banyan_proto::{Digest, OrderId, Reason, format};
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

/// How the install helper is started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// `banyan-install-helper`, a program that starts it with privileges, or this program itself.
    pub program: PathBuf,
    /// Arguments before the path of the request file: a command, the folders.
    pub arguments: Vec<OsString>,
    /// The agent's folder for the files that carry requests.
    pub requests: PathBuf,
}

/// Why there is no answer. The outcome of the install is unknown then; the same job can be sent again.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// The request file could not be written. Typically a full disk.
    #[error("could not write the install helper's request {path}: {source}")]
    WriteRequest {
        /// The file's path.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The program is missing or must not be executed.
    #[error("could not start the install helper {program}: {source}")]
    Start {
        /// The program's path.
        program: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The install helper ended without an answer: it was killed, or called incorrectly.
    #[error("the install helper ended without an answer ({status}){}", after_colon(.stderr))]
    NoAnswer {
        /// The exit status.
        status: String,
        /// The end of its standard error output.
        stderr: String,
    },
}

impl HelperError {
    /// Returns the entry of the reason table. The install helper itself is at fault only when its disk is not.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::WriteRequest { source, .. } => Reason::of_disk_error(source),
            Self::Start { source, .. } => match Reason::of_disk_error(source) {
                reason @ (Reason::DiskFull | Reason::ReadOnly) => reason,
                _ => Reason::InternalError,
            },
            Self::NoAnswer { .. } => Reason::InternalError,
        }
    }
}

impl SetTrustError {
    /// Returns the entry of the reason table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Helper(error) => error.reason(),
            Self::Refused { reason, .. } => *reason,
        }
    }
}

/// Returns a text for the end of a sentence, or nothing for none.
fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

/// Why the install helper does not trust what the agent's enrolment says.
#[derive(Debug, thiserror::Error)]
pub enum SetTrustError {
    /// The install helper did not answer.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// The install helper refused.
    #[error("{detail} [{code}]", code = .reason.code())]
    Refused {
        /// The reason code.
        reason: Reason,
        /// The explanation for people.
        detail: String,
    },
}

/// Runs a job in the install helper. Passes the artifact as an open file, whose position does not matter. `order` only
/// names the request file.
///
/// Dropping the future stops the wait, not the install.
///
/// # Errors
/// When the install helper cannot be started, or dies.
pub async fn install(
    launcher: &Launcher,
    order: OrderId,
    job: InstallJob,
    artifact: File,
) -> Result<InstallResult, HelperError> {
    send(launcher, &format!("install-{order}"), &HelperRequest::Install(Box::new(job)), Stdio::from(artifact)).await
}

/// Tells the install helper which machine this is and which keys to trust. The first such request is kept.
///
/// # Errors
/// When it cannot be started, or already trusts different keys.
pub async fn set_trust(launcher: &Launcher, identity: EnrolledIdentity) -> Result<(), SetTrustError> {
    change_trust(launcher, "believe", &HelperRequest::SetTrust(identity)).await
}

/// Tells the install helper that it belongs to the user who runs it, and to no server.
///
/// # Errors
/// When it cannot be started, has privileges, or belongs to a server.
pub async fn set_personal(launcher: &Launcher) -> Result<(), SetTrustError> {
    change_trust(launcher, "stand-alone", &HelperRequest::SetPersonal).await
}

/// Installs what the user wants without a server's order; otherwise like [`install`].
///
/// # Errors
/// When the install helper cannot be started, or dies.
pub async fn install_standalone(
    launcher: &Launcher,
    job: StandaloneJob,
    artifact: File,
) -> Result<InstallResult, HelperError> {
    let name = format!("install-{}", job.id);
    send(launcher, &name, &HelperRequest::InstallStandalone(Box::new(job)), Stdio::from(artifact)).await
}

/// Tells the install helper that the user no longer trusts these publishers.
///
/// # Errors
/// When it cannot be started, or is not a personal install helper.
pub async fn forget_publisher(launcher: &Launcher, root: Digest) -> Result<(), SetTrustError> {
    change_trust(launcher, "forget", &HelperRequest::ForgetPublisher(root)).await
}

async fn change_trust(launcher: &Launcher, name: &str, request: &HelperRequest) -> Result<(), SetTrustError> {
    match send(launcher, name, request, Stdio::null()).await? {
        TrustAnswer::Accepted => Ok(()),
        TrustAnswer::Refused { reason, detail } => Err(SetTrustError::Refused { reason, detail }),
    }
}

async fn send<T: DeserializeOwned>(
    launcher: &Launcher,
    name: &str,
    request: &HelperRequest,
    input: Stdio,
) -> Result<T, HelperError> {
    let path = launcher.requests.join(format!("{name}.json"));
    if let Err(source) = write_request(&path, request) {
        return Err(HelperError::WriteRequest { path, source });
    }
    let mut command = Command::new(&launcher.program);
    command.args(&launcher.arguments).arg(&path).env_clear().envs(sys::clean_environment()).kill_on_drop(false);
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::set_process_group(&mut command);
    let failed = |source| HelperError::Start { program: launcher.program.clone(), source };
    let mut child = command.spawn().map_err(failed)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (answer, stderr, status) = tokio::join!(read_bounded(out), read_bounded(err), child.wait());
    // The install helper reads the file once at its start. If it cannot be removed, the next request overwrites it.
    let _ = fs::remove_file(&path);
    answer.lines().rev().find_map(|line| serde_json::from_str(line).ok()).ok_or_else(|| {
        let start = stderr.len().saturating_sub(OUTPUT_BYTES);
        let stderr = String::from_utf8_lossy(&stderr.as_bytes()[start..]).trim().to_owned();
        HelperError::NoAnswer { status: status.map_or_else(|error| error.to_string(), |s| s.to_string()), stderr }
    })
}

fn write_request(path: &PathBuf, request: &HelperRequest) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    sys::create_private_file(path)?.write_all(format::write(request).as_bytes())
}

/// Reads a pipe up to a limit, then reads and drops the rest so that the writer does not block.
async fn read_bounded(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    let _ = (&mut pipe).take(ANSWER_BYTES).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}
