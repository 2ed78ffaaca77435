//! The texts of the tray and the window, in one place so that they can be translated. Two kinds of text are shared with
//! other programs and live elsewhere: sentences about verdicts in [`banyan_schedule::say`], and the table of reasons.
//!
//! Style: sentence case, no exclamation marks, no jargon. Now is the present continuous ("Downloading"), later is "will",
//! finished is the past. People read "computer", "update", "download" and "share".

#![expect(missing_docs, reason = "the constants are self-explanatory")]

use crate::{Clock, Page};
use banyan_proto::{
    Reason, UnixSeconds,
    api::{ApiError, OfferedRelease},
    format_size,
    local::{Happened, Headline, Link, Mode, Overruled, Package, Partner, Snapshot, Update, Wait, When},
    schedule::{Announcement, Gate, Load, Network, Night, Power, Presence, Stage, Window},
};
use banyan_schedule::say;

pub const PRODUCT: &str = "Banyan";

// States of an update.
pub const RECEIVING: &str = "Downloading";
pub const CHECKING: &str = "Checking";
pub const READY: &str = "Ready to install";
pub const READY_BUT: &str = "Ready; ";
pub const INSTALLING: &str = "Installing";
pub const FAILED: &str = "Couldn't install";
pub const WAITS: &str = "Waiting";
pub const WAITS_FOR_OTHERS: &str = "Waiting for a computer to download from";

// Actions on an update.
pub const INSTALL_NOW: &str = "Install now";
pub const INSTALL_WHEN_HERE: &str = "Install when downloaded";
pub const RECEIVE_NOW: &str = "Download now";
pub const USE_NETWORK: &str = "Use this network anyway";
pub const USE_BATTERY: &str = "Use battery anyway";
pub const BELOW_FULL_SCREEN: &str = "Install anyway";
pub const NOT_TODAY: &str = "Not today";
pub const DETAILS: &str = "Details";

// The tray's menu.
pub const WHEN_TRANSFER: &str = "Download and sharing hours";
pub const MY_SCHEDULE: &str = "My schedule…";
pub const PAUSE: &str = "Pause";
pub const RESUME: &str = "Resume";
pub const AN_HOUR: &str = "For 1 hour";
pub const UNTIL_TOMORROW: &str = "Until tomorrow";
pub const UNTIL_RESUMED: &str = "Until I resume";
pub const OPEN: &str = "Open Banyan";
pub const ABOUT: &str = "About this computer";
pub const QUIT: &str = "Hide this icon";
/// Replaces [`QUIT`] in personal mode, where the agent ends with the tray.
pub const QUIT_ALL: &str = "Quit Banyan";
pub const UP_TO_DATE: &str = "You're up to date";
pub const NO_AGENT: &str = "Can't reach the Banyan service";
pub const NO_AGENT_MORE: &str =
    "The Banyan service on this computer isn't responding. Updates are on hold; Banyan keeps trying to reconnect.";
pub const NO_TRAY: &str = "This desktop shows no tray icons, so Banyan opened its window instead.";

// Notifications.
pub const TOLD_IN_ANY_CASE: &str = "Your administrator set this deadline. Save your work before then.";
pub const TELL_INCOMING: &str = "Notify me when a new update arrives";
pub const NOTICES: &str = "Notifications";
pub const NOTICES_MORE: &str = "You'll always be notified when an update is ready, due, installed or has failed.";

// A package file.
pub const PACKAGE: &str = "Package file";
pub const LOOKED_AT: &str = "Checking the package…";
pub const INSTALL: &str = "Install";
pub const INSTALL_OLDER: &str = "Install older version";
pub const CLOSE: &str = "Close";
pub const CANCEL: &str = "Cancel";
pub const SIGNED_BY: &str = "Signed by";
pub const SIGNED_UNTIL: &str = "Signature expires";
pub const TRUSTED: &str = "Trusted publisher";
pub const NOT_TRUSTED: &str = "Untrusted publisher";
pub const NOT_YET_TRUSTED: &str = "Unknown publisher: check the key before you install";
pub const DO_YOU_TRUST: &str = "Do you trust this publisher?";
pub const WHAT_TRUST_MEANS: &str = "If you do, you won't be asked again about packages signed with this key. Software you install from them can do \
     anything you can do on this computer.";
