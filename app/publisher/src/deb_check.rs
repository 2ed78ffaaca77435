//! Checks a Debian package with the rules of dpkg and of machines before anything is signed. It needs no dpkg.

use crate::PublisherError;
use banyan_archive::reader::{DebDescription, read_deb};
use std::path::{Path, PathBuf};

/// The names of Debian's architectures that are called otherwise here.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
    ("armel", "arm"),
    ("armhf", "arm"),
    ("i386", "x86"),
    ("loong64", "loongarch64"),
    ("mips64el", "mips64"),
    ("ppc64el", "powerpc64"),
];
/// The architectures that machines of another platform can accept, after `dpkg --add-architecture`.
const ALSO_ON: &[(&str, &str)] = &[("linux-x86", "linux-x86_64"), ("linux-arm", "linux-aarch64")];

/// A Debian package that dpkg can read.
pub(crate) struct CheckedDeb {
    path: PathBuf,
    deb: DebDescription,
}

impl CheckedDeb {
    /// Reads the whole package.
    pub(crate) fn read(path: &Path) -> Result<Self, PublisherError> {
        let unusable = |source| PublisherError::UnusableDeb { path: path.to_owned(), source };
        Ok(Self { path: path.to_owned(), deb: read_deb(path).map_err(unusable)? })
    }

    pub(crate) fn name(&self) -> String {
        self.deb.package.clone()
    }
    pub(crate) fn version(&self) -> String {
        self.deb.version.clone()
    }
    /// Returns the platform of the machines that the package is for.
    pub(crate) fn platform(&self) -> String {
        let own = self.deb.architecture.as_str();
        if own == "all" {
            return "any".into();
        }
        let usual = ARCHITECTURES.iter().find(|(debian, _)| *debian == own).map_or(own, |(_, usual)| usual);
        format!("linux-{usual}")
    }

    /// Checks that a release says the same as the package: machines refuse it otherwise.
    pub(crate) fn check(&self, name: &str, version: &str, platform: &str) -> Result<(), PublisherError> {
        let differs = |what, said: &str, found: &str| {
            let (said, found) = (said.to_owned(), found.to_owned());
            Err(PublisherError::DebContradiction { file: self.path.clone(), what, said, found })
        };
        if name != self.deb.package {
            return differs("name", name, &self.deb.package);
        }
        if version != self.deb.version {
            return differs("version", version, &self.deb.version);
        }
        let own = self.platform();
        let is_for_linux = platform == "any" || platform.starts_with("linux-");
        let fits = own == "any" || platform == "any" || own == platform || ALSO_ON.contains(&(own.as_str(), platform));
        if is_for_linux && fits { Ok(()) } else { differs("platform", platform, &own) }
    }

    /// Returns what the publisher should know, for people.
    pub(crate) fn warnings(&self, platform: &str) -> Vec<String> {
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        let (own, architecture) = (self.platform(), &self.deb.architecture);
        let mut lines = vec![];
        if own != "any" && platform != own {
            lines.push(format!(
                "{file}: is for {architecture}; machines whose dpkg does not accept {architecture} will refuse it"
            ));
        }
        if self.deb.uses_zstd {
            lines.push(format!("{file}: is compressed with zstd, which Debian reads from version 12 on"));
        }
        if let Some(folder) = &self.deb.missing_folder {
            lines.push(format!(
                "{file}: has files in /{folder} but no entry for that folder; dpkg fails where the folder is missing"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(architecture: &str) -> CheckedDeb {
        let deb = DebDescription {
            package: "tool".into(),
            version: "1:2-3".into(),
            architecture: architecture.into(),
            uses_zstd: false,
            missing_folder: None,
        };
        CheckedDeb { path: "tool.deb".into(), deb }
    }

    #[test]
    fn a_release_says_what_the_package_says() {
        for (architecture, platform) in
            [("all", "any"), ("amd64", "linux-x86_64"), ("i386", "linux-x86"), ("s390x", "linux-s390x")]
        {
            assert_eq!(deb(architecture).platform(), platform);
        }
        let check = |architecture, name, version, platform| match deb(architecture).check(name, version, platform) {
            Ok(()) => "right",
            Err(PublisherError::DebContradiction { what, .. }) => what,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(check("amd64", "tool", "1:2-3", "linux-x86_64"), "right");
        assert_eq!(check("amd64", "other", "1:2-3", "linux-x86_64"), "name");
        assert_eq!(check("amd64", "tool", "2-3", "linux-x86_64"), "version");
        assert_eq!(check("amd64", "tool", "1:2-3", "linux-aarch64"), "platform");
        assert_eq!(check("all", "tool", "1:2-3", "linux-aarch64"), "right");
        assert_eq!(check("all", "tool", "1:2-3", "windows-x86_64"), "platform");
        assert_eq!(check("i386", "tool", "1:2-3", "linux-x86_64"), "right");
        assert_eq!(deb("i386").warnings("linux-x86_64").len(), 1);
        assert_eq!(deb("amd64").warnings("linux-x86_64"), [""; 0]);
        assert_eq!(deb("amd64").warnings("any").len(), 1);
    }
}
