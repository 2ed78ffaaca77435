//! Install: hands the authentic artifact, as an open file, to the installer process, and takes its word.

use crate::{
    authenticate::AuthenticArtifact,
    installer::{
        Finished, Job, Outcome, WithoutRestore,
        client::{self, Launcher},
    },
};
use banyan_proto::Reason;
use std::{
    io,
    path::{Path, PathBuf},
};

/// The stage.
pub struct Install {
    /// How the installer process is started.
    pub launcher: Launcher,
    /// The installer's own folder.
    pub folder: PathBuf,
    /// The root of the system that things are installed into; `/` is this one.
    pub root: PathBuf,
}

impl Install {
    /// Installs. Only an [`AuthenticArtifact`] can be given, and only while its leave is fresh.
    pub async fn install(&self, artifact: AuthenticArtifact) -> Finished {
        let waits =
            |reason, detail: String| Finished { outcome: Outcome::Waits { reason, detail }, output: String::new() };
        let order = artifact.order();
        let job = Job {
            order: order.id,
            attempt: 0,
            manifest_text: artifact.manifest().to_owned(),
            manifest: order.manifest,
            artifact: order.artifact,
            platform: order.platform.clone(),
            data_dir: self.folder.clone(),
            install_root: self.root.clone(),
            without_restore: WithoutRestore::Refuse,
        };
        let Some(file) = artifact.into_file() else {
            return waits(Reason::WaitsForGoAhead, "the leave to install is no longer fresh".into());
        };
        match client::run(&self.launcher, &job, file).await {
            Ok(finished) => finished,
            Err(error) => waits(Reason::InternalError, error.to_string()),
        }
    }
}

/// The installer that stands beside this program, or, where there is none, this program itself under a hidden verb.
///
/// # Errors
/// When the system does not say where this program is.
pub fn launcher(jobs: &Path) -> io::Result<Launcher> {
    let this = std::env::current_exe()?;
    let beside = this.with_file_name(format!("banyan-installer{}", std::env::consts::EXE_SUFFIX));
    let jobs = jobs.to_owned();
    Ok(if beside.exists() {
        Launcher { program: beside, arguments: Vec::new(), jobs }
    } else {
        Launcher { program: this, arguments: vec!["installer-process".into()], jobs }
    })
}
