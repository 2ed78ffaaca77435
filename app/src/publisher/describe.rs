//! From a file, or from a release.toml, to a manifest.

use super::{
    Published, PublisherError,
    guess::{self, Guess},
    hash,
    release_file::{PlatformFile, ReleaseFile},
};
use banyan_proto::{
    Digest, Manifest,
    manifest::{InstallSpec, Kind},
};
use std::path::{Path, PathBuf};

/// What is said by hand. It comes before what is derived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Given {
    /// Name of the package.
    pub(crate) name: Option<String>,
    /// Version.
    pub(crate) version: Option<String>,
    /// What the file is.
    pub(crate) kind: Option<Kind>,
    /// The platform it is for.
    pub(crate) platform: Option<String>,
    /// Sequence; without it the highest published one and 1.
    pub(crate) sequence: Option<u64>,
    /// Release notes.
    pub(crate) notes: Option<String>,
}

/// A release that nobody has signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Its manifest.
    pub(crate) manifest: Manifest,
    /// Its files by hash, each once.
    pub(crate) files: Vec<(Digest, PathBuf)>,
    /// Whether it was derived from a bare file: to be shown before it is signed.
    pub(crate) derived: bool,
}

/// Describes the release of a file, or of a `release.toml`. `progress` hears how many bytes have been read, of how many.
///
/// # Errors
/// When the file cannot be read or cannot be published, or something about it has to be given by hand.
pub(crate) fn describe(
    path: &Path,
    given: &Given,
    published: &Published,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Draft, PublisherError> {
    let derived = !ReleaseFile::is_one(path);
    let (description, files) = if derived { bare(path, given)? } else { written(path, given)? };
    let mut total = 0;
    for (_, file, _) in &files {
        total += hash::size(file)?;
    }
    let mut done = 0;
    let mut draft = Draft { manifest: description, files: vec![], derived };
    for (platform, file, install) in files {
        let mut read = |bytes| {
            done += bytes;
            progress(done, total);
        };
        let artifact = hash::artifact(&file, platform, install, &mut read)?;
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
    hash::size(path)?;
    let kind =
        given.kind.or_else(|| guess::kind(path)).ok_or_else(|| cannot("kind", "--kind archive or --kind deb"))?;
    let everything_given = given.name.is_some() && given.version.is_some() && given.platform.is_some();
    let guess = match kind {
        _ if everything_given => Guess::default(),
        Kind::Archive => guess::archive(path),
        Kind::Deb => guess::deb(path)?,
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
        let kind = described.kind.or_else(|| guess::kind(&path));
        let what =
            || PublisherError::CannotTell { what: "kind", file: path.clone(), option: "`kind` in the description" };
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