pub const COMPARE_KEY: &str = "This is the publisher's key. Check that every digit matches the key they give you elsewhere, such as on their website.";
pub const CALLS_ITSELF: &str = "Claims to be";
pub const YOU_TRUST: &str = "Publishers you trust";
pub const YOU_TRUST_MORE: &str = "You can install their packages without being asked again. If you stop trusting them, software already installed stays.";
pub const FORGET_SIGNER: &str = "Stop trusting";
pub const NO_NAME: &str = "Unnamed publisher";
pub const PUBLISHERS: &str = "Publisher's key";
pub const DOES: &str = "What this will do";
pub const REPLACES: &str = "Replaces";
pub const SIZE: &str = "Size";
pub const REFUSED: &str = "This package can't be installed";
pub const NOT_TAKEN: &str = "Couldn't install this package";
pub const NOTHING_BEFORE: &str = "Nothing (not installed by Banyan before)";
pub const TAKEN: &str = "You can close this page; the update continues in the background.";

// Pages.
pub const NO_UPDATES: &str = UP_TO_DATE;
pub const NO_UPDATES_MORE: &str = "New updates will appear here.";
pub const NO_HISTORY: &str = "No history yet";
pub const NO_HISTORY_MORE: &str = "Updates you receive will be listed here.";
pub const CATALOGUE: &str = "Nothing in the catalogue yet";
pub const CATALOGUE_MORE: &str = "Software you can install yourself will appear here.";
pub const CATALOGUE_WHAT: &str = "Approved by your administrator. Install what you need, whenever you like.";
pub const CATALOGUE_FAILED: &str = "Couldn't load the catalogue";
pub const MAY_NOT_GET: &str = "Only an administrator of this computer can install these.";
pub const LOOK_AGAIN: &str = "Refresh";
pub const LOOKED_FOR: &str = "Loading the catalogue…";
pub const GET: &str = "Get";
pub const UPDATE: &str = "Update";
pub const ASKED_FOR: &str = "Requesting…";
pub const ON_ITS_WAY: &str = "On its way";
pub const IS_INSTALLED: &str = "Installed";
pub const RELEASE_NOTES: &str = "What's new";
pub const TRANSFERS: &str = "When to download and share";
pub const INSTALLS: &str = "When to install";
pub const OPEN_NOW: &str = "Downloads and sharing are allowed now";
pub const NIGHT_FROM: &str = "Night hours:";
pub const NIGHT_TO: &str = "to";
pub const ANY_TIME: &str = "Any time";
pub const WHEN_IDLE: &str = "When idle";
pub const NIGHT_ONLY: &str = "At night";
pub const OWN_HOURS: &str = "My schedule";
pub const GRID_HINT: &str = "Drag to choose hours, or use the arrow keys and Space.";
pub const PRESET_NIGHTS: &str = "Nights";
pub const PRESET_WEEKENDS: &str = "Nights and weekends";
pub const PRESET_EVENINGS: &str = "Outside working hours";
pub const PRESET_ALL: &str = "Select all";
pub const PRESET_NONE: &str = "Clear";
pub const SAVE: &str = "Save";
pub const DISCARD: &str = "Discard";
pub const NOW: &str = "Now";
pub const SIGNALS: &str = "Current conditions";
pub const COUNTS_NOT: &str = "Ignore";
pub const TODAY: &str = "Today";
pub const PASSED_ON: &str = "Shared";
pub const RECEIVED: &str = "Downloaded";
pub const LEDGER: &str = "Previous days";
pub const DAY: &str = "Day";
pub const WHY_SHARE: &str =
    "Computers here share updates with each other, so each one is downloaded from outside only once.";
