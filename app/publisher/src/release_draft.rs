//! Drafts a release: turns a file or a release.toml into a manifest.

use crate::{
    PublisherError, ReleaseList,
    archive_check::CheckedArchive,
    artifact_hash,
    deb_check::CheckedDeb,
    derived_properties, file_name,
    release_description::{PlatformSection, ReleaseDescription},
};
use banyan_proto::{
    Digest, Format, Manifest,
    manifest::{InstallSpec, Kind, ManifestError},
};
use std::path::{Path, PathBuf};

/// Highest sequence that a publisher can give. Dates with seconds (20261129135959) are far below.
const MAX_GIVEN_SEQUENCE: u64 = 1_000_000_000_000_000;

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
    /// Whether the publisher gave the sequence.
    pub has_given_sequence: bool,
    /// What the publisher should know before signing, for people.
    pub warnings: Vec<String>,
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
    let UnhashedRelease { manifest, files, warnings } =
        if is_derived { draft_from_file(path, overrides)? } else { draft_from_description(path, overrides)? };
    let mut total = 0;
    for file in &files {
        total += artifact_hash::artifact_size(&file.path)?;
    }
    let mut done = 0;
    let has_given_sequence = manifest.sequence != 0;
    if manifest.sequence > MAX_GIVEN_SEQUENCE {
        let why = format!("use at most {MAX_GIVEN_SEQUENCE}, so that newer releases can follow");
        return Err(ManifestError::Field { field: "sequence", why }.into());
    }
    let mut draft = ReleaseDraft { manifest, files: vec![], is_derived, has_given_sequence, warnings };
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

/// A release whose files have not been hashed yet.
struct UnhashedRelease {
    manifest: Manifest,
    files: Vec<PlatformFile>,
    warnings: Vec<String>,
}

/// Drafts the release of a bare file. Machines can be newer than this program, so a publisher who states kind and
/// platform may publish an archive of a format that is unknown here, with a warning.
fn draft_from_file(path: &Path, overrides: &ReleaseOverrides) -> Result<UnhashedRelease, PublisherError> {
    let cannot = |what, option| PublisherError::CannotDerive { what, file: path.to_owned(), option };
    artifact_hash::artifact_size(path)?;
    let kind = overrides.kind.or_else(|| derived_properties::kind_of_file(path)).ok_or_else(|| {
        let unknown = || cannot("kind", "--kind archive or --kind deb");
        derived_properties::explain_other_format(path).unwrap_or_else(unknown)
    })?;
    let kind = require_known_kind(kind)?;
    let from_name = file_name::parse(&path.file_name().unwrap_or_default().to_string_lossy());
    let deb = if kind == Kind::Deb { Some(CheckedDeb::read(path)?) } else { None };
    let (own_name, own_version) = match &deb {
        Some(deb) => (Some(deb.name()), Some(deb.version())),
        None => (from_name.name.clone(), from_name.version.clone()),
    };
    let name = overrides.name.clone().or(own_name).ok_or_else(|| cannot("name", "--name"))?;
    let version = overrides.version.clone().or(own_version).ok_or_else(|| cannot("version", "--version"))?;
    let stated = overrides.platform.as_deref();
    stated.map_or(Ok(()), check_platform_name)?;
    let mut install = InstallSpec::new(kind);
    let warnings;
    let platform = if let Some(deb) = deb {
        let platform = stated.map_or_else(|| deb.platform(), str::to_owned);
        deb.check(&name, &version, &platform)?;
        warnings = deb.warnings(&platform);
        platform
    } else {
        match (CheckedArchive::read(path, 0), stated.filter(|_| overrides.kind.is_some())) {
            (Err(error), Some(platform)) if error.is_unknown_format() => {
                warnings = vec![format!("{error}; it is published anyway, because --kind and --platform are given")];
                platform.to_owned()
            }
            (checked, _) => {
                let checked = checked?;
                let platform = checked.platform(path, stated, &from_name)?;
                check_archive(&checked, path, &platform, &mut install)?;
                let is_guessed = stated.is_none() && (from_name.system.is_none() || from_name.processor.is_none());
                warnings = checked.warnings(path, &platform, is_guessed);
                platform
            }
        }
    };
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
    let files = vec![PlatformFile { platform, path: path.to_owned(), install }];
    Ok(UnhashedRelease { manifest, files, warnings })
}

