//! The words of dpkg for the state of a package, which the journal and the install method share.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the administrator wants of a package: the first word of `Status:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Want {
    Install,
    Hold,
    Deinstall,
    Purge,
    #[default]
    Unknown,
}

/// The state that dpkg left a package in: the last word of `Status:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    #[default]
    NotInstalled,
    ConfigFiles,
    HalfInstalled,
    Unpacked,
    HalfConfigured,
    TriggersAwaited,
    TriggersPending,
    Installed,
}

impl Want {
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "install" => Self::Install,
            "hold" => Self::Hold,
            "deinstall" => Self::Deinstall,
            "purge" => Self::Purge,
            _ => Self::Unknown,
        }
    }
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Hold => "hold",
            Self::Deinstall => "deinstall",
            Self::Purge => "purge",
            Self::Unknown => "unknown",
        }
    }
}

impl Status {
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "config-files" => Self::ConfigFiles,
            "half-installed" => Self::HalfInstalled,
            "unpacked" => Self::Unpacked,
            "half-configured" => Self::HalfConfigured,
            "triggers-awaited" => Self::TriggersAwaited,
            "triggers-pending" => Self::TriggersPending,
            "installed" => Self::Installed,
            _ => Self::NotInstalled,
        }
    }
    fn word(self) -> &'static str {
        match self {
            Self::NotInstalled => "not-installed",
            Self::ConfigFiles => "config-files",
            Self::HalfInstalled => "half-installed",
            Self::Unpacked => "unpacked",
            Self::HalfConfigured => "half-configured",
            Self::TriggersAwaited => "triggers-awaited",
            Self::TriggersPending => "triggers-pending",
            Self::Installed => "installed",
        }
    }
    /// Whether the package works. Pending triggers do not matter: dpkg accepts such a package as a dependency.
    pub(crate) fn is_installed(self) -> bool {
        matches!(self, Self::Installed | Self::TriggersAwaited | Self::TriggersPending)
    }
    /// Whether the package's files are on the disk, or some of them.
    pub(crate) fn has_files(self) -> bool {
        !matches!(self, Self::NotInstalled | Self::ConfigFiles)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_keep_their_words() {
        for word in
            ["not-installed", "config-files", "half-installed", "unpacked", "half-configured", "triggers-awaited"]
        {
            assert_eq!(Status::parse(word).to_string(), word);
        }
        for word in ["install", "hold", "deinstall", "purge", "unknown"] {
            assert_eq!(Want::parse(word).word(), word);
        }
    }
}