pub const NO_LEDGER: &str = "Days when this computer shares updates will be listed here.";
pub const LIMITS: &str = "Limits";
pub const DOWNLOAD: &str = "Download limit";
pub const UPLOAD: &str = "Sharing speed limit";
pub const DAILY: &str = "Daily sharing limit";
pub const FREE_DISK: &str = "Keep free on disk";
pub const PASS_ON: &str = "Share updates with other computers";
pub const MAKE_ROOM: &str = "Slow down when other apps need the network";
pub const MAKE_ROOM_LAID: &str = "Set by your administrator.";
pub const FORGET: &str = "Reset to your administrator's settings";
pub const NO_CHOICE: &str = "You're using your administrator's settings.";
pub const ZERO_IS_NONE: &str = "Leave a field blank for no limit.";
pub const NOT_A_NUMBER: &str = "Enter a number, or leave blank for no limit.";
pub const JOIN: &str = "Join a server";
pub const JOIN_HINT: &str = "Paste the join code your administrator gave you.";
pub const JOIN_CODE: &str = "Join code";
pub const JOIN_BUTTON: &str = "Join";
pub const COPY: &str = "Copy details";
pub const MAY_NOT: &str = "Only an administrator of this computer can change this.";

/// The status of a computer that belongs to no server.
const NOT_SET_UP: &str = "Not set up yet: enter a join code";

/// Says why the window could not be opened.
#[must_use]
pub fn no_window(why: &str) -> String {
    format!("Couldn't open the Banyan window: {why}")
}

/// Returns a page's name.
#[must_use]
pub fn page(page: Page) -> &'static str {
    match page {
        Page::Updates => "Updates",
        Page::Schedule => "Schedule",
        Page::Sharing => "Sharing",
        Page::History => "History",
        Page::Catalogue => "Catalogue",
        Page::Settings => "Settings",
        Page::Computer => "This computer",
    }
}

/// Returns an update's package and version: `LibreOffice 26.2`.
#[must_use]
pub fn title(update: &Update) -> String {
    format!("{} {}", update.package, update.version)
}

/// Returns where an update comes from: `From Lakeside School IT · 84 MB · signed`. Banyan accepts signed releases only.
#[must_use]
pub fn origin(update: &Update) -> String {
    from_and_size(&update.publisher, update.size)
}

fn from_and_size(publisher: &str, bytes: u64) -> String {
    let from = if publisher.is_empty() { String::new() } else { format!("From {publisher} · ") };
    format!("{from}{} · signed", format_size(bytes))
}

