//! Writes, opens and checks package files (`NAME-VERSION.banyan`). `banyan_trust::package` defines the format.

use crate::{PublisherError, private_files, release_draft::SourceFile};
use banyan_proto::{Artifact, Digest, Manifest, UnixSeconds};
use banyan_trust::{
    SignedRelease, TrustStore,
    package::{Head, artifacts},
    valid_signers,
};
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

/// The location of an artifact's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactSection {
    /// Their BLAKE3 hash.
    pub digest: Digest,
    /// The file that contains them.
    pub path: PathBuf,
    /// The offset of the first byte.
    pub offset: u64,
    /// The number of bytes.
    pub size: u64,
}

/// A package file whose head has been verified: everything except the artifacts' bytes.
pub struct OpenedPackage {
    /// The head, as in the file.
    pub head: Head,
    /// The signed release.
    pub release: SignedRelease,
    /// The hash of the first root, which identifies the publisher.
    pub root_hash: Digest,
    /// Ids of the keys that signed the list.
    pub signed_by: Vec<String>,
    /// The artifacts, not read yet.
    pub sections: Vec<ArtifactSection>,
}

/// Writes a package file atomically. Calls `progress` with the number of bytes copied.
///
/// # Errors
/// Returns an error when a file cannot be read, changed since it was described, or the disk fails.
pub fn write_package(
    path: &Path,
    head: &Head,
    manifest: &Manifest,
    sources: &[SourceFile],
    progress: &mut dyn FnMut(u64),
) -> Result<(), PublisherError> {
    let write_error = |path: &Path| private_files::disk_error("write", path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let bytes = head.encode().map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    let mut out = tempfile::NamedTempFile::new_in(folder).map_err(write_error(path))?;
    out.write_all(&bytes).map_err(write_error(path))?;
    for artifact in artifacts(manifest) {
        let Some(SourceFile { path: source, .. }) = sources.iter().find(|source| source.digest == artifact.digest)
        else {
            return Err(PublisherError::Unwritable(format!("the file for {} is missing", artifact.platform)));
        };
        let mut file = BufReader::new(File::open(source).map_err(private_files::disk_error("read", source))?);
        let changed = || PublisherError::UnsuitableFile { path: source.clone(), why: "it changed while being read" };
        read_verified_chunks(&mut file, artifact, |chunk| {
            progress(chunk.len() as u64);
            out.write_all(chunk)
        })
        .map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData { changed() } else { write_error(path)(error) }
        })?;
    }
    // A package is not secret, unlike everything else that is written this way.
    #[cfg(unix)]
    out.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644)).map_err(write_error(path))?;
    out.as_file().sync_all().map_err(write_error(path))?;
    out.persist(path).map_err(|error| write_error(path)(error.error))?;
    Ok(())
}

/// Opens a package file and verifies its signatures. The artifacts' sizes are then verified, but their bytes are
/// unread. `expected` is the hash of the first root, if it is known from elsewhere.
///
/// # Errors
/// Returns an error when the file is not a package, is not signed by its own or the expected publisher, or has a
/// different length than the signed metadata require.
pub fn open_package(path: &Path, expected: Option<Digest>, now: UnixSeconds) -> Result<OpenedPackage, PublisherError> {
    let invalid = |why: String| PublisherError::InvalidPackage { path: path.to_owned(), why };
    let file = File::open(path).map_err(private_files::disk_error("read", path))?;
    let length = file.metadata().map_err(private_files::disk_error("read", path))?.len();
    let mut reader = BufReader::new(file);
    let head = Head::read(&mut reader).map_err(|error| invalid(error.to_string()))?;
    let mut offset = reader.stream_position().map_err(private_files::disk_error("read", path))?;
    let first = head.roots.first().ok_or_else(|| invalid("it contains no root".into()))?;
    let root_hash = Digest::of(first.as_bytes());
    let untrusted = |error| PublisherError::PackageUntrusted { path: path.to_owned(), source: error };
    let trust = TrustStore::enrol(first, expected.unwrap_or(root_hash)).map_err(untrusted)?;
    let (release, trust) = trust.check_signed(&head.roots, &head.targets, &head.manifest, now).map_err(untrusted)?;
    let signed_by = valid_signers(trust.root(), "targets", &head.targets).map_err(untrusted)?;
    let mut sections = vec![];
    for artifact in artifacts(release.manifest()) {
        sections.push(ArtifactSection { digest: artifact.digest, path: path.to_owned(), offset, size: artifact.size });
        offset = offset.saturating_add(artifact.size);
    }
    if length != offset {
        return Err(invalid(format!("it has {length} bytes, but the signed metadata require {offset}")));
    }
    Ok(OpenedPackage { head, release, root_hash, signed_by, sections })
}

/// Reads all artifacts and compares them with the signed hashes. Calls `progress` with the size of each chunk (bytes).
///
/// # Errors
/// Names the first artifact that does not match.
pub fn verify_contents(opened: &OpenedPackage, progress: &mut dyn FnMut(u64)) -> Result<(), PublisherError> {
    for (artifact, section) in artifacts(opened.release.manifest()).into_iter().zip(&opened.sections) {
        let path = &section.path;
        let mut file = File::open(path).map_err(private_files::disk_error("read", path))?;
        file.seek(SeekFrom::Start(section.offset)).map_err(private_files::disk_error("read", path))?;
        read_verified_chunks(&mut BufReader::new(file), artifact, |chunk| {
            progress(chunk.len() as u64);
            Ok(())
        })
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => PublisherError::InvalidPackage {
                path: path.clone(),
                why: format!("the content of {} does not match the signature", artifact.file_name),
            },
            _ => private_files::disk_error("read", path)(error),
        })?;
    }
    Ok(())
}

/// Reads an artifact chunk by chunk. Passes a chunk to `consume` only if its hash matches (rule C3).
fn read_verified_chunks(
    from: &mut impl Read,
    artifact: &Artifact,
    mut consume: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; artifact.chunk_size as usize];
    let mut whole = blake3::Hasher::new();
    for (index, expected) in (0..).zip(&artifact.chunks.0) {
        let chunk = &mut buffer[..artifact.chunk_len(index) as usize];
        from.read_exact(chunk)?;
        if Digest::of(chunk) != *expected {
            return Err(io::ErrorKind::InvalidData.into());
        }
        whole.update(chunk);
        consume(chunk)?;
    }
    if Digest(*whole.finalize().as_bytes()) == artifact.digest {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
