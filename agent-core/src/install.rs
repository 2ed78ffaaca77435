//! Install: hands the authentic artifact, as an open file, with everything that was signed about it to the installer
//! process, which checks for itself, and takes its word.

use crate::{
    authenticate::AuthenticArtifact,
    installer::{
        Enrolled, Finished, Job, Outcome,
        client::{self, BelieveError, Launcher},
    },
    state::Enrolment,
};
use banyan_proto::Reason;
use banyan_trust::TrustStore;
use std::{ffi::OsString, io, path::Path, time::Duration};

/// An installer that is at work is asked again after this time.
const BUSY: Duration = Duration::from_secs(1);

/// The stage.
pub struct Install {
    /// How the installer process is started.
    pub launcher: Launcher,
}

impl Install {
    /// Tells the installer who this machine is and whom to believe. It keeps the first word it hears, so this comes before
    /// the first connection to anybody but the server, and later only makes sure that both still mean the same.
    ///
    /// # Errors
    /// When the installer cannot be started, or belongs to another machine or server.
    pub async fn introduce(&self, enrolment: &Enrolment, trust: &TrustStore) -> Result<(), BelieveError> {
        let said = Enrolled {
            machine: enrolment.machine,
            server: enrolment.server,
            keys: enrolment.keys.clone(),
            epoch: enrolment.epoch,
            root: trust.root().to_owned(),
        };
        loop {
            match client::believe(&self.launcher, said.clone()).await {
                // It is finishing what a person wanted before this machine enrolled; only its lock tells when.
                Err(BelieveError::Refused { reason: Reason::PackageManagerBusy, .. }) => tokio::time::sleep(BUSY).await,
                told => return told,
            }
        }
    }

    /// Installs. Only an [`AuthenticArtifact`] can be given, and only while its leave is fresh. Nothing gives way to other
    /// work when it is `urgent`: somebody waits for it.
    pub async fn install(&self, artifact: AuthenticArtifact, urgent: bool) -> Finished {
        let waits =
            |reason, detail: String| Finished { outcome: Outcome::Waits { reason, detail }, output: String::new() };
        let order = artifact.order().id;
        let Some((file, job)) = artifact.into_job() else {
            return waits(Reason::WaitsForGoAhead, "the leave to install is no longer fresh".into());
        };
        match client::run(&self.launcher, order, Job { urgent, ..job }, file).await {
            Ok(finished) => finished,
            Err(error) => waits(Reason::InternalError, error.to_string()),
        }
    }
}

/// The installer that stands beside this program, or, where there is none, this program itself under a hidden verb; or
/// else `command`, words separated by spaces, which starts the installer with privileges that this program does not have.
///
/// `folder` is the installer's own, `root` the root of the system that things are installed into (`/` is this one), both
/// as whole paths.
///
/// # Errors
/// When the system does not say where this program is.
pub fn launcher(command: Option<&str>, folder: &Path, root: &Path, jobs: &Path) -> io::Result<Launcher> {
    let this = std::env::current_exe()?;
    let beside = this.with_file_name(format!("banyan-installer{}", std::env::consts::EXE_SUFFIX));
    let mut words = command.unwrap_or_default().split_whitespace();
    let (program, mut arguments): (_, Vec<OsString>) = match words.next() {
        Some(program) => (program.into(), words.map(OsString::from).collect()),
        None if beside.exists() => (beside, Vec::new()),
        None => (this, vec!["installer-process".into()]),
    };
    arguments.extend(["--data".into(), folder.into(), "--root".into(), root.into()]);
    Ok(Launcher { program, arguments, jobs: jobs.to_owned() })
}