/// Returns the progress of a download: `64% · 3.1 MB/s · 2 min left`.
#[must_use]
pub fn progress(update: &Update) -> String {
    let (progress, mut text) = (&update.progress, format!("{}%", update.progress.percent()));
    if let Some(seconds) = progress.seconds_left() {
        text += &format!(" · {} · {} left", speed(progress.down), duration(seconds));
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

/// Returns the status line at the top of the menu, which is also the tooltip.
#[must_use]
pub fn headline(snapshot: &Snapshot, clock: &Clock) -> String {
    let name = |order| snapshot.updates.iter().find(|update| update.order == order).map_or(String::new(), title);
    match snapshot.headline() {
        Headline::NotEnrolled => NOT_SET_UP.to_owned(),
        Headline::Problem(order) => format!("{} couldn't be installed", name(order)),
        Headline::NeedsYou(order) => format!("{} is ready to install", name(order)),
        Headline::Installing(order) => format!("Installing {}", name(order)),
        Headline::Receiving(order) => {
            let update = snapshot.updates.iter().find(|update| update.order == order);
            let left = update.and_then(|update| update.progress.seconds_left()).map(duration);
            let percent = update.map_or(0, |update| update.progress.percent());
            let left = left.map_or(String::new(), |left| format!(" · {left} left"));
            format!("Downloading {} · {percent}%{left}", name(order))
        }
        Headline::Forwarding(order) => format!("Sharing {}", name(order)),
        Headline::NotConnected => away(snapshot.link, clock),
        Headline::Paused { until: None } => "Paused until you resume".to_owned(),
        Headline::Paused { until: Some(until) } => format!("Paused until {}", say::moment(until, clock.here())),
        Headline::Waiting { order, because, until } => {
            format!("{}: {}", name(order), lower_if(true, &say::closed(&because, until, clock.here())))
        }
        Headline::Working(order) => format!("{} is on its way", name(order)),
        Headline::Idle => UP_TO_DATE.to_owned(),
    }
}

/// Returns the state of the connection to the server.
#[must_use]
pub fn away(link: Link, clock: &Clock) -> String {
    match link {
        Link::NotEnrolled => NOT_SET_UP.to_owned(),
        Link::Connecting => "Connecting…".to_owned(),
        Link::Connected => "Connected".to_owned(),
        Link::Away { heard: None } => "Not connected yet".to_owned(),
        Link::Away { heard: Some(heard) } => format!("Offline · last contact {}", past(heard, clock)),
    }
}

/// Returns a time for the middle of a sentence: `in 14 minutes` within the hour, then `at 14:30`, `tonight at 22:00`.
#[must_use]
pub fn at(at: UnixSeconds, clock: &Clock) -> String {
    match at.0.saturating_sub(clock.now.0) {
        0 => return "in a moment".to_owned(),
        1..=60 => return "in 1 minute".to_owned(),
        left @ 61..=3600 => return format!("in {} minutes", left.div_ceil(60)),
        _ => {}
    }
    let moment = say::moment(at, clock.here());
    let is_number = moment.starts_with(|first: char| first.is_ascii_digit());
    match is_number.then(|| moment.contains(' ')) {
        Some(true) => format!("on {moment}"),
        Some(false) => format!("at {moment}"),
        None => moment,
    }
}

/// Returns the hours of the night: `22:00–06:00`.
#[must_use]
pub fn night(night: Night) -> String {
    night.to_string().replace('-', "–")
}

/// Announces a deadline: `Deadline: will install in 14 minutes`.
#[must_use]
pub fn announced(announced: &Announcement, clock: &Clock) -> String {
    let does = match announced.stage {
        Stage::Receive => "download",
        Stage::Install => "install",
        Stage::Forward => "share",
    };
    format!("Deadline: will {does} {}", at(announced.at, clock))
}

/// Returns the title of a notification: a new update.
#[must_use]
pub fn told_incoming(update: &Update) -> String {
    format!("{} is on its way", title(update))
}

/// Returns the title of a notification: an update is ready to install.
#[must_use]
pub fn told_ready(update: &Update) -> String {
    format!("{} is ready to install", title(update))
}

/// Returns the body of a notification: what an update that is ready is waiting for.
#[must_use]
pub fn told_why(update: &Update, clock: &Clock) -> String {
    match &update.verdict.install {
        Gate::Closed { because, until } => format!("{}.", say::closed(because, *until, clock.here())),
        Gate::Open { .. } => String::new(),
    }
}

/// Returns the title of a notification: the deadline of an install.
#[must_use]
pub fn told_countdown(update: &Update, when: UnixSeconds, clock: &Clock) -> String {
    format!("{} will install {}", title(update), at(when, clock))
}

/// Returns the title of a notification: the install succeeded.
#[must_use]
pub fn told_done(update: &Update) -> String {
    format!("{} was installed", title(update))
}

/// Returns the title of a notification: the install failed.
#[must_use]
pub fn told_failed(update: &Update) -> String {
    format!("{} couldn't be installed", title(update))
}

/// Returns a package's name and version: `drawing 3.1`.
#[must_use]
pub fn package(package: &Package) -> String {
    format!("{} {}", package.package, package.version)
}

/// Returns the facts about a package file, as names and values.
#[must_use]
pub fn package_facts(package: &Package, clock: &Clock) -> Vec<(&'static str, String)> {
    let signer = &package.signer;
    let publisher = match (signer.trusted, package.publisher.is_empty()) {
        (true, false) => package.publisher.clone(),
        (true, true) => "A publisher you trust".to_owned(),
        // The name is unverified: signers choose it themselves.
        (false, _) => "Unknown".to_owned(),
    };
    let mut facts = vec![(SIGNED_BY, publisher), (SIGNED_UNTIL, sentence(&past(signer.until, clock)))];
    if signer.asks {
        let named = signer_name(&package.publisher);
        facts.push((CALLS_ITSELF, format!("{named} (not verified)")));
    } else if !signer.trusted {
        let short = |text: &str| text.chars().take(16).collect::<String>();
        let keys: Vec<_> = signer.keys.iter().map(|key| short(key)).collect();
        facts.push((PUBLISHERS, format!("{}; signed with {}", short(&signer.root.to_string()), keys.join(", "))));
    }
    if let Some(file) = &package.file {
        facts.push((SIZE, format_size(file.size)));
    }
    facts.push((REPLACES, replaces(package, clock)));
    facts
}

/// Returns a publisher's name, or a stand-in when it is empty.
#[must_use]
pub fn signer_name(name: &str) -> &str {
    if name.is_empty() { NO_NAME } else { name }
}

/// Returns the label of the consent box: `I've compared the key and trust Mia's tools`.
#[must_use]
pub fn i_trust(name: &str) -> String {
    let name = if name.is_empty() { "this publisher" } else { name };
    format!("I've compared the key and trust {name}")
}

/// Returns the accessible name of a "Stop trusting" button, which includes the publisher.
#[must_use]
pub fn forget_signer(name: &str) -> String {
    format!("{FORGET_SIGNER}: {}", signer_name(name))
}

fn replaces(package: &Package, clock: &Clock) -> String {
    match &package.replaces {
        None => NOTHING_BEFORE.to_owned(),
        Some(old) if old.sequence > package.sequence => {
            format!("Version {}, which is newer than this one", old.version)
        }
        Some(old) => format!("Version {}, installed {}", old.version, past(old.at, clock)),
    }
}

/// Returns whether installing the package would go back to an older version.
#[must_use]
pub fn is_older(package: &Package) -> bool {
    package.replaces.as_ref().is_some_and(|old| old.sequence > package.sequence)
}

/// Returns a release's package and version: `Drawing 3.1`.
#[must_use]
pub fn offered(release: &OfferedRelease) -> String {
    format!("{} {}", release.package, release.version)
}

/// Returns where a release comes from: `From Lakeside School IT · 74 MB · signed`. Unsigned releases are never offered.
#[must_use]
pub fn offered_origin(release: &OfferedRelease) -> String {
    from_and_size(&release.publisher, release.size)
}

/// Returns the accessible name of a "Get" button.
#[must_use]
pub fn get(release: &OfferedRelease) -> String {
    format!("{GET} {}", offered(release))
}

/// Returns the accessible name of an "Update" button.
#[must_use]
pub fn update_to(release: &OfferedRelease) -> String {
    format!("{UPDATE} {} to {}", release.package, release.version)
}

/// Returns the accessible name of the release notes' header: a page can have several.
#[must_use]
pub fn what_is_new_in(release: &OfferedRelease) -> String {
    format!("{RELEASE_NOTES} in {}", offered(release))
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
    format!("Version {version}: {}", lower_if(true, state))
}

/// Says why a request to the catalogue failed, and what to do.
#[must_use]
pub fn not_got(error: &ApiError) -> String {
    let next = match error.reason {
        Reason::ServerAway => "Refresh when this computer is connected again.",
        Reason::NotOffered | Reason::NotPublished | Reason::Withdrawn => "Refresh to see what's available now.",
        Reason::UnderWay | Reason::OrderSuperseded => "See its progress on the Updates page.",
        Reason::InstalledAlready => "There's nothing you need to do.",
        Reason::Busy => "Try again later.",
        _ => "If this keeps happening, contact your administrator.",
    };
    format!("{}. {next}", sentence(&error.detail))
}

/// Says why a package file was refused, and what to do.
#[must_use]
pub fn refused(error: &ApiError) -> String {
    format!("{}. {}.", sentence(&error.detail), sentence(error.reason.for_user().advice))
}

/// Returns how much of a package file was copied: `Copied 12 MB of 74 MB`.
#[must_use]
pub fn handed_over(sent: u64, of: u64) -> String {
    format!("Copied {} of {}", format_size(sent), format_size(of))
}

/// Says why an update is waiting although nothing on this computer holds it, and what happens next.
#[must_use]
pub fn wait(wait: &Wait, clock: &Clock) -> String {
    let next = match wait.next {
        Some(next) => format!("Banyan will try again {}", at(next, clock)),
        None => sentence(wait.reason.for_user().advice),
    };
    format!("{}. {next}.", sentence(wait.reason.for_user().what))
}

const ADMINISTRATOR_KNOWS: &str = "Your administrator can see this.";

/// Says what failed, whether the previous version was restored, and what to do. `alone`: no server ordered this install,
/// so the advice is for the person instead of an administrator.
#[must_use]
pub fn failed(reason: Reason, detail: &str, restored: bool, alone: bool) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    let old = if says_what_became_of_the_old_one(reason) {
        ""
    } else if restored {
        " The previous version has been restored."
    } else {
        " The previous version couldn't be restored."
    };
    let next = if alone { format!("{}.", sentence(reason.for_user().advice)) } else { ADMINISTRATOR_KNOWS.to_owned() };
    format!("{}{detail}.{old} {next}", sentence(reason.for_user().what))
}

/// Returns whether the reason itself says if the previous version was restored.
fn says_what_became_of_the_old_one(reason: Reason) -> bool {
    matches!(reason, Reason::ProbeFailed | Reason::UndoFailed)
}

/// Returns when an update was installed: `Installed yesterday at 16:05`.
#[must_use]
pub fn installed(when: &str) -> String {
    format!("Installed {when}")
}

/// Returns the name of a time that an install can be put off to.
#[must_use]
pub fn when(when: When) -> &'static str {
    match when {
        When::InAnHour => "In an hour",
        When::Tonight => "Tonight",
        When::Tomorrow => "Tomorrow",
    }
}

