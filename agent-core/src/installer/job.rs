//! What the installer is asked to do, and what it answers.

use super::trouble::Trouble;
use banyan_proto::{
    DeploymentId, Digest, Manifest, Reason,
    manifest::{InstallSpec, ManifestError},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One installation. It holds no secrets: the file that carries it may be read by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The deployment.
    pub order: DeploymentId,
    /// Raised when a person wants a failed order tried again. The same order and attempt that failed after changing
    /// something gets the same answer without doing it again.
    #[serde(default)]
    pub attempt: u32,
    /// The manifest's JSON text, exactly as its hash stands in the signed targets.
    pub manifest_text: String,
    /// BLAKE3 of that text, as the order has it.
    pub manifest: Digest,
    /// BLAKE3 of the artifact, as the order has it. The manifest must say the same.
    pub artifact: Digest,
    /// The platform whose artifact this is, as the order has it (`any` included).
    pub platform: String,
    /// The installer's own folder: journal, staging, kept installers and (when `install_root` is `/`) the packages.
    /// Must belong to whoever the installer runs as, or to root, and be writable for nobody else. Where all users
    /// shall run the packages, they must be able to pass through the folders above it.
    pub data_dir: PathBuf,
    /// Where debs are installed (`dpkg --root`), and where the packages' folder is (`ROOT/opt/banyan/packages`). With
    /// `/`, the machine itself: archives are then in `data_dir/packages`.
    #[serde(default = "whole_machine")]
    pub install_root: PathBuf,
    /// What to do when an old version is there that could not be put back.
    #[serde(default)]
    pub without_restore: WithoutRestore,
}

fn whole_machine() -> PathBuf {
    "/".into()
}

/// What to do when an old version is installed, nobody kept its installer, and the manifest has no undo command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutRestore {
    /// Nothing is changed; the outcome is [`Reason::CannotRestore`].
    #[default]
    Refuse,
    /// Somebody decided that the new version goes in all the same.
    GoOn,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The release is there and the probe passed.
    Installed {
        /// It was there before; nothing was changed.
        already: bool,
    },
    /// It is not there. Final for this order and attempt.
    Failed {
        /// Why.
        reason: Reason,
        /// For people.
        detail: String,
        /// The machine is as it was before the job.
        restored: bool,
    },
    /// Not now: to be tried again later.
    Waits {
        /// What it waits for.
        reason: Reason,
        /// For people.
        detail: String,
    },
}

/// The answer: one JSON line on the installer's standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What dpkg, detect, probe and undo commands printed: the last 8 KiB.
    pub output: String,
}

/// What a checked job is about: the manifest without what only the transfer needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Release {
    pub(super) package: String,
    pub(super) version: String,
    pub(super) sequence: u64,
    /// BLAKE3 of the manifest.
    pub(super) manifest: Digest,
    /// BLAKE3 of the artifact.
    pub(super) artifact: Digest,
    /// Bytes of the artifact.
    pub(super) size: u64,
    pub(super) file_name: String,
    /// As in the manifest.
    pub(super) platform: String,
    pub(super) spec: InstallSpec,
}

/// Why a job cannot be believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    #[error("the manifest is not the one the order names: expected BLAKE3 {expected}, found {found}")]
    OtherManifest { expected: Digest, found: Digest },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("release {package} {version} has no file for {platform}")]
    NoArtifact { package: String, version: String, platform: String },
    #[error("the order names artifact {order}, the manifest {manifest}")]
    OtherArtifact { order: Digest, manifest: Digest },
}

impl Job {
    /// The release that the job is about, after checking that manifest, order and artifact fit each other.
    pub(super) fn release(&self) -> Result<Release, JobError> {
        let found = Digest::of(self.manifest_text.as_bytes());
        if found != self.manifest {
            return Err(JobError::OtherManifest { expected: self.manifest, found });
        }
        let manifest = Manifest::parse(self.manifest_text.as_bytes())?;
        let Some(artifact) = manifest.artifact_for(&self.platform) else {
            let (package, version, platform) = (manifest.package, manifest.version, self.platform.clone());
            return Err(JobError::NoArtifact { package, version, platform });
        };
        if artifact.digest != self.artifact {
            return Err(JobError::OtherArtifact { order: self.artifact, manifest: artifact.digest });
        }
        Ok(Release {
            manifest: self.manifest,
            artifact: artifact.digest,
            size: artifact.size,
            file_name: artifact.file_name.clone(),
            platform: artifact.platform.clone(),
            spec: artifact.install.clone(),
            package: manifest.package,
            version: manifest.version,
            sequence: manifest.sequence,
        })
    }
}

impl From<JobError> for Trouble {
    fn from(error: JobError) -> Self {
        let reason = match &error {
            JobError::OtherManifest { .. } | JobError::Manifest(_) | JobError::OtherArtifact { .. } => {
                Reason::NotPublished
            }
            JobError::NoArtifact { .. } => Reason::WrongPlatform,
        };
        Trouble::because(reason, error.to_string())
    }
}
