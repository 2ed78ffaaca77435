//! What a file or folder has beside its content, as the journal keeps it. `sys` reads and sets it.

use serde::{Deserialize, Serialize};

/// Owner, mode, times and extended attributes of a file, folder or symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct FileAttributes {
    /// The permissions with setuid, setgid and sticky bit.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// The number of names (hard links).
    pub(crate) links: u64,
    /// `None` where the package manager sets them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<FileTimes>,
    /// By name. Capabilities and access lists are among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extended: Vec<ExtendedAttribute>,
}

/// When a file was read and changed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileTimes {
    pub(crate) accessed: FileTime,
    pub(crate) modified: FileTime,
}

/// A time of a file: seconds since 1970, which can be negative, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileTime {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

/// An extended attribute, such as `security.capability`. Neither part need be text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ExtendedAttribute {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}
