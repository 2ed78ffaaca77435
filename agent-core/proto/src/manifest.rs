//! The manifest: the signed description of a release.
//!
//! The publishers sign it as a TUF target. All commands and all version information of a release are in the manifest
//! and nowhere else (rule T2).

use crate::{
    Digest,
    format::{self, Format, FormatError},
    limits,
};
use serde::{Deserialize, Serialize};

/// The signed description of one release of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 2.
    pub format: u32,
    /// What a reader must understand to use this release on any platform, such as `sealed`. Every other unknown field
    /// is ignored (rule S3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_understand: Vec<String>,
    /// The package's name: `[a-z0-9][a-z0-9+.-]{0,63}`.
    pub package: String,
    /// The name shown to users, at most 128 bytes; empty if the package's name will do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The version shown to users. It is never compared; `sequence` is.
    pub version: String,
    /// The release's sequence. It rises with every release of the package.
    pub sequence: u64,
    /// The lowest sequence that a machine may install after it has seen this release (the floor).
    pub min_sequence: u64,
    /// On a release that deliberately restores older content: the sequence of the release with that content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// The publisher's display name.
    #[serde(default)]
    pub publisher: String,
    /// Release notes in plain text.
    #[serde(default)]
    pub notes: String,
    /// The files, one for each platform.
    pub artifacts: Vec<Artifact>,
}

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

/// How to install, detect, probe and undo an artifact. Only publishers can define this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSpec {
    /// The kind of the file.
    pub kind: Kind,
    /// A command that detects whether this release is already installed (exit code 0). Without it the kind's own method
    /// applies: the version folder for archives, the package database for debs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detect: Option<CommandSpec>,
    /// The probe: a command that checks whether the *new version* works (exit code 0). It decides between success and
    /// rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<CommandSpec>,
    /// A command that removes the release again, for kinds without their own method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<CommandSpec>,
    /// Free disk space that the installed files need, in bytes.
    #[serde(default)]
    pub needs_bytes: u64,
    /// Seconds that each of the package's own scripts may run, such as a deb's postinst;
    /// [`InstallSpec::SCRIPT_TIMEOUT_SECONDS`] if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_timeout_seconds: Option<u32>,
    /// How many older versions of an archive stay beside the new one, from 1 to [`limits::KEPT_VERSIONS`]; `None` for
    /// [`InstallSpec::KEEPS_VERSIONS`]. The machine's policy overrides it. Versions that processes still use stay anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_versions: Option<u32>,
}

impl InstallSpec {
    /// How long a package's script may run unless the manifest says otherwise (seconds). Scripts that build kernel
    /// modules or indexes take minutes.
    pub const SCRIPT_TIMEOUT_SECONDS: u32 = 15 * 60;
    /// Longest time that a manifest may give a script (seconds): a day.
    pub const MAX_SCRIPT_TIMEOUT_SECONDS: u32 = 24 * 3600;

    /// How many older versions stay if neither manifest nor policy says: the previous one, and one more.
    pub const KEEPS_VERSIONS: u32 = 2;

    /// Returns how to install a file of this kind, without commands or needs of its own.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            detect: None,
            probe: None,
            undo: None,
            needs_bytes: 0,
            script_timeout_seconds: None,
            keep_versions: None,
        }
    }
}

/// The kinds of artifact that Banyan can install.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A tar file, also with gzip, bzip2, xz or zstd, or a zip file. Each version is unpacked into its own folder;
    /// `current` switches to it atomically.
    Archive,
    /// A Debian package, installed with dpkg.
    Deb,
    /// A kind that only newer versions of Banyan can install.
    #[serde(other)]
    Unknown,
}

impl Kind {
    /// Returns whether the kind changes the system for all users, which only an administrator may do. The other kinds
    /// install into a folder that one person can own.
    #[must_use]
    pub fn needs_administrator(self) -> bool {
        match self {
            Self::Archive => false,
            Self::Deb | Self::Unknown => true,
        }
    }
}

/// A command defined by the publisher. It runs without a shell. The only expansion is `{dir}`, the folder of the
/// installed version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Seconds after which the command is terminated and counts as failed.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
}

fn default_timeout() -> u32 {
    60
}

/// The reason why a manifest is invalid. The publisher's tool never creates such a manifest, so its sender is malicious
/// or faulty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The text is not JSON of this format.
    #[error("{0}")]
    Unreadable(String),
    /// The release requires a newer version of Banyan.
    #[error("{0}")]
    NotUnderstood(String),
    /// A field's value is invalid.
    #[error("the manifest's {field} is not valid: {why}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with the value.
        why: String,
    },
}

