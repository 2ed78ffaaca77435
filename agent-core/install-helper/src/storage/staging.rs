//! The install helper's own copy of the artifact. It is hashed while it is written, so that exactly the verified bytes
//! are installed, whatever happens to the file behind the handle meanwhile.

use crate::{
    error::{InstallError, IoContext},
    storage::files::remove_path,
    sys,
};
use banyan_proto::{Digest, Reason};
use std::{fs::File, io::Write, path::Path};

/// How much is read, hashed and written at once (bytes). It stays in the processor's cache in between.
const COPY_BYTES: usize = 128 << 10;

/// Copies `size` bytes from the handle to `to`. A wrong length or hash leaves no copy.
pub(crate) fn copy_verified(source: &File, to: &Path, size: u64, expected: Digest) -> Result<(), InstallError> {
    remove_path(to)?;
    let copied = copy(source, to, size, expected);
    if copied.is_err() {
        remove_path(to)?;
    }
    copied
}

fn copy(source: &File, to: &Path, size: u64, expected: Digest) -> Result<(), InstallError> {
    let reading = || "reading the artifact from the handle".to_owned();
    let writing = || format!("writing {}", to.display());
    let mut target = sys::create_private_file(to).context(writing)?;
    let (mut hasher, mut buffer, mut length) = (blake3::Hasher::new(), vec![0; COPY_BYTES], 0_u64);
    // Stops at the first piece beyond `size`, so that an endless file is not read.
    while length <= size {
        let count = sys::read_at(source, &mut buffer, length).context(reading)?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        target.write_all(&buffer[..count]).context(writing)?;
        length += count as u64;
    }
    let found = Digest(*hasher.finalize().as_bytes());
    if length != size || found != expected {
        let detail = format!("expected {size} bytes with BLAKE3 {expected}, found {length} or more with {found}");
        return Err(InstallError::new(Reason::BadArtifact, detail));
    }
    Ok(())
}

/// Makes the copy survive a power cut.
pub(crate) fn sync(staged: &Path) -> Result<(), InstallError> {
    let synced = File::options().write(true).open(staged).and_then(|file| file.sync_all());
    synced.context(|| format!("syncing {}", staged.display()))
}

/// Whether a copy from an earlier run is still intact.
pub(crate) fn is_intact(staged: &Path, expected: Digest) -> Result<bool, InstallError> {
    let Ok(file) = File::open(staged) else { return Ok(false) };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).context(|| format!("reading {}", staged.display()))?;
    Ok(Digest(*hasher.finalize().as_bytes()) == expected)
}
