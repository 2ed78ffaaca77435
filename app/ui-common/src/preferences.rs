//! One person's preferences for the tray and the window. They are personal, so they are stored in that person's
//! configuration folder and not by the agent. The window writes the file; the tray reads it each time it needs it.

use serde::{Deserialize, Serialize};
use std::{fs, io, path::PathBuf};

/// One person's preferences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Preferences {
    /// Show a notification for each new update.
    #[serde(rename = "tell-incoming")]
    pub notify_of_new_updates: bool,
}

impl Preferences {
    /// Loads the saved preferences; the defaults when there are none or the file cannot be read.
    #[must_use]
    pub fn load() -> Self {
        let text = path().and_then(|path| fs::read(path).ok());
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
    /// Saves the preferences.
    ///
    /// # Errors
    /// Fails when there is no configuration folder or it cannot be written to.
    pub fn save(&self) -> io::Result<()> {
        let path = path().ok_or_else(|| io::Error::other("this user has no configuration folder"))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Replace the file atomically: the tray may be reading it.
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(new, path)
    }
}

/// Returns the path of the file: `~/.config/banyan/faces.json`, or the equivalent on other systems.
fn path() -> Option<PathBuf> {
    Some(directories::BaseDirs::new()?.config_dir().join("banyan").join("faces.json"))
}
