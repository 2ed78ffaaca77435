//! The manifest: the signed description of a release.
//!
//! The publishers sign it as a TUF target. All commands and all version information of a release are in the manifest
//! and nowhere else (rule T2).

mod artifact;
mod install_spec;
mod kind_history;

pub use artifact::{Artifact, ChunkHashes};
pub use install_spec::{CommandSpec, InstallSpec, Kind};
pub use kind_history::{KindChange, KindHistory, PlatformKinds};

use crate::{
    format::{self, Format, FormatError},
    limits,
};
use serde::{Deserialize, Serialize};

/// The signed description of one release of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 2.
    pub format: u32,
    /// What a reader must understand to use this release on any platform, such as `sealed`. Every other unknown field
    /// is ignored (rule S3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_understand: Vec<String>,
    /// The package's name: `[a-z0-9][a-z0-9+.-]{0,63}`.
    pub package: String,
    /// The name shown to users, at most 128 bytes; empty if the package's name will do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The version shown to users. It is never compared; `sequence` is.
    pub version: String,
    /// The release's sequence. It rises with every release of the package.
    pub sequence: u64,
    /// The lowest sequence that a machine may install after it has seen this release (the floor).
    pub min_sequence: u64,
    /// On a release that deliberately restores older content: the sequence of the release with that content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// The publisher's display name.
    #[serde(default)]
    pub publisher: String,
    /// Release notes in plain text.
    #[serde(default)]
    pub notes: String,
    /// The files, one for each platform.
    pub artifacts: Vec<Artifact>,
}

/// The reason why a manifest is invalid. The publisher's tool never creates such a manifest, so its sender is malicious
/// or faulty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The text is not JSON of this format.
    #[error("{0}")]
    Unreadable(String),
    /// The release requires a newer version of Banyan.
    #[error("{0}")]
    NotUnderstood(String),
    /// A field's value is invalid.
    #[error("the manifest's {field} is not valid: {why}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with the value.
        why: String,
    },
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// When it is too large, is not of this format or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > limits::MANIFEST_BYTES {
            return Err(ManifestError::Field { field: "length", why: format!("{} bytes is too large", bytes.len()) });
        }
        let manifest: Self = format::read(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }
    /// Checks that the fields are valid and consistent.
    ///
    /// # Errors
    /// Names the first field that is not.
    pub fn check(&self) -> Result<(), ManifestError> {
        let field = |field, ok: bool, why: &dyn Fn() -> String| {
            if ok { Ok(()) } else { Err(ManifestError::Field { field, why: why() }) }
        };
        field("format", self.format == Self::FORMAT, &|| {
            format!("{} is not supported any more; publish the release again with this version", self.format)
        })?;
        field("title", is_title(&self.title), &|| "use at most 128 bytes and no control characters".into())?;
        field("package", is_package_name(&self.package), &|| {
            format!("{:?}: use lower-case letters, digits, + . - (64 at most)", self.package)
        })?;
        field("version", is_version(&self.version), &|| {
            format!("{:?}: use letters, digits, . + ~ : - _ (64 at most)", self.version)
        })?;
        field("min_sequence", self.min_sequence <= self.sequence, &|| {
            format!("{} is above the sequence {}", self.min_sequence, self.sequence)
        })?;
        field("artifacts", !self.artifacts.is_empty(), &|| "the list is empty; add at least one file".into())?;
        self.artifacts.iter().try_for_each(Artifact::check)
    }
    /// Returns the artifact for a platform, or else the one for `any`.
    #[must_use]
    pub fn artifact_for(&self, platform: &str) -> Option<&Artifact> {
        let of = |wanted: &str| self.artifacts.iter().find(|artifact| artifact.platform == wanted);
        of(platform).or_else(|| of("any"))
    }
    /// Returns the name of this release as a TUF target.
    #[must_use]
    pub fn target_name(&self) -> String {
        format!("{}/{}.json", self.package, self.sequence)
    }
}

/// Returns whether a text is a valid package name, which is also a folder name.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=64).contains(&name.len()) && name.starts_with(word) && name.chars().all(|c| word(c) || "+.-".contains(c))
}
/// Returns whether a text is a valid version, which is also part of a folder name.
#[must_use]
pub fn is_version(version: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric();
    (1..=64).contains(&version.len())
        && version.starts_with(word)
        && version.chars().all(|c| word(c) || ".+~:-_".contains(c))
}

/// Returns whether a text can be shown to people as a title.
fn is_title(title: &str) -> bool {
    title.len() <= limits::LABEL_BYTES && !title.chars().any(char::is_control)
}

impl Format for Manifest {
    const KIND: &'static str = "manifest";
    const FORMAT: u32 = 2;
}

impl From<FormatError> for ManifestError {
    fn from(error: FormatError) -> Self {
        match error.is_newer() {
            true => Self::NotUnderstood(error.to_string()),
            false => Self::Unreadable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{artifact::tests::artifact, *};

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "-x", "A", "a b", &"a".repeat(65)] {
            assert!(!is_package_name(bad), "{bad:?}");
        }
        for bad in ["", "..", ".1", "1/2", "1 2"] {
            assert!(!is_version(bad), "{bad:?}");
        }
        assert!(is_package_name("libre-office7.2+x") && is_version("1:2.3~rc1-4+deb12u1"));
    }

    #[test]
    fn a_manifest_that_requires_something_unknown_is_refused_by_name_and_other_new_fields_are_ignored() {
        let manifest = Manifest {
            format: Manifest::FORMAT,
            must_understand: vec![],
            title: "School Browser".into(),
            package: "browser".into(),
            version: "1.0".into(),
            sequence: 1,
            min_sequence: 0,
            rollback_to: None,
            publisher: String::new(),
            notes: String::new(),
            artifacts: vec![artifact(100)],
        };
        let parse = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut value = serde_json::to_value(&manifest).unwrap();
            edit(&mut value);
            Manifest::parse(value.to_string().as_bytes())
        };
        assert_eq!(parse(&|_| {}).unwrap(), manifest);
        assert_eq!(parse(&|value| value["icon"] = "PNG".into()).unwrap(), manifest);
        for newer in [
            parse(&|value| value["must_understand"] = serde_json::json!(["sealed"])),
            parse(&|value| value["format"] = 3.into()),
        ] {
            assert!(matches!(newer, Err(ManifestError::NotUnderstood(_))), "{newer:?}");
        }
        assert!(matches!(
            parse(&|value| value["format"] = 1.into()),
            Err(ManifestError::Field { field: "format", .. })
        ));
        // Only the machines that need the file have to understand it.
        let sealed = parse(&|value| value["artifacts"][0]["must_understand"] = serde_json::json!(["sealed"])).unwrap();
        let unknown = parse(&|value| value["artifacts"][0]["install"]["kind"] = "msix".into()).unwrap();
        for release in [sealed, unknown] {
            let refused = release.artifacts[0].check_understood();
            assert!(matches!(refused, Err(ManifestError::NotUnderstood(_))), "{refused:?}");
        }
    }
}
