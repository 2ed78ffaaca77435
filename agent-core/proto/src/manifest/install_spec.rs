//! How a release is installed: the kind of its file, and the publisher's commands.

use serde::{Deserialize, Serialize};

/// How to install, detect, probe and undo an artifact. Only publishers can define this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSpec {
    /// The kind of the file.
    pub kind: Kind,
    /// A command that detects whether this release is already installed (exit code 0). Without it the kind's own method
    /// applies: the version folder for archives, the package database for debs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<CommandSpec>,
    /// The probe: a command that checks whether the *new version* works (exit code 0). It decides between success and
    /// rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<CommandSpec>,
    /// A command that removes the release again, for kinds without their own method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<CommandSpec>,
    /// Free disk space that the installed files need, in bytes.
    #[serde(default)]
    pub needs_bytes: u64,
    /// Seconds that each of the package's own scripts may run, such as a deb's postinst;
    /// [`InstallSpec::SCRIPT_TIMEOUT_SECONDS`] if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_timeout_seconds: Option<u32>,
    /// How many older versions of an archive stay beside the new one, from 1 to [`limits::KEPT_VERSIONS`]; `None` for
    /// [`InstallSpec::KEEPS_VERSIONS`]. The machine's policy overrides it. Versions that processes still use stay anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
}

impl InstallSpec {
    /// How long a package's script may run unless the manifest says otherwise (seconds). Scripts that build kernel
    /// modules or indexes take minutes.
    pub const SCRIPT_TIMEOUT_SECONDS: u32 = 15 * 60;
    /// Longest time that a manifest may give a script (seconds): a day.
    pub const MAX_SCRIPT_TIMEOUT_SECONDS: u32 = 24 * 3600;

    /// How many older versions stay if neither manifest nor policy says: the previous one, and one more.
    pub const KEEPS_VERSIONS: u32 = 2;

    /// Returns how to install a file of this kind, without commands or needs of its own.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            detect: None,
            probe: None,
            undo: None,
            needs_bytes: 0,
            script_timeout_seconds: None,
            keep_versions: None,
        }
    }
}

/// The kinds of artifact that Banyan can install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A tar file, also with gzip, bzip2, xz or zstd, or a zip file. Each version is unpacked into its own folder;
    /// `current` switches to it atomically.
    Archive,
    /// A Debian package, installed with dpkg.
    Deb,
    /// A kind that only newer versions of Banyan can install.
    #[serde(other)]
    Unknown,
}

impl Kind {
    /// Returns the kind's name in texts for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Deb => "deb",
            Self::Unknown => "unknown",
        }
    }
    /// Returns whether the kind changes the system for all users, which only an administrator may do. The other kinds
    /// install into a folder that one person can own.
    #[must_use]
    pub fn needs_administrator(self) -> bool {
        match self {
            Self::Archive => false,
            Self::Deb | Self::Unknown => true,
        }
    }
}

/// A command defined by the publisher. It runs without a shell. The only expansion is `{dir}`, the folder of the
/// installed version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Seconds after which the command is terminated and counts as failed.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
}

fn default_timeout() -> u32 {
    60
}
