//! The install stage: gives the installer process the authentic artifact as an open file, with all signed documents
//! about it, and returns its result. The installer checks everything itself.

use crate::{authenticate::AuthenticArtifact, state::Enrolment};
use banyan_install_helper::{
    EnrolledIdentity, InstallJob, InstallResult, Outcome,
    client::{self, Launcher, SetTrustError},
};
use banyan_proto::Reason;
use banyan_trust::TrustStore;
use std::{ffi::OsString, io, path::Path, time::Duration};

/// Retry interval while the installer is busy.
const BUSY: Duration = Duration::from_secs(1);

/// The install stage.
pub struct Install {
    /// How the installer process is started.
    pub launcher: Launcher,
}

impl Install {
    /// Tells the installer this machine's identity and root of trust. The installer keeps the first enrolment it
    /// receives. So this runs before the first connection to any machine but the server; later runs only check that
    /// both still agree.
    ///
    /// # Errors
    /// When the installer cannot be started, or belongs to another machine or server.
    pub async fn introduce(&self, enrolment: &Enrolment, trust: &TrustStore) -> Result<(), SetTrustError> {
        let said = EnrolledIdentity {
            machine: enrolment.machine,
            server: enrolment.server,
            keys: enrolment.keys.clone(),
            epoch: enrolment.epoch,
            root: trust.root().to_owned(),
        };
        loop {
            match client::set_trust(&self.launcher, said.clone()).await {
                // The installer is finishing a standalone install from before the enrolment; only its lock shows when
                // it is done.
                Err(SetTrustError::Refused { reason: Reason::PackageManagerBusy, .. }) => {
                    tokio::time::sleep(BUSY).await
                }
                told => return told,
            }
        }
    }

    /// Installs an [`AuthenticArtifact`], the only accepted input, while its install permit is fresh. An `urgent`
    /// install runs at normal priority.
    pub async fn install(&self, artifact: AuthenticArtifact, urgent: bool) -> InstallResult {
        let waits = |reason, detail: String| InstallResult {
            outcome: Outcome::Waits { reason, detail },
            output: String::new(),
        };
        let order = artifact.order().id;
        let Some((file, job)) = artifact.into_job() else {
            return waits(Reason::WaitsForPermit, "the install permit has expired".into());
        };
        match client::install(&self.launcher, order, InstallJob { urgent, ..job }, file).await {
            Ok(finished) => finished,
            Err(error) => waits(Reason::InternalError, error.to_string()),
        }
    }
}

/// Returns how to start the installer: with `command`, split at spaces, which starts it with privileges that this
/// program does not have. Without a command it is the installer program next to this one or, if that is missing, this
/// program itself with a hidden command.
///
/// `folder` is the installer's own folder and `root` the root of the system to install into (`/` is this one), both as
/// absolute paths.
///
/// # Errors
/// When the system does not report the path of this program.
pub fn launcher(command: Option<&str>, folder: &Path, root: &Path, jobs: &Path) -> io::Result<Launcher> {
    let this = std::env::current_exe()?;
    let beside = this.with_file_name(format!("banyan-install-helper{}", std::env::consts::EXE_SUFFIX));
    let mut words = command.unwrap_or_default().split_whitespace();
    let (program, mut arguments): (_, Vec<OsString>) = match words.next() {
        Some(program) => (program.into(), words.map(OsString::from).collect()),
        None if beside.exists() => (beside, Vec::new()),
        None => (this, vec!["install-helper-process".into()]),
    };
    arguments.extend(["--data".into(), folder.into(), "--root".into(), root.into()]);
    Ok(Launcher { program, arguments, requests: jobs.to_owned() })
}
