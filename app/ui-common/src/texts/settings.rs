//! The Settings page.

pub const NOTIFY_OF_NEW_UPDATES: &str = "Notify me when a new update arrives";
pub const NOTIFICATIONS: &str = "Notifications";
pub const NOTIFICATIONS_HINT: &str = "You'll always be notified when an update is ready, due, installed or has failed.";
pub const LIMITS: &str = "Limits";
pub const DOWNLOAD_LIMIT: &str = "Download limit";
pub const SHARING_SPEED_LIMIT: &str = "Sharing speed limit";
pub const DAILY_SHARING_LIMIT: &str = "Daily sharing limit";
pub const KEEP_FREE_DISK: &str = "Keep free on disk";
pub const SHARE_UPDATES: &str = "Share updates with other computers";
pub const SLOW_DOWN_FOR_OTHERS: &str = "Slow down when other apps need the network";
pub const SET_BY_ADMINISTRATOR: &str = "Set by your administrator.";
pub const RESET: &str = "Reset to your administrator's settings";
pub const NO_OWN_SETTINGS: &str = "You're using your administrator's settings.";
pub const BLANK_IS_NO_LIMIT: &str = "Leave a field blank for no limit.";
pub const NOT_A_NUMBER: &str = "Enter a number, or leave blank for no limit.";

/// Says that a preference could not be saved.
#[must_use]
pub fn not_saved(why: &str) -> String {
    format!("Couldn't save this setting, so it applies only until you close the window. ({why})")
}

/// Says why the settings could not be saved.
#[must_use]
pub fn save_error(error: &std::io::Error) -> String {
    let text = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "the disk is full; free some space",
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
            "your account isn't allowed to write to its settings folder"
        }
        std::io::ErrorKind::Other if error.raw_os_error().is_none() => return error.to_string(),
        _ => "the disk can't be written",
    };
    text.to_owned()
}