impl Manifest {
    /// Parses and checks a manifest.
    ///
    /// # Errors
    /// When it is too large, is not of this format or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > limits::MANIFEST_BYTES {
            return Err(ManifestError::Field { field: "length", why: format!("{} bytes is too large", bytes.len()) });
        }
        let manifest: Self = format::read(bytes)?;
        manifest.check()?;
        Ok(manifest)
    }
    /// Checks that the fields are valid and consistent.
    ///
    /// # Errors
    /// Names the first field that is not.
    pub fn check(&self) -> Result<(), ManifestError> {
        let field = |field, ok: bool, why: &dyn Fn() -> String| {
            if ok { Ok(()) } else { Err(ManifestError::Field { field, why: why() }) }
        };
        field("format", self.format == Self::FORMAT, &|| {
            format!("{} is not supported any more; publish the release again with this version", self.format)
        })?;
        field("title", is_title(&self.title), &|| "use at most 128 bytes and no control characters".into())?;
        field("package", is_package_name(&self.package), &|| {
            format!("{:?}: use lower-case letters, digits, + . - (64 at most)", self.package)
        })?;
        field("version", is_version(&self.version), &|| {
            format!("{:?}: use letters, digits, . + ~ : - _ (64 at most)", self.version)
        })?;
        field("min_sequence", self.min_sequence <= self.sequence, &|| {
            format!("{} is above the sequence {}", self.min_sequence, self.sequence)
        })?;
        field("artifacts", !self.artifacts.is_empty(), &|| "the list is empty; add at least one file".into())?;
        self.artifacts.iter().try_for_each(Artifact::check)
    }
    /// Returns the artifact for a platform, or else the one for `any`.
    #[must_use]
    pub fn artifact_for(&self, platform: &str) -> Option<&Artifact> {
        let of = |wanted: &str| self.artifacts.iter().find(|artifact| artifact.platform == wanted);
        of(platform).or_else(|| of("any"))
    }
    /// Returns the name of this release as a TUF target.
    #[must_use]
    pub fn target_name(&self) -> String {
        format!("{}/{}.json", self.package, self.sequence)
    }
}

/// Returns whether a text is a valid package name, which is also a folder name.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=64).contains(&name.len()) && name.starts_with(word) && name.chars().all(|c| word(c) || "+.-".contains(c))
}
/// Returns whether a text is a valid version, which is also part of a folder name.
#[must_use]
pub fn is_version(version: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric();
    (1..=64).contains(&version.len())
        && version.starts_with(word)
        && version.chars().all(|c| word(c) || ".+~:-_".contains(c))
}

/// Returns whether a text can be shown to people as a title.
fn is_title(title: &str) -> bool {
    title.len() <= limits::LABEL_BYTES && !title.chars().any(char::is_control)
}

impl Format for Manifest {
    const KIND: &'static str = "manifest";
    const FORMAT: u32 = 2;
}

impl From<FormatError> for ManifestError {
    fn from(error: FormatError) -> Self {
        match error.is_newer() {
            true => Self::NotUnderstood(error.to_string()),
            false => Self::Unreadable(error.to_string()),
        }
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
    fn check(&self) -> Result<(), ManifestError> {
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
            return bad("file_name", format!("{name:?}"));
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
mod tests {
    use super::*;

    fn artifact(size: u64) -> Artifact {
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

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "-x", "A", "a b", &"a".repeat(65)] {
            assert!(!is_package_name(bad), "{bad:?}");
        }
        for bad in ["", "..", ".1", "1/2", "1 2"] {
            assert!(!is_version(bad), "{bad:?}");
        }
        assert!(is_package_name("libre-office7.2+x") && is_version("1:2.3~rc1-4+deb12u1"));
    }

    #[test]
    fn a_manifest_that_requires_something_unknown_is_refused_by_name_and_other_new_fields_are_ignored() {
        let manifest = Manifest {
            format: Manifest::FORMAT,
            must_understand: vec![],
            title: "School Browser".into(),
            package: "browser".into(),
            version: "1.0".into(),
            sequence: 1,
            min_sequence: 0,
            rollback_to: None,
            publisher: String::new(),
            notes: String::new(),
            artifacts: vec![artifact(100)],
        };
        let parse = |edit: &dyn Fn(&mut serde_json::Value)| {
            let mut value = serde_json::to_value(&manifest).unwrap();
            edit(&mut value);
            Manifest::parse(value.to_string().as_bytes())
        };
        assert_eq!(parse(&|_| {}).unwrap(), manifest);
        assert_eq!(parse(&|value| value["icon"] = "PNG".into()).unwrap(), manifest);
        for newer in [
            parse(&|value| value["must_understand"] = serde_json::json!(["sealed"])),
            parse(&|value| value["format"] = 3.into()),
        ] {
            assert!(matches!(newer, Err(ManifestError::NotUnderstood(_))), "{newer:?}");
        }
        assert!(matches!(
            parse(&|value| value["format"] = 1.into()),
            Err(ManifestError::Field { field: "format", .. })
        ));
        // Only the machines that need the file have to understand it.
        let sealed = parse(&|value| value["artifacts"][0]["must_understand"] = serde_json::json!(["sealed"])).unwrap();
        let unknown = parse(&|value| value["artifacts"][0]["install"]["kind"] = "msix".into()).unwrap();
        for release in [sealed, unknown] {
            let refused = release.artifacts[0].check_understood();
            assert!(matches!(refused, Err(ManifestError::NotUnderstood(_))), "{refused:?}");
        }
    }
}
