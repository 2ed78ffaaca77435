//! Reads the committed inputs: valid examples (which also serve as the expected documents for signed targets) and
//! malicious ones.

use std::path::Path;

/// A committed input.
pub(crate) struct Seed {
    /// The name of its file.
    pub(crate) name: String,
    /// The file's content.
    pub(crate) bytes: Vec<u8>,
}

/// Loads a target's inputs, sorted by name, because the run must depend on the seed alone.
pub(crate) fn load(target: &str) -> Result<Vec<Seed>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("reading {}: {error}", folder.display()))?;
    let mut seeds = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("reading {}: {error}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        seeds.push(Seed { name, bytes: read(&path)? });
    }
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    if seeds.is_empty() { Err(format!("{} is empty", folder.display())) } else { Ok(seeds) }
}

/// Reads one input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))
}

/// Returns the content of the input with this name.
pub(crate) fn named<'a>(seeds: &'a [Seed], name: &str) -> Result<&'a [u8], String> {
    let found = seeds.iter().find(|seed| seed.name == name);
    found.map(|seed| seed.bytes.as_slice()).ok_or(format!("the corpus lacks {name}"))
}

/// Parses the input with this name as JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(seeds: &[Seed], name: &str) -> Result<T, String> {
    serde_json::from_slice(named(seeds, name)?).map_err(|error| format!("{name} in the corpus: {error}"))
}
