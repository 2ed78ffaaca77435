//! Inspects the user's file before the demo starts. Properties that cannot be derived from its name are made up: the
//! package's name does not matter in a demo.

use crate::{
    demo::debian_requirements::{self, PackageHere},
    output::{Failure, WithContext as _},
};
use banyan_proto::manifest::{Kind, ManifestError};
use banyan_publisher::{
    PublisherError, ReleaseList,
    release_draft::{ReleaseDraft, ReleaseOverrides, draft_release},
};
use std::path::{Path, PathBuf};

/// A file that the demo can deploy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DemoFile {
    /// The file, or its release description.
    pub(super) path: PathBuf,
    /// The properties that cannot be derived from it.
    pub(super) given: ReleaseOverrides,
    /// The kind of file.
    pub(super) kind: Kind,
    /// The packages of this computer that a Debian package needs.
    pub(super) needs: Vec<PackageHere>,
}

/// Inspects a file. Reads all of it, so call it on a thread for blocking work.
pub(super) fn inspect_file(path: &Path) -> Result<DemoFile, Failure> {
    let action = || format!("use {} in the demo", path.display());
    let mut given = ReleaseOverrides::default();
    let draft = loop {
        match draft_release(path, &given, &ReleaseList::default(), &mut |_, _| {}) {
            Ok(draft) => break draft,
            Err(error) => match missing_property(&error) {
                Some("package") if given.name.is_none() => given.name = Some(package_name(path)),
                Some("version") if given.version.is_none() => given.version = Some("1".into()),
                _ => return Err(error).with_context(action),
            },
        }
    };
    let kind = common_kind(&draft).ok_or_else(|| {
        Failure::new(action(), "the release description has several kinds of files", "use one of the files instead")
    })?;
    let mut needs = Vec::new();
    for file in draft.files.iter().filter(|_| kind == Kind::Deb) {
        needs.extend(debian_requirements::check_requirements(&file.path)?);
    }
    Ok(DemoFile { path: path.to_owned(), given, kind, needs })
}

/// Returns the missing property, if that is the error.
fn missing_property(error: &PublisherError) -> Option<&'static str> {
    match error {
        PublisherError::CannotDerive { what: "name", .. } => Some("package"),
        PublisherError::CannotDerive { what: "version", .. } => Some("version"),
        PublisherError::Manifest(ManifestError::Field { field, .. }) => Some(field),
        _ => None,
    }
}

/// Returns the kind that all its files share.
fn common_kind(draft: &ReleaseDraft) -> Option<Kind> {
    let mut kinds = draft.manifest.artifacts.iter().map(|artifact| artifact.install.kind);
    let first = kinds.next()?;
    kinds.all(|kind| kind == first).then_some(first)
}

/// Derives a package name from the file name: only the allowed characters are kept.
fn package_name(path: &Path) -> String {
    let stem = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = stem.split('.').next().unwrap_or_default();
    let name: String = stem.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit()).take(32).collect();
    if name.is_empty() { "package".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_archive::fixture::archive_of;

    fn detect_terminal(name: &str) -> Result<DemoFile, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let is_archive = [".tar.gz", ".zip", ".tgz", ".tar"].iter().any(|ending| name.ends_with(ending));
        std::fs::write(&path, if is_archive { archive_of(b"some bytes") } else { b"some bytes".into() }).unwrap();
        inspect_file(&path)
    }

    #[test]
    fn any_archive_can_be_shown_whatever_it_is_called() {
        for (file, name, version) in [
            ("tool-1.4.tar.gz", None, None),
            ("My Photos.zip", Some("myphotos"), Some("1")),
            ("überall-2.0.tgz", Some("berall2"), None),
            ("___.tar", Some("package"), Some("1")),
        ] {
            let shown = detect_terminal(file).unwrap_or_else(|failure| panic!("{file}: {failure}"));
            assert_eq!((shown.given.name.as_deref(), shown.given.version.as_deref()), (name, version), "{file}");
            assert_eq!(shown.kind, Kind::Archive);
        }
    }

    #[test]
    fn what_is_neither_archive_nor_package_is_refused_before_anything_starts() {
        for file in ["notes.txt", "no-package.deb"] {
            let failure = detect_terminal(file).unwrap_err();
            assert!(failure.action.contains(file), "{failure}");
        }
        assert!(inspect_file(Path::new("nowhere/a.tar.gz")).unwrap_err().to_string().contains("nowhere"));
    }
}
