//! Turns a file or a release.toml into a manifest.

use crate::{
    Published, PublisherError, artifact_hash,
    derived_properties::{self, Guess},
    release_description::{PlatformFile, ReleaseFile},
};
use banyan_proto::{
    Digest, Manifest,
    manifest::{InstallSpec, Kind},
};
use std::path::{Path, PathBuf};

/// Properties given on the command line. They override derived ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Given {
    /// The package name.
    pub name: Option<String>,
    /// The version.
    pub version: Option<String>,
    /// The kind of file.
    pub kind: Option<Kind>,
    /// The platform of the file.
    pub platform: Option<String>,
    /// The sequence; `None` for one above the highest published.
    pub sequence: Option<u64>,
    /// The release notes.
    pub notes: Option<String>,
}

/// An unsigned release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The manifest.
    pub manifest: Manifest,
    /// The files by hash, without duplicates.
    pub files: Vec<(Digest, PathBuf)>,
    /// Whether it was derived from a bare file. The derived properties are shown before signing.
    pub derived: bool,
}

/// Describes the release of a file, or of a `release.toml`. Calls `progress` with the bytes read and the total.
///
/// # Errors
/// Returns an error when the file cannot be read or published, or when a property cannot be derived.
pub fn describe(
    path: &Path,
    given: &Given,
    published: &Published,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Draft, PublisherError> {
    let derived = !ReleaseFile::is_one(path);
    let (description, files) = if derived { bare(path, given)? } else { written(path, given)? };
    let mut total = 0;
    for (_, file, _) in &files {
        total += artifact_hash::size(file)?;
    }
    let mut done = 0;
    let mut draft = Draft { manifest: description, files: vec![], derived };
    for (platform, file, install) in files {
        let mut read = |bytes| {
            done += bytes;
            progress(done, total);
        };
        let artifact = artifact_hash::artifact(&file, platform, install, &mut read)?;
        if draft.files.iter().all(|(digest, _)| *digest != artifact.digest) {
            draft.files.push((artifact.digest, file));
        }
        draft.manifest.artifacts.push(artifact);
    }
    let manifest = &mut draft.manifest;
    if manifest.sequence == 0 {
        manifest.sequence = published.highest_sequence(&manifest.package).saturating_add(1);
    }
    manifest.check()?;
    Ok(draft)
}

type Files = Vec<(String, PathBuf, InstallSpec)>;

fn bare(path: &Path, given: &Given) -> Result<(Manifest, Files), PublisherError> {
    let cannot = |what, option| PublisherError::CannotTell { what, file: path.to_owned(), option };
    artifact_hash::size(path)?;
    let kind = given
        .kind
        .or_else(|| derived_properties::kind(path))
        .ok_or_else(|| cannot("kind", "--kind archive or --kind deb"))?;
    let everything_given = given.name.is_some() && given.version.is_some() && given.platform.is_some();
    let guess = match kind {
        _ if everything_given => Guess::default(),
        Kind::Archive => derived_properties::archive(path),
        Kind::Deb => derived_properties::deb(path)?,
    };
    let name = given.name.clone().or(guess.name).ok_or_else(|| cannot("name", "--name"))?;
    let version = given.version.clone().or(guess.version).ok_or_else(|| cannot("version", "--version"))?;
    let platform = given.platform.clone().or(guess.platform).ok_or_else(|| cannot("platform", "--platform"))?;
    let install = InstallSpec { kind, detect: None, probe: None, undo: None, needs_bytes: 0 };
    let manifest = Manifest {
        format: 1,
        package: name,
        version,
        sequence: given.sequence.unwrap_or(0),
        min_sequence: 0,
        rollback_to: None,
        publisher: String::new(),
        notes: given.notes.clone().unwrap_or_default(),
        artifacts: vec![],
    };
    Ok((manifest, vec![(platform, path.to_owned(), install)]))
}

fn written(path: &Path, given: &Given) -> Result<(Manifest, Files), PublisherError> {
    for (is_given, option) in [(given.kind.is_some(), "--kind"), (given.platform.is_some(), "--platform")] {
        if is_given {
            return Err(PublisherError::NotWithDescription { option });
        }
    }
    let release = ReleaseFile::read(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = |(platform, described): (String, PlatformFile)| {
        let path = folder.join(&described.file);
        let kind = described.kind.or_else(|| derived_properties::kind(&path));
        let what = || PublisherError::CannotTell {
            what: "kind",
            file: path.clone(),
            option: "`kind` in the release description",
        };
        let install = InstallSpec {
            kind: kind.ok_or_else(what)?,
            detect: described.detect.map(Into::into),
            probe: described.probe.map(Into::into),
            undo: described.undo.map(Into::into),
            needs_bytes: described.needs_bytes,
        };
        Ok((platform, path, install))
    };
    let files = release.platform.into_iter().map(file).collect::<Result<Files, PublisherError>>()?;
    let manifest = Manifest {
        format: 1,
        package: given.name.clone().unwrap_or(release.name),
        version: given.version.clone().unwrap_or(release.version),
        sequence: given.sequence.or(release.sequence).unwrap_or(0),
        min_sequence: release.min_sequence,
        rollback_to: release.rollback_to,
        publisher: release.publisher,
        notes: given.notes.clone().unwrap_or(release.notes),
        artifacts: vec![],
    };
    Ok((manifest, files))
}
