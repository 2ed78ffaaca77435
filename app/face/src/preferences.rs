//! What one person wants of tray and window: theirs alone, so it lies in their own configuration folder and not with the
//! agent. The window writes it; the tray reads it when it matters, so neither has to tell the other.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::PathBuf};

/// What one person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Preferences {
    /// A notice for each update that is on its way.
    pub tell_incoming: bool,
}

impl Preferences {
    /// Those that were saved; the quiet ones when there are none, or they cannot be read.
    #[must_use]
    pub fn load() -> Self {
        let text = path().and_then(|path| fs::read(path).ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
    /// Keeps them.
    ///
    /// # Errors
    /// When the configuration folder cannot be written to, or there is none.
    pub fn save(&self) -> io::Result<()> {
        let path = path().ok_or_else(|| io::Error::other("this user has no configuration folder"))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // As a whole or not at all: the tray may be reading.
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }
}

/// `~/.config/banyan/faces.json`, or what is that elsewhere.
fn path() -> Option<PathBuf> {
    Some(directories::BaseDirs::new()?.config_dir().join("banyan").join("faces.json"))
}
