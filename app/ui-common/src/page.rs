//! The pages of the window, and their names on command lines.

use std::str::FromStr;

/// A page of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Page {
    /// The updates of this computer.
    Updates,
    /// When this computer downloads, shares and installs.
    Schedule,
    /// How much this computer shared and downloaded.
    Sharing,
    /// Past events.
    History,
    /// Software that people can install themselves.
    Catalogue,
    /// Limits and notifications.
    Settings,
    /// The identity of this computer, and joining a server.
    Computer,
}

impl Page {
    /// All pages, in the order of the navigation.
    pub const ALL: [Self; 7] =
        [Self::Updates, Self::Schedule, Self::Sharing, Self::History, Self::Catalogue, Self::Settings, Self::Computer];

    /// Returns the page's name on command lines and in messages between tray and window.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::Schedule => "schedule",
            Self::Sharing => "sharing",
            Self::History => "history",
            Self::Catalogue => "catalogue",
            Self::Settings => "settings",
            Self::Computer => "computer",
        }
    }
    /// Returns the page with this name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.code() == code)
    }
}

impl FromStr for Page {
    type Err = String;
    /// Parses a page's name; the error is a message for the command line.
    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::code);
        Self::from_code(text).ok_or_else(|| format!("no such page; use one of: {}", names.join(", ")))
    }
}