/// Returns the name of a transfer window in a list of choices.
#[must_use]
pub fn window(window: &Window) -> &'static str {
    match window {
        Window::Any => ANY_TIME,
        Window::Idle => WHEN_IDLE,
        Window::Night => NIGHT_ONLY,
        Window::Weekly(_) => OWN_HOURS,
    }
}

/// Returns one line of the history, without its time.
#[must_use]
pub fn happened(what: &Happened) -> String {
    match what {
        Happened::Incoming => "New update".to_owned(),
        Happened::Received => "Downloaded and checked".to_owned(),
        Happened::Installed { already: false } => "Installed".to_owned(),
        Happened::Installed { already: true } => "Already installed".to_owned(),
        Happened::Failed { reason, .. } if says_what_became_of_the_old_one(*reason) => {
            format!("Couldn't install: {}", reason.for_user().what)
        }
        Happened::Failed { reason, restored, .. } => {
            let old = if *restored {
                "the previous version was restored"
            } else {
                "the previous version couldn't be restored"
            };
            format!("Couldn't install: {}; {old}", reason.for_user().what)
        }
        Happened::Dropped { reason } => format!("Cancelled: {}", reason.for_user().what),
        Happened::Enrolled => "This computer joined its server".to_owned(),
    }
}

/// Says for whom the service installs software.
#[must_use]
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::System => "Everyone on this computer",
        Mode::User => "Only you, in your own folders",
    }
}

