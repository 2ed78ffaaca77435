//! Manifests: what passes the check is consistent, and its names stay where they belong (rules T2, C1, C2).

use super::{Verdict, ensure};
use banyan_proto::{Artifact, Manifest, limits};
use std::path::Path;

/// Reads and checks one.
pub(super) fn check(input: &[u8]) -> Verdict {
    let Ok(manifest) = Manifest::parse(input) else { return Ok(false) };
    let text = serde_json::to_vec(&manifest).map_err(|error| format!("a manifest cannot be written: {error}"))?;
    ensure(Manifest::parse(&text).as_ref() == Ok(&manifest), "written and read again it is another manifest")?;
    ensure(is_one_name(&manifest.package) && is_one_name(&manifest.version), "a name that is a path")?;
    ensure(manifest.min_sequence <= manifest.sequence, "a release below its own floor")?;
    for artifact in &manifest.artifacts {
        check_artifact(artifact)?;
        ensure(manifest.artifact_for(&artifact.platform).is_some(), "a platform without its file")?;
    }
    Ok(true)
}

fn check_artifact(artifact: &Artifact) -> Result<(), String> {
    ensure(is_one_name(&artifact.file_name), "a file name that is a path")?;
    ensure(artifact.chunk_size as usize <= limits::CHUNK_BYTES, "a chunk that fits in no frame")?;
    let count = artifact.chunk_count();
    let bytes: u64 = (0..count).map(|index| u64::from(artifact.chunk_len(index))).sum();
    ensure(bytes == artifact.size, "the chunks are not the file")?;
    ensure((0..count).all(|index| artifact.chunk_len(index) > 0), "an empty chunk")?;
    ensure(artifact.chunk_len(count) == 0 && artifact.chunk_len(u32::MAX) == 0, "a chunk behind the end")?;
    for stripes in 1..=2 {
        let mut chunks = 0;
        for stripe in 0..stripes {
            let length = artifact.stripe_len(stripes, stripe);
            chunks += length;
            let last = length.checked_sub(1).map(|last| Artifact::chunk_index(stripes, stripe, last));
            ensure(last.is_none_or(|last| last < count), "a stripe goes behind the end")?;
        }
        ensure(chunks == count, "the stripes are not the file")?;
    }
    Ok(())
}

/// Joined to a folder it is a file in that folder.
fn is_one_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|last| last == name)
        && Path::new("folder").join(name).parent() == Some(Path::new("folder"))
}
