//! Updates: their states, actions, progress and failures.

use crate::{
    Clock,
    texts::{format, status},
};
use banyan_proto::{
    Reason, format_size,
    local::{Partner, Update, Wait, When},
    schedule::{Announcement, Stage},
};

pub const DOWNLOADING: &str = "Downloading";
pub const CHECKING: &str = "Checking";
pub const READY: &str = "Ready to install";
pub const READY_BUT: &str = "Ready; ";
pub const INSTALLING: &str = "Installing";
pub const FAILED: &str = "Couldn't install";
pub const WAITING: &str = "Waiting";
pub const WAITING_FOR_SOURCE: &str = "Waiting for a computer to download from";
pub const INSTALL_NOW: &str = "Install now";
pub const INSTALL_WHEN_PERMITTED: &str = "Install when permitted";
pub const INSTALL_WHEN_DOWNLOADED: &str = "Install when downloaded";
pub const DOWNLOAD_NOW: &str = "Download now";
pub const USE_NETWORK: &str = "Use this network anyway";
pub const USE_BATTERY: &str = "Use battery anyway";
pub const INSTALL_DESPITE_FULL_SCREEN: &str = "Install anyway";
pub const NOT_TODAY: &str = "Not today";
pub const DETAILS: &str = "Details";
pub const COPY: &str = "Copy";
pub const NO_UPDATES: &str = status::UP_TO_DATE;
pub const NO_UPDATES_HINT: &str = "New updates will appear here.";
pub const NOT_JOINED: &str = "This computer isn't connected to your organisation yet";
pub const NOT_JOINED_HINT: &str = "Updates will appear here once it has joined a server.";
pub const DROP_PACKAGE: &str = "Have a package file? Drop it on this window.";
pub const RELEASE_NOTES: &str = "What's new";

/// Returns an update's package and version: `LibreOffice 26.2`.
#[must_use]
pub fn title(update: &Update) -> String {
    format!("{} {}", update.package, update.version)
}

/// Returns where an update comes from: `From Lakeside School IT · 84 MB · signed`. Banyan accepts signed releases only.
#[must_use]
pub fn origin(update: &Update) -> String {
    origin_and_size(&update.publisher, update.size)
}

pub(super) fn origin_and_size(publisher: &str, bytes: u64) -> String {
    let from = if publisher.is_empty() { String::new() } else { format!("From {publisher} · ") };
    format!("{from}{} · signed", format_size(bytes))
}

/// Returns the progress of a download: `64% · 3.1 MB/s · 2 min left`.
#[must_use]
pub fn progress(update: &Update) -> String {
    let (progress, mut text) = (&update.progress, format!("{}%", update.progress.percent()));
    if let Some(seconds) = progress.seconds_left() {
        text += &format!(" · {} · {} left", format::speed(progress.down), format::duration(seconds));
    }
    text
}

/// Names the computers at the other end: `Downloading from room-204-07 · sharing with room-204-11, room-204-12`.
#[must_use]
pub fn partners(update: &Update) -> String {
    let names = |partners: &[Partner]| {
        let now: Vec<_> = partners.iter().filter(|partner| partner.now).map(|partner| partner.label.as_str()).collect();
        match now.len() {
            0..=3 => now.join(", "),
            more => format!("{} and {} more", now[..2].join(", "), more - 2),
        }
    };
    let (from, to) = (names(&update.progress.from), names(&update.progress.to));
    match (from.is_empty(), to.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!("Downloading from {from}"),
        (true, false) => format!("Sharing with {to}"),
        (false, false) => format!("Downloading from {from} · sharing with {to}"),
    }
}

/// Announces a deadline: `Deadline: will install in 14 minutes`.
#[must_use]
pub fn deadline(announced: &Announcement, clock: &Clock) -> String {
    let does = match announced.stage {
        Stage::Receive => "download",
        Stage::Install => "install",
        Stage::Forward => "share",
    };
    format!("Deadline: will {does} {}", format::upcoming(announced.at, clock))
}

/// Says why an update is waiting although nothing on this computer holds it, and what happens next.
#[must_use]
pub fn waiting_reason(wait: &Wait, clock: &Clock) -> String {
    let next = match wait.next {
        Some(next) => format!("Banyan will try again {}", format::upcoming(next, clock)),
        None => format::capitalise(wait.reason.for_user().advice),
    };
    format!("{}. {next}.", format::capitalise(wait.reason.for_user().what))
}

pub(super) const ADMINISTRATOR_KNOWS: &str = "Your administrator can see this.";

/// Says what failed, whether the previous version was restored, and what to do. `alone`: no server ordered this install,
/// so the advice is for the person instead of an administrator.
#[must_use]
pub fn failure(reason: Reason, restored: bool, alone: bool) -> String {
    let old = if reason_states_restoration(reason) {
        ""
    } else if restored {
        " This computer is as it was before."
    } else {
        " The previous version couldn't be restored."
    };
    let next = if alone {
        format!("{}.", format::capitalise(reason.for_user().advice))
    } else {
        ADMINISTRATOR_KNOWS.to_owned()
    };
    format!("{}.{old} {next}", format::capitalise(reason.for_user().what))
}

/// Returns the accessible name of a failure's details: a page can have several.
#[must_use]
pub fn details_label(title: &str) -> String {
    format!("{DETAILS}: {title}")
}

/// Returns whether the reason itself says if the previous version was restored.
pub(super) fn reason_states_restoration(reason: Reason) -> bool {
    matches!(reason, Reason::UndoFailed)
}

/// Returns when an update was installed: `Installed yesterday at 16:05`.
#[must_use]
pub fn installed_when(when: &str) -> String {
    format!("Installed {when}")
}

/// Returns the name of a time that an install can be put off to.
#[must_use]
pub fn postpone_label(when: When) -> &'static str {
    match when {
        When::InAnHour => "In an hour",
        When::Tonight => "Tonight",
        When::Tomorrow => "Tomorrow",
    }
}