/// Describes the processor's load, and for how long it has been quiet.
#[must_use]
pub fn load(load: Option<Load>, quiet_since: Option<UnixSeconds>, clock: &Clock) -> String {
    let Some(load) = load else { return "Processor: not being checked".to_owned() };
    let quiet = quiet_since.filter(|_| load.idle).map(|since| duration(clock.now.0.saturating_sub(since.0)));
    let quiet = quiet.map_or_else(|| ", busy".to_owned(), |quiet| format!(", quiet for {quiet}"));
    format!("Processor at {}%{quiet}", load.percent)
}

/// Says whether the computer is in use.
#[must_use]
pub fn presence(presence: Option<Presence>) -> String {
    let text = match presence {
        Some(Presence::Here) => "You're using this computer",
        Some(Presence::Away) => "Not in use",
        None => "Computer in use: unknown",
    };
    text.to_owned()
}

/// Describes the power supply.
#[must_use]
pub fn power(power: Option<Power>) -> String {
    let Some(power) = power else { return "Power: unknown".to_owned() };
    let saver = if power.saver { ", power saver on" } else { "" };
    let supply = match (power.battery, power.charge) {
        (true, None) => "On battery".to_owned(),
        (true, Some(charge)) => format!("On battery at {charge}%"),
        (false, None) => "Plugged in".to_owned(),
        (false, Some(charge)) => format!("Plugged in, battery at {charge}%"),
    };
    format!("{supply}{saver}")
}