/// Checks the name of a platform: no machine would match another one.
fn check_platform_name(given: &str) -> Result<(), PublisherError> {
    if let Some(usual) = file_name::usual_platform(given).filter(|usual| usual != given) {
        return Err(PublisherError::PlatformName { given: given.to_owned(), usual });
    }
    if file_name::is_platform(given) {
        Ok(())
    } else {
        Err(PublisherError::UnknownPlatform { given: given.to_owned() })
    }
}

/// Checks what a machine of the platform will do with an archive, and states how much room it needs.
fn check_archive(
    checked: &CheckedArchive,
    path: &Path,
    platform: &str,
    install: &mut InstallSpec,
) -> Result<(), PublisherError> {
    checked.check_rules(path, platform)?;
    install.probe.as_ref().map_or(Ok(()), |probe| checked.check_probe(path, platform, probe))?;
    if install.needs_bytes == 0 {
        install.needs_bytes = checked.needs_bytes();
    }
    Ok(())
}

fn draft_from_description(path: &Path, overrides: &ReleaseOverrides) -> Result<UnhashedRelease, PublisherError> {
    for (is_given, option) in [(overrides.kind.is_some(), "--kind"), (overrides.platform.is_some(), "--platform")] {
        if is_given {
            return Err(PublisherError::OptionWithDescription { option });
        }
    }
    let release = ReleaseDescription::read(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut warnings = vec![];
    let package = overrides.name.clone().unwrap_or(release.name);
    let version = overrides.version.clone().unwrap_or(release.version);
    let file = |(platform, described): (String, PlatformSection)| {
        let path = folder.join(&described.file);
        artifact_hash::artifact_size(&path)?;
        check_platform_name(&platform)?;
        let kind = described.kind.or_else(|| derived_properties::kind_of_file(&path));
        let what = || PublisherError::CannotDerive {
            what: "kind",
            file: path.clone(),
            option: "`kind` in the release description",
        };
        let mut install = InstallSpec {
            kind: kind
                .ok_or_else(|| derived_properties::explain_other_format(&path).unwrap_or_else(what))
                .and_then(require_known_kind)?,
            detect: described.detect.map(Into::into),
            probe: described.probe.map(Into::into),
            undo: described.undo.map(Into::into),
            needs_bytes: described.needs_bytes,
            script_timeout_seconds: described.script_timeout_seconds,
            keep_versions: described.keep_versions,
        };
        if install.kind == Kind::Archive {
            let checked = CheckedArchive::read(&path, install.needs_bytes)?;
            if described.check_programs {
                checked.check_platform(&path, "the release description", &platform)?;
            }
            check_archive(&checked, &path, &platform, &mut install)?;
            warnings.extend(checked.warnings(&path, &platform, false));
        }
        if install.kind == Kind::Deb {
            let checked = CheckedDeb::read(&path)?;
            checked.check(&package, &version, &platform)?;
            warnings.extend(checked.warnings(&platform));
        }
        Ok(PlatformFile { platform, path, install })
    };
    let files = release.platform.into_iter().map(file).collect::<Result<Vec<_>, PublisherError>>()?;
    let manifest = Manifest {
        format: Manifest::FORMAT,
        must_understand: vec![],
        title: release.title,
        package,
        version,
        sequence: overrides.sequence.or(release.sequence).unwrap_or(0),
        min_sequence: release.min_sequence,
        rollback_to: release.rollback_to,
        publisher: release.publisher,
        notes: overrides.notes.clone().unwrap_or(release.notes),
        artifacts: vec![],
    };
    Ok(UnhashedRelease { manifest, files, warnings })
}
