//! The description of a package file that a user opened: its contents, its signer and whether it may be installed.
//!
//! The agent never opens a path and never takes a file handle from a caller. The caller reads the file with its own
//! rights and sends the bytes after the request, on the same connection. After [`super::Request::OpenPackage`] it sends
//! the bytes before the artifacts, which describe everything else. After [`super::Request::InstallPackage`] it sends
//! the whole file. If the reply arrives before all bytes were sent, the caller can stop sending: the agent then closes
//! the connection.

use crate::{Digest, UnixSeconds, api::ApiError, manifest::InstallSpec};
use serde::{Deserialize, Serialize};

/// The reply to [`super::Request::OpenPackage`]. All fields are as signed in the file, whether or not the signer is
/// trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// The package's name.
    pub package: String,
    /// The version shown to users.
    pub version: String,
    /// The release's sequence.
    pub sequence: u64,
    /// The publisher's display name; may be empty. Believe it only when the signer is trusted. Without a server, it is
    /// the name that the publisher used when the user first trusted it.
    pub publisher: String,
    /// Release notes in plain text; may be empty.
    pub notes: String,
    /// The hash of the manifest, which identifies this exact release. [`super::Request::InstallPackage`] repeats it.
    pub manifest: Digest,
    /// The signer of the file.
    pub signer: Signer,
    /// The file for this machine; `None` if the release has none.
    pub file: Option<PackageFile>,
    /// The version that Banyan installed here earlier, if any.
    pub replaces: Option<Replaces>,
    /// The reason why this caller may not install the package; `None` if it may.
    pub refused: Option<ApiError>,
}

/// The signer of a package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signer {
    /// The hash of the first root in the file. It identifies the publishers if this machine does not know them.
    pub root: Digest,
    /// The ids of the keys that signed the file.
    pub keys: Vec<String>,
    /// When the signature expires.
    pub until: UnixSeconds,
    /// Whether this machine installs packages from this signer.
    pub trusted: bool,
    /// Whether the user can choose to trust this signer in [`super::Request::InstallPackage`]. That is possible only on
    /// a machine that belongs to one person and to no server.
    #[serde(default)]
    pub asks: bool,
}

/// The file that would be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageFile {
    /// The platform of the file; may be `any`.
    pub platform: String,
    /// The file's name.
    pub name: String,
    /// The file's size in bytes.
    pub size: u64,
    /// How to install the file: its kind and commands.
    pub install: InstallSpec,
}

impl PackageFile {
    /// Returns what installing does, one sentence a step, in order.
    #[must_use]
    pub fn does(&self) -> Vec<String> {
        use crate::manifest::{CommandSpec, Kind};
        let line = |command: &CommandSpec| command.argv.join(" ");
        let spec = &self.install;
        let mut does = Vec::new();
        does.extend(spec.detect.as_ref().map(|it| format!("Checks whether it is already installed: {}", line(it))));
        does.push(match spec.kind {
            Kind::Archive => "Unpacks an archive into its own folder and switches to it".to_owned(),
            Kind::Unknown => "Needs a newer version of Banyan to install it".to_owned(),
            Kind::Deb => {
                "Installs a Debian package for everyone on this computer; it may run its own scripts".to_owned()
            }
        });
        does.extend(spec.probe.as_ref().map(|it| format!("Checks that the new version works: {}", line(it))));
        does.push(match &spec.undo {
            Some(undo) => format!("Restores the previous version if the check fails: {}", line(undo)),
            None => "Restores the previous version if the check fails".to_owned(),
        });
        does
    }
}

/// The version that is installed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Replaces {
    /// The version shown to users.
    pub version: String,
    /// The sequence of the installed release. If it is higher than the package's, installing the package is a
    /// downgrade.
    pub sequence: u64,
    /// When it was installed.
    pub at: UnixSeconds,
}