/// Describes the network of the default route.
#[must_use]
pub fn network(network: Option<&Network>) -> String {
    let Some(network) = network else { return "Network: unknown".to_owned() };
    format!("{}, {}", network.name, if network.metered { "metered" } else { "unmetered" })
}

/// Says whether an app is in full screen.
#[must_use]
pub fn full_screen(full_screen: Option<bool>) -> String {
    let text = match full_screen {
        Some(true) => "An app is in full screen",
        Some(false) => "No app is in full screen",
        None => "Full screen: unknown",
    };
    text.to_owned()
}

/// Returns the free disk space.
#[must_use]
pub fn free_disk(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "Free disk space: unknown".to_owned(), |bytes| format!("{} free on disk", format_size(bytes)))
}

/// Returns a condition's name, for the accessible name of its "Ignore" box.
#[must_use]
pub fn signal(signal: &Overruled) -> &'static str {
    match signal {
        Overruled::Metered(_) => "metered network",
        Overruled::Battery => "battery",
        Overruled::FullScreen => "full-screen app",
        Overruled::Processor => "processor",
        Overruled::Presence => "computer in use",
    }
}

/// Returns the age of a condition's value.
#[must_use]
pub fn ago(seconds: u64) -> String {
    if seconds < 60 { "just now".to_owned() } else { format!("{} ago", duration(seconds)) }
}

/// Returns the headline of the Sharing page.
#[must_use]
pub fn shared_today(bytes: u64) -> String {
    if bytes == 0 {
        "Nothing shared today".to_owned()
    } else {
        format!("{} shared with other computers today", format_size(bytes))
    }
}

/// Returns what is left of the daily sharing limit.
#[must_use]
pub fn of_quota(given: u64, quota: u64) -> String {
    format!("{} of {} left today", format_size(quota.saturating_sub(given)), format_size(quota))
}

/// Returns how much was downloaded today.
#[must_use]
pub fn received_today(bytes: u64) -> String {
    format!("{} downloaded today", format_size(bytes))
}

/// Returns the current speeds.
#[must_use]
pub fn speeds(download: u64, upload: u64) -> String {
    format!("Now: downloading at {}, sharing at {}", speed(download), speed(upload))
}

