//! Parses `release.toml`, in which publishers describe a release with several files or with commands.

use crate::{PublisherError, private_files::disk_error};
use banyan_proto::manifest::{CommandSpec, Kind};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The content of a release.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseDescription {
    pub(crate) name: String,
    /// The name shown to users; empty for the package's name.
    #[serde(default)]
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) sequence: Option<u64>,
    #[serde(default)]
    pub(crate) min_sequence: u64,
    pub(crate) rollback_to: Option<u64>,
    #[serde(default)]
    pub(crate) publisher: String,
    #[serde(default)]
    pub(crate) notes: String,
    pub(crate) platform: BTreeMap<String, PlatformSection>,
}

/// A table `[platform.linux-x86_64]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlatformSection {
    /// The path, relative to the release.toml.
    pub(crate) file: PathBuf,
    /// The kind; `None` for the one that the extension suggests.
    pub(crate) kind: Option<Kind>,
    pub(crate) detect: Option<CommandEntry>,
    pub(crate) probe: Option<CommandEntry>,
    pub(crate) undo: Option<CommandEntry>,
    /// Measured for archives if it is 0.
    #[serde(default)]
    pub(crate) needs_bytes: u64,
    /// The seconds that each script of a deb may run; `None` for the default.
    pub(crate) script_timeout_seconds: Option<u32>,
    /// How many older versions machines keep.
    pub(crate) keep_versions: Option<u32>,
    /// Whether the programs in an archive must be for this platform.
    #[serde(default = "yes")]
    pub(crate) check_programs: bool,
}

fn yes() -> bool {
    true
}

/// `["program", "argument"]`, or a table with `argv` and `timeout_seconds`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a command is a list of strings, or a table with argv and timeout_seconds")]
pub(crate) enum CommandEntry {
    List(Vec<String>),
    Table(CommandSpec),
}

impl From<CommandEntry> for CommandSpec {
    fn from(text: CommandEntry) -> Self {
        match text {
            CommandEntry::List(argv) => CommandSpec { argv, timeout_seconds: 60 },
            CommandEntry::Table(command) => command,
        }
    }
}

impl ReleaseDescription {
    /// Returns whether a path has the extension of a release.toml.
    pub(crate) fn is_description(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending == "toml")
    }
    pub(crate) fn read(path: &Path) -> Result<Self, PublisherError> {
        let text = std::fs::read_to_string(path).map_err(disk_error("read", path))?;
        toml::from_str(&text)
            .map_err(|error| PublisherError::InvalidDescription { path: path.to_owned(), why: error.to_string() })
    }
}
