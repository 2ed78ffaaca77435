//! Hashes a file and its chunks in one pass.

use crate::{PublisherError, private_files::disk_error};
use banyan_proto::{
    Artifact, Digest, limits,
    manifest::{ChunkHashes, InstallSpec},
};
use std::{fs::File, io::Read as _, path::Path};

/// Returns the size of a file (bytes). Returns an error if the file cannot be an artifact.
pub(crate) fn artifact_size(path: &Path) -> Result<u64, PublisherError> {
    let about = std::fs::metadata(path).map_err(disk_error("read", path))?;
    let refused = |why| Err(PublisherError::UnsuitableFile { path: path.to_owned(), why });
    match about.len() {
        _ if !about.is_file() => refused("not a file"),
        0 => refused("the file is empty"),
        size if size > limits::ARTIFACT_BYTES => refused("larger than 68 GB, the maximum for an artifact"),
        size => Ok(size),
    }
}

/// Reads a file and describes it as an artifact. Calls `progress` with the size of each chunk (bytes).
pub(crate) fn hash_artifact(
    path: &Path,
    platform: String,
    install: InstallSpec,
    progress: &mut dyn FnMut(u64),
) -> Result<Artifact, PublisherError> {
    let size = artifact_size(path)?;
    let chunk_size = Artifact::chunk_size_for(size);
    let mut file = File::open(path).map_err(disk_error("read", path))?;
    let (mut whole, mut chunks, mut read) = (blake3::Hasher::new(), vec![], 0);
    let mut chunk = Vec::with_capacity(chunk_size as usize);
    loop {
        chunk.clear();
        let length =
            file.by_ref().take(u64::from(chunk_size)).read_to_end(&mut chunk).map_err(disk_error("read", path))?;
        if length == 0 {
            break;
        }
        whole.update(&chunk);
        chunks.push(Digest::of(&chunk));
        read += length as u64;
        progress(length as u64);
    }
    if read != size {
        return Err(PublisherError::UnsuitableFile { path: path.to_owned(), why: "it changed while being read" });
    }
    Ok(Artifact {
        must_understand: vec![],
        platform,
        file_name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        size,
        digest: Digest(*whole.finalize().as_bytes()),
        chunk_size,
        chunks: ChunkHashes(chunks),
        install,
    })
}
