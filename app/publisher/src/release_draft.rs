//! Drafts a release: turns a file or a release.toml into a manifest.

use crate::{
    PublisherError, ReleaseList, artifact_hash,
    derived_properties::{self, DerivedProperties},
    release_description::{PlatformSection, ReleaseDescription},
};
use banyan_proto::{
    Digest, Format, Manifest,
    manifest::{InstallSpec, Kind, ManifestError},
};
use std::path::{Path, PathBuf};

/// Properties given on the command line. They override derived ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseOverrides {
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

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its BLAKE3 hash.
    pub digest: Digest,
    /// Its path.
    pub path: PathBuf,
}

/// An unsigned release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseDraft {
    /// The manifest.
    pub manifest: Manifest,
    /// The files by hash, without duplicates.
    pub files: Vec<SourceFile>,
    /// Whether it was derived from a bare file. The derived properties are shown before signing.
    pub is_derived: bool,
}

/// Drafts the release of a file, or of a `release.toml`. Calls `progress` with the bytes read and the total.
///
/// # Errors
/// Returns an error when the file cannot be read or published, or when a property cannot be derived.
pub fn draft_release(
    path: &Path,
    overrides: &ReleaseOverrides,
    published: &ReleaseList,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ReleaseDraft, PublisherError> {
    let is_derived = !ReleaseDescription::is_description(path);
    let (manifest, files) =
        if is_derived { draft_from_file(path, overrides)? } else { draft_from_description(path, overrides)? };
    let mut total = 0;
    for file in &files {
        total += artifact_hash::artifact_size(&file.path)?;
    }
    let mut done = 0;
    let mut draft = ReleaseDraft { manifest, files: vec![], is_derived };
    for PlatformFile { platform, path, install } in files {
        let mut read = |bytes| {
            done += bytes;
            progress(done, total);
        };
        let artifact = artifact_hash::hash_artifact(&path, platform, install, &mut read)?;
        if draft.files.iter().all(|file| file.digest != artifact.digest) {
            draft.files.push(SourceFile { digest: artifact.digest, path });
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

fn unknown_kind() -> PublisherError {
    ManifestError::Field { field: "kind", why: "use archive or deb".into() }.into()
}

/// Returns the kind, unless this version cannot install it.
fn require_known_kind(kind: Kind) -> Result<Kind, PublisherError> {
    if kind == Kind::Unknown { Err(unknown_kind()) } else { Ok(kind) }
}

/// A file with its platform and what machines do with it.
struct PlatformFile {
    platform: String,
    path: PathBuf,
    install: InstallSpec,
}

fn draft_from_file(path: &Path, overrides: &ReleaseOverrides) -> Result<(Manifest, Vec<PlatformFile>), PublisherError> {
    let cannot = |what, option| PublisherError::CannotDerive { what, file: path.to_owned(), option };
    artifact_hash::artifact_size(path)?;
    let kind = overrides
        .kind
        .or_else(|| derived_properties::kind_from_extension(path))
        .ok_or_else(|| cannot("kind", "--kind archive or --kind deb"))?;
    let nothing_to_derive = overrides.name.is_some() && overrides.version.is_some() && overrides.platform.is_some();
    let derived = match kind {
        _ if nothing_to_derive => DerivedProperties::default(),
        Kind::Archive => derived_properties::from_archive_name(path),
        Kind::Deb => derived_properties::from_deb_control(path)?,
        Kind::Unknown => return Err(unknown_kind()),
    };
    let name = overrides.name.clone().or(derived.name).ok_or_else(|| cannot("name", "--name"))?;
    let version = overrides.version.clone().or(derived.version).ok_or_else(|| cannot("version", "--version"))?;
    let platform = overrides.platform.clone().or(derived.platform).ok_or_else(|| cannot("platform", "--platform"))?;
    let install = InstallSpec::new(kind);
    let manifest = Manifest {
        format: Manifest::FORMAT,
        must_understand: vec![],
        title: String::new(),
        package: name,
        version,
        sequence: overrides.sequence.unwrap_or(0),
        min_sequence: 0,
        rollback_to: None,
        publisher: String::new(),
        notes: overrides.notes.clone().unwrap_or_default(),
        artifacts: vec![],
    };
    Ok((manifest, vec![PlatformFile { platform, path: path.to_owned(), install }]))
}

fn draft_from_description(
    path: &Path,
    overrides: &ReleaseOverrides,
) -> Result<(Manifest, Vec<PlatformFile>), PublisherError> {
    for (is_given, option) in [(overrides.kind.is_some(), "--kind"), (overrides.platform.is_some(), "--platform")] {
        if is_given {
            return Err(PublisherError::OptionWithDescription { option });
        }
    }
    let release = ReleaseDescription::read(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = |(platform, described): (String, PlatformSection)| {
        let path = folder.join(&described.file);
        let kind = described.kind.or_else(|| derived_properties::kind_from_extension(&path));
        let what = || PublisherError::CannotDerive {
            what: "kind",
            file: path.clone(),
            option: "`kind` in the release description",
        };
        let install = InstallSpec {
            kind: kind.ok_or_else(what).and_then(require_known_kind)?,
            detect: described.detect.map(Into::into),
            probe: described.probe.map(Into::into),
            undo: described.undo.map(Into::into),
            needs_bytes: described.needs_bytes,
            script_timeout_seconds: described.script_timeout_seconds,
        };
        Ok(PlatformFile { platform, path, install })
    };
    let files = release.platform.into_iter().map(file).collect::<Result<Vec<_>, PublisherError>>()?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        must_understand: vec![],
        title: release.title,
        package: overrides.name.clone().unwrap_or(release.name),
        version: overrides.version.clone().unwrap_or(release.version),
        sequence: overrides.sequence.or(release.sequence).unwrap_or(0),
        min_sequence: release.min_sequence,
        rollback_to: release.rollback_to,
        publisher: release.publisher,
        notes: overrides.notes.clone().unwrap_or(release.notes),
        artifacts: vec![],
    };
    Ok((manifest, files))
}
