//! The Catalogue page.

use crate::texts::{format, updates};
use banyan_proto::{
    Reason,
    api::{ApiError, OfferedRelease},
    text,
};

pub const EMPTY: &str = "Nothing in the catalogue yet";
pub const EMPTY_HINT: &str = "Software you can install yourself will appear here.";
pub const NOT_JOINED: &str = "No catalogue yet";
pub const NOT_JOINED_HINT: &str =
    "Once this computer has joined a server, software you can install yourself will appear here.";
pub const INTRODUCTION: &str = "Approved by your administrator. Install what you need, whenever you like.";
pub const LOAD_FAILED: &str = "Couldn't load the catalogue";
pub const NOT_ALLOWED: &str = "Only an administrator of this computer can install these.";
pub const REFRESH: &str = "Refresh";
pub const LOADING: &str = "Loading the catalogue…";
pub const GET: &str = "Get";
pub const UPDATE: &str = "Update";
pub const REQUESTING: &str = "Requesting…";
pub const ON_ITS_WAY: &str = "On its way";
pub const INSTALLED: &str = "Installed";

/// Returns a release's package and version: `Drawing 3.1`.
#[must_use]
pub fn title(release: &OfferedRelease) -> String {
    format!("{} {}", release.package, release.version)
}

/// Returns where a release comes from: `From Lakeside School IT · 74 MB · signed`. Unsigned releases are never offered.
#[must_use]
pub fn origin(release: &OfferedRelease) -> String {
    updates::origin_and_size(&release.publisher, release.size)
}

/// Returns the accessible name of a "Get" button.
#[must_use]
pub fn get_label(release: &OfferedRelease) -> String {
    format!("{GET} {}", title(release))
}

/// Returns the accessible name of an "Update" button.
#[must_use]
pub fn update_label(release: &OfferedRelease) -> String {
    format!("{UPDATE} {} to {}", release.package, release.version)
}

/// Returns the accessible name of the release notes' header: a page can have several.
#[must_use]
pub fn release_notes_label(release: &OfferedRelease) -> String {
    format!("{} in {}", updates::RELEASE_NOTES, title(release))
}

/// Returns the state of a release: an older version is installed.
#[must_use]
pub fn older_installed(version: &str) -> String {
    format!("Version {version} is installed")
}

/// Returns the state of a release: a newer version is installed.
#[must_use]
pub fn newer_installed(version: &str) -> String {
    format!("A newer version ({version}) is installed")
}

/// Returns the state of a release while another version is on its way: `Version 2.0: downloading`.
#[must_use]
pub fn other_version(version: &str, state: &str) -> String {
    format!("Version {version}: {}", format::lowercase_if(true, state))
}

/// Says why a request to the catalogue failed, and what to do.
#[must_use]
pub fn request_failed(error: &ApiError) -> String {
    let next = match error.reason {
        Reason::ServerAway => "Refresh when this computer is connected again.",
        Reason::NotOffered | Reason::NotPublished | Reason::Withdrawn => "Refresh to see what's available now.",
        Reason::UnderWay | Reason::OrderSuperseded => "See its progress on the Updates page.",
        Reason::InstalledAlready => "There's nothing you need to do.",
        Reason::ClockWrong => "Set the date and time, then refresh.",
        Reason::Busy => "Try again later.",
        _ => "If this keeps happening, contact your administrator.",
    };
    let detail = text::without_error_numbers(&error.detail);
    format!("{}. {next}", format::capitalise(&detail))
}
