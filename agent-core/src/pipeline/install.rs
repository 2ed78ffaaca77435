//! The install stage: gives the install helper the authentic artifact as an open file, with all signed documents
//! about it, and returns its result. The install helper checks everything itself.

use crate::{database::Enrolment, pipeline::authenticate::AuthenticArtifact};
use banyan_install_helper::{
    EnrolledIdentity, InstallJob, InstallResult, Outcome,
    client::{self, Launcher, SetTrustError},
};
use banyan_proto::{OrderId, Reason};
use banyan_trust::TrustStore;
use banyan_wire::lock::lock;
use std::{collections::HashMap, ffi::OsString, io, path::Path, sync::Mutex, time::Duration};

/// Retry interval while the install helper is busy.
const BUSY: Duration = Duration::from_secs(1);

/// What this machine decides about an install, apart from what is signed.
#[derive(Debug, Clone, Copy)]
pub struct InstallSettings {
    /// Whether someone is waiting for it: it then runs at normal priority.
    pub urgent: bool,
    /// How many older versions stay, by the policy.
    pub keep_versions: Option<u32>,
}

/// The install stage.
pub struct InstallStage {
    /// How the install helper is started.
    launcher: Launcher,
    /// The artifacts with an install permit that wait for their turn.
    permitted: Mutex<HashMap<OrderId, AuthenticArtifact>>,
}

impl InstallStage {
    /// Creates the stage.
    #[must_use]
    pub fn new(launcher: Launcher) -> Self {
        Self { launcher, permitted: Mutex::default() }
    }
    /// Keeps an artifact until it is its turn to be installed.
    pub(crate) fn add_permitted(&self, artifact: AuthenticArtifact) {
        lock(&self.permitted).insert(artifact.order().id, artifact);
    }
    /// Takes out the artifact of an order, to install or to drop it.
    pub(crate) fn take_permitted(&self, order: OrderId) -> Option<AuthenticArtifact> {
        lock(&self.permitted).remove(&order)
    }

    /// Tells the install helper this machine's identity and root of trust. The install helper keeps the first enrolment it
    /// receives. So this runs before the first connection to any machine but the server; later runs only check that
    /// both still agree.
    ///
    /// # Errors
    /// When the install helper cannot be started, or belongs to another machine or server.
    pub async fn introduce(&self, enrolment: &Enrolment, trust: &TrustStore) -> Result<(), SetTrustError> {
        let enrolled = EnrolledIdentity {
            machine: enrolment.machine,
            server: enrolment.server,
            keys: enrolment.keys.clone(),
            epoch: enrolment.epoch,
            root: trust.root().to_owned(),
        };
        loop {
            match client::set_trust(&self.launcher, enrolled.clone()).await {
                // The install helper is finishing a standalone install from before the enrolment; only its lock shows when
                // it is done.
                Err(SetTrustError::Refused { reason: Reason::PackageManagerBusy, .. }) => {
                    tokio::time::sleep(BUSY).await;
                }
                result => return result,
            }
        }
    }

    /// Installs an [`AuthenticArtifact`], the only accepted input, while its install permit is fresh.
    pub async fn install(&self, artifact: AuthenticArtifact, settings: InstallSettings) -> InstallResult {
        let InstallSettings { urgent, keep_versions } = settings;
        let deferred = |reason, detail: String| InstallResult {
            outcome: Outcome::Waits { reason, detail },
            output: String::new(),
        };
        let order = artifact.order().id;
        let Some((file, job)) = artifact.into_job() else {
            return deferred(Reason::WaitsForPermit, "the install permit has expired".into());
        };
        match client::install(&self.launcher, order, InstallJob { urgent, keep_versions, ..job }, file).await {
            Ok(finished) => finished,
            Err(error) => deferred(error.reason(), error.to_string()),
        }
    }
}

/// Returns how to start the install helper: with `command`, split at spaces, which starts it with privileges that this
/// program does not have. Without a command it is the install helper next to this one or, if that is missing, this
/// program itself with a hidden command.
///
/// `folder` is the install helper's own folder and `root` the root of the system to install into (`/` is this one), both as
/// absolute paths.
///
/// # Errors
/// When the system does not report the path of this program.
pub fn launcher(command: Option<&str>, folder: &Path, root: &Path, requests: &Path) -> io::Result<Launcher> {
    let this = std::env::current_exe()?;
    let beside = this.with_file_name(format!("banyan-install-helper{}", std::env::consts::EXE_SUFFIX));
    let mut words = command.unwrap_or_default().split_whitespace();
    let (program, mut arguments): (_, Vec<OsString>) = match words.next() {
        Some(program) => (program.into(), words.map(OsString::from).collect()),
        None if beside.exists() => (beside, Vec::new()),
        None => (this, vec!["install-helper-process".into()]),
    };
    arguments.extend(["--data".into(), folder.into(), "--root".into(), root.into()]);
    Ok(Launcher { program, arguments, requests: requests.to_owned() })
}
