//! A package file that somebody at the machine opened: what the agent read in it, and whether it may be installed.
//!
//! The file itself is never named to the agent: it opens no path and takes no handle that somebody else chose. The caller
//! reads the file with its own rights and sends the bytes behind the request, on the same connection. After
//! [`super::Request::OpenPackage`] come the bytes before the artifacts (what says everything about the rest), after
//! [`super::Request::InstallPackage`] the whole file. When the answer comes before all of them were sent, the rest need not
//! be: the agent hangs up then.

use crate::{Digest, UnixSeconds, api::ApiError, manifest::InstallSpec};
use serde::{Deserialize, Serialize};

/// Answer to [`super::Request::OpenPackage`]: everything is as its publishers signed it, whoever they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Name of the package.
    pub package: String,
    /// The version as people read it.
    pub version: String,
    /// Sequence of the release.
    pub sequence: u64,
    /// Who publishes, in words. May be empty; believe it only when the signer is trusted. Without a server it is what they
    /// called themselves when the person said that they trust them.
    pub publisher: String,
    /// Release notes, plain text. May be empty.
    pub notes: String,
    /// Which release this is, exactly: to be said in [`super::Request::InstallPackage`].
    pub manifest: Digest,
    /// Who signed it.
    pub signer: Signer,
    /// The file for this machine; none when the release has none.
    pub file: Option<PackageFile>,
    /// The version that Banyan installed here before, if it did.
    pub replaces: Option<Replaces>,
    /// Why this caller may not install it here; none: it may.
    pub refused: Option<ApiError>,
}

/// Who signed a package file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Signer {
    /// Hash of the first root that the file names: who its publishers are, where this machine does not know them.
    pub root: Digest,
    /// Ids of the keys whose signatures are on it.
    pub keys: Vec<String>,
    /// When the signature ends.
    pub until: UnixSeconds,
    /// This machine installs what they sign.
    pub trusted: bool,
    /// It would, if the person says so in [`super::Request::InstallPackage`]: this machine belongs to a person and to no
    /// server.
    #[serde(default)]
    pub asks: bool,
}

/// What would be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageFile {
    /// Its platform, `any` included.
    pub platform: String,
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// How it is installed: kind and commands.
    pub install: InstallSpec,
}

impl PackageFile {
    /// What installing it does, one sentence each, in the order in which it is done.
    #[must_use]
    pub fn does(&self) -> Vec<String> {
        use crate::manifest::{CommandSpec, Kind};
        let line = |command: &CommandSpec| command.argv.join(" ");
        let spec = &self.install;
        let mut does = Vec::new();
        does.extend(spec.detect.as_ref().map(|it| format!("Asks whether it is there already: {}", line(it))));
        does.push(match spec.kind {
            Kind::Archive => "Unpacks an archive into a folder of its own and switches to it".to_owned(),
            Kind::Deb => {
                "Installs a Debian package for everybody at this computer; it may run its own scripts".to_owned()
            }
        });
        does.extend(spec.probe.as_ref().map(|it| format!("Tries whether the new version runs: {}", line(it))));
        does.push(match &spec.undo {
            Some(undo) => format!("Puts the old version back if it does not: {}", line(undo)),
            None => "Puts the old version back if that fails".to_owned(),
        });
        does
    }
}

/// What is installed now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Replaces {
    /// The version as people read it.
    pub version: String,
    /// Sequence of that release; a higher one than the package's: an older version would come back.
    pub sequence: u64,
    /// When it was installed.
    pub at: UnixSeconds,
}
