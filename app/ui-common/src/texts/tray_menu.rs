//! The tray's menu, and what the tray says when it cannot show something.

pub const TRANSFER_HOURS: &str = "Download and sharing hours";
pub const EDIT_MY_SCHEDULE: &str = "My schedule…";
pub const OPEN_BANYAN: &str = "Open Banyan";
pub const ABOUT_COMPUTER: &str = "About this computer";
pub const HIDE_ICON: &str = "Hide this icon";

/// Replaces [`HIDE_ICON`] in personal mode, where the agent ends with the tray.
pub const QUIT_BANYAN: &str = "Quit Banyan";
pub const NO_TRAY: &str = "This desktop shows no tray icons, so Banyan opened its window instead.";

pub const WINDOW_HAS_NO_SCREEN: &str = "there's no screen to show it on";
pub const WINDOW_NEEDS_OPENGL: &str = "this computer's graphics can't draw it (it needs OpenGL 2.0)";
pub const WINDOW_REFUSED: &str = "this desktop can't show it; sign out and in again, or ask your administrator";
pub const WINDOW_MISSING: &str = "its program is missing; reinstall Banyan, or ask your administrator";
pub const WINDOW_NOT_STARTED: &str =
    "its program couldn't be started; restart this computer, or ask your administrator";
pub const FILE_NAME_UNUSABLE: &str = "the file's name contains characters that Banyan can't use; rename the file";

/// Says why the window could not be opened.
#[must_use]
pub fn window_failed(why: &str) -> String {
    format!("Couldn't open the Banyan window: {why}")
}
