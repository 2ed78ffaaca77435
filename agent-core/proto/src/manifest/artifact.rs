//! The file of a release for one platform, and its chunks.

use super::{InstallSpec, Kind, ManifestError};
use crate::{Digest, limits};
use serde::{Deserialize, Serialize};

/// The file of a release for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What a machine of this platform must understand to install the file. Machines of other platforms ignore it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_understand: Vec<String>,
    /// The platform: `linux-x86_64`, `windows-x86_64`, … or `any`.
    pub platform: String,
    /// The file's name, without a path. It is for people and for installers that depend on the file extension.
    pub file_name: String,
    /// The file's size in bytes.
    pub size: u64,
    /// BLAKE3 of the whole file.
    pub digest: Digest,
    /// The size of every chunk except the last, in bytes.
    pub chunk_size: u32,
    /// BLAKE3 of each chunk, in order.
    pub chunks: ChunkHashes,
    /// How to install it.
    pub install: InstallSpec,
}

/// The hashes of all chunks. The text form is the base64 of their concatenated 32-byte values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ChunkHashes(pub Vec<Digest>);

impl From<ChunkHashes> for String {
    fn from(hashes: ChunkHashes) -> String {
        data_encoding::BASE64.encode(&hashes.0.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())
    }
}
impl TryFrom<String> for ChunkHashes {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = crate::signed::base64(&text).ok_or("chunk hashes must be in base64")?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() {
            return Err("chunk hashes must have 32 bytes each");
        }
        Ok(Self(hashes.iter().map(|hash| Digest(*hash)).collect()))
    }
}

impl Artifact {
    /// Checks that this version of Banyan knows everything that installing the file requires.
    ///
    /// # Errors
    /// Returns [`ManifestError::NotUnderstood`].
    pub fn check_understood(&self) -> Result<(), ManifestError> {
        let file = &self.file_name;
        let newer =
            |what| Err(ManifestError::NotUnderstood(format!("{file} {what}, so it needs a newer version of Banyan")));
        match self.must_understand.first() {
            Some(item) => newer(format!("requires {:?}", item.chars().take(64).collect::<String>())),
            None if self.install.kind == Kind::Unknown => newer("is of an unknown kind".to_owned()),
            None => Ok(()),
        }
    }
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        let bad = |field, why: String| Err(ManifestError::Field { field, why });
        let size = self.chunk_size as usize;
        if !(limits::CHUNK_BYTES_MIN..=limits::CHUNK_BYTES).contains(&size) {
            return bad("chunk_size", size.to_string());
        }
        if self.size == 0 || self.size > limits::ARTIFACT_BYTES {
            return bad("size", self.size.to_string());
        }
        if self.chunks.0.len() as u64 != self.size.div_ceil(u64::from(self.chunk_size)) {
            return bad("chunks", format!("{} hashes for {} bytes", self.chunks.0.len(), self.size));
        }
        let name = &self.file_name;
        if name.is_empty()
            || name.len() > 128
            || name.starts_with('.')
            || name.contains(['/', '\\', ':', '\0'])
            || name.chars().any(char::is_control)
        {
            return bad("file_name", format!("{name:?}; use at most 128 bytes, no / \\ : and no dot at the start"));
        }
        for command in [&self.install.detect, &self.install.probe, &self.install.undo].into_iter().flatten() {
            if command.argv.is_empty() || command.timeout_seconds == 0 || command.timeout_seconds > 3600 {
                return bad("command", "a command needs a program and a timeout of 1 to 3600 seconds".into());
            }
        }
        let longest = InstallSpec::MAX_SCRIPT_TIMEOUT_SECONDS;
        if self.install.script_timeout_seconds.is_some_and(|seconds| !(1..=longest).contains(&seconds)) {
            return bad("script_timeout_seconds", format!("use 1 to {longest} seconds"));
        }
        match self.install.keep_versions {
            Some(number) if number == 0 || number > limits::KEPT_VERSIONS => {
                bad("keep_versions", format!("{number}: use 1 to {}", limits::KEPT_VERSIONS))
            }
            _ => Ok(()),
        }
    }
    /// Returns the chunk size for a file (rule C1): a power of two from 16 to 256 KiB that gives 1024 or more chunks if
    /// possible.
    ///
    /// A machine forwards a chunk once it is complete, so each hop adds the duration of one chunk. With 1024 instead of
    /// 256 chunks, 64 MiB reach sixteen machines in the lab in 1.11 instead of 1.19 units (40 Mbit/s).
    #[must_use]
    pub fn chunk_size_for(file_bytes: u64) -> u32 {
        let wanted = (file_bytes / 1024).clamp(limits::CHUNK_BYTES_MIN as u64, limits::CHUNK_BYTES as u64);
        1 << wanted.ilog2()
    }
    /// Returns the number of chunks.
    #[must_use]
    pub fn chunk_count(&self) -> u32 {
        u32::try_from(self.chunks.0.len()).unwrap_or(u32::MAX)
    }
    /// Returns the size of a chunk in bytes; zero if the chunk does not exist.
    #[must_use]
    pub fn chunk_len(&self, index: u32) -> u32 {
        let start = u64::from(index) * u64::from(self.chunk_size);
        u32::try_from(self.size.saturating_sub(start).min(u64::from(self.chunk_size))).unwrap_or(0)
    }
    /// Returns the number of chunks in one of `stripes` stripes (rule C2: chunk i belongs to stripe i mod k).
    #[must_use]
    pub fn stripe_len(&self, stripes: u8, stripe: u8) -> u32 {
        let (count, stripes, stripe) = (self.chunk_count(), u32::from(stripes), u32::from(stripe));
        count.saturating_sub(stripe).div_ceil(stripes)
    }
    /// Returns the index in the file of the stripe's chunk with this ordinal.
    #[must_use]
    pub fn chunk_index(stripes: u8, stripe: u8, ordinal: u32) -> u32 {
        ordinal * u32::from(stripes) + u32::from(stripe)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::manifest) fn artifact(size: u64) -> Artifact {
        let chunk_size = Artifact::chunk_size_for(size);
        let chunks = ChunkHashes(vec![Digest([0; 32]); usize::try_from(size.div_ceil(u64::from(chunk_size))).unwrap()]);
        let install = InstallSpec::new(Kind::Archive);
        Artifact {
            must_understand: vec![],
            platform: "any".into(),
            file_name: "a.tar".into(),
            size,
            digest: Digest([0; 32]),
            chunk_size,
            chunks,
            install,
        }
    }

    #[test]
    fn stripes_share_all_chunks_between_them() {
        for size in [1, 16 << 10, (16 << 10) + 1, 5 << 20, 64 << 20, (64 << 20) + 77] {
            let artifact = artifact(size);
            assert_eq!((0..artifact.chunk_count()).map(|i| u64::from(artifact.chunk_len(i))).sum::<u64>(), size);
            for k in 1..=2 {
                let mut seen: Vec<u32> = (0..k)
                    .flat_map(|s| (0..artifact.stripe_len(k, s)).map(move |o| Artifact::chunk_index(k, s, o)))
                    .collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..artifact.chunk_count()).collect::<Vec<_>>());
            }
        }
        assert_eq!(artifact(64 << 20).chunk_count(), 1024);
        assert_eq!(artifact(4 << 20).chunk_count(), 256);
    }
}
