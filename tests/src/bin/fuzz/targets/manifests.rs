//! Fuzz target: manifests. A manifest that passes the check must be consistent, and its names must stay inside their
//! folders (rules T2, C1, C2).

use super::{Verdict, ensure};
use banyan_proto::{Artifact, Manifest, limits};
use std::path::Path;

/// Parses and checks one manifest.
pub(super) fn check(input: &[u8]) -> Verdict {
    let Ok(manifest) = Manifest::parse(input) else { return Ok(false) };
    let text = serde_json::to_vec(&manifest).map_err(|error| format!("a manifest cannot be serialised: {error}"))?;
    ensure(Manifest::parse(&text).as_ref() == Ok(&manifest), "the manifest changes in a round trip")?;
    ensure(is_one_name(&manifest.package) && is_one_name(&manifest.version), "a name that is a path")?;
    ensure(manifest.min_sequence <= manifest.sequence, "a release is below its own minimum sequence")?;
    for artifact in &manifest.artifacts {
        check_artifact(artifact)?;
        ensure(manifest.artifact_for(&artifact.platform).is_some(), "a platform without its file")?;
    }
    Ok(true)
}

fn check_artifact(artifact: &Artifact) -> Result<(), String> {
    ensure(is_one_name(&artifact.file_name), "a file name that is a path")?;
    ensure(artifact.chunk_size as usize <= limits::CHUNK_BYTES, "a chunk does not fit into a frame")?;
    let count = artifact.chunk_count();
    let bytes: u64 = (0..count).map(|index| u64::from(artifact.chunk_len(index))).sum();
    ensure(bytes == artifact.size, "the chunks do not add up to the file")?;
    ensure((0..count).all(|index| artifact.chunk_len(index) > 0), "an empty chunk")?;
    ensure(artifact.chunk_len(count) == 0 && artifact.chunk_len(u32::MAX) == 0, "a chunk lies beyond the end")?;
    for stripes in 1..=2 {
        let mut chunks = 0;
        for stripe in 0..stripes {
            let length = artifact.stripe_len(stripes, stripe);
            chunks += length;
            let last = length.checked_sub(1).map(|last| Artifact::chunk_index(stripes, stripe, last));
            ensure(last.is_none_or(|last| last < count), "a stripe goes beyond the end")?;
        }
        ensure(chunks == count, "the stripes do not add up to the file")?;
    }
    Ok(())
}

/// Whether the name, joined to a folder, is a file directly in that folder.
fn is_one_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|last| last == name)
        && Path::new("folder").join(name).parent() == Some(Path::new("folder"))
}