/// Returns the identity of this computer, as names and values.
#[must_use]
pub fn facts(snapshot: &Snapshot, clock: &Clock) -> Vec<(&'static str, String)> {
    let about = &snapshot.about;
    let mut facts = vec![("Name", about.label.clone()), ("Server", away(snapshot.link, clock))];
    if let Some(enrolled) = &about.enrolled {
        facts.push(("Server address", enrolled.server_address.to_string()));
        facts.push(("Computer ID", enrolled.machine.to_string()));
        if let Some(until) = enrolled.certificate_until {
            facts.push(("Certificate expires", sentence(&past(until, clock))));
        }
        facts.push(("Revocation list", enrolled.crl_number.to_string()));
    }
    if let Some(listen) = about.listen {
        facts.push(("Listening on", listen.to_string()));
    }
    facts.push(("Installs for", mode(about.mode).to_owned()));
    facts.push(("Software", about.software.clone()));
    facts.push(("System", about.platform.clone()));
    if !about.zone.is_empty() {
        facts.push(("Time zone", about.zone.clone()));
    }
    facts
}

/// Returns a day's name (0 = Monday), cut to this number of letters.
#[must_use]
pub fn day(day: usize, letters: usize) -> &'static str {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let name = DAYS[day % 7];
    &name[..letters.min(name.len())]
}

/// Returns a day of the usage history, which the agent sends as `2026-11-22`: `Yesterday`, `Saturday, 21 November`.
#[must_use]
pub fn ledger_day(day: &str, clock: &Clock) -> String {
    let Ok(date) = day.parse::<jiff::civil::Date>() else { return day.to_owned() };
    let today = clock.local(clock.now).date();
    if today == date {
        return TODAY.to_owned();
    }
    if today.yesterday().is_ok_and(|yesterday| yesterday == date) {
        return "Yesterday".to_owned();
    }
    let year = if date.year() == today.year() { String::new() } else { format!(" {}", date.year()) };
    format!("{}, {} {}{year}", date.strftime("%A"), date.day(), date.strftime("%B"))
}

/// Returns an amount of bytes; a dash for none.
#[must_use]
pub fn amount(bytes: u64) -> String {
    if bytes == 0 { "–".to_owned() } else { format_size(bytes) }
}

/// Says whether downloads and sharing are allowed; if not, why and until when.
#[must_use]
pub fn may_transfer(gate: &Gate, clock: &Clock) -> String {
    match gate {
        Gate::Open { .. } => OPEN_NOW.to_owned(),
        Gate::Closed { because, until } => say::closed(because, *until, clock.here()),
    }
}

/// Says that a preference could not be saved.
#[must_use]
pub fn not_kept(why: &str) -> String {
    format!("Couldn't save this setting, so it applies only until you close the window. ({why})")
}

/// Returns a speed: `3.1 MB/s`.
#[must_use]
pub fn speed(bytes_per_second: u64) -> String {
    format!("{}/s", format_size(bytes_per_second))
}

/// Returns a duration, given in seconds: `2 min`.
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..=59 => "less than a minute".to_owned(),
        60..=3599 => format!("{} min", seconds.div_ceil(60)),
        3600..=86_399 if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400..=172_799 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Returns a date and time: `today at 14:30`, `yesterday at 16:05`, `16 November at 09:12`.
#[must_use]
pub fn past(at: UnixSeconds, clock: &Clock) -> String {
    let (at, now) = (clock.local(at), clock.local(clock.now));
    let time = at.strftime("%H:%M");
    if at.date() == now.date() {
        format!("today at {time}")
    } else if now.date().yesterday().is_ok_and(|yesterday| yesterday == at.date()) {
        format!("yesterday at {time}")
    } else if at.year() == now.year() {
        format!("{} {} at {time}", at.day(), at.strftime("%B"))
    } else {
        format!("{} {} {} at {time}", at.day(), at.strftime("%B"), at.year())
    }
}

/// Returns the text with a capital first letter.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Returns the text with a small first letter, for the middle of a sentence.
#[must_use]
pub fn lower_if(middle: bool, text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if middle => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}
