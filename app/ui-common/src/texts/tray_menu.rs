//! The tray's menu, and what the tray says when it cannot show something.

pub const TRANSFER_HOURS: &str = "Download and sharing hours";
pub const EDIT_MY_SCHEDULE: &str = "My schedule…";
pub const OPEN_BANYAN: &str = "Open Banyan";
pub const ABOUT_COMPUTER: &str = "About this computer";
pub const HIDE_ICON: &str = "Hide this icon";

/// Replaces [`HIDE_ICON`] in personal mode, where the agent ends with the tray.
pub const QUIT_BANYAN: &str = "Quit Banyan";
pub const NO_TRAY: &str = "This desktop shows no tray icons, so Banyan opened its window instead.";

/// Says why the window could not be opened.
#[must_use]
pub fn window_failed(why: &str) -> String {
    format!("Couldn't open the Banyan window: {why}")
}
