//! The words of tray and window, in one place, ready to be translated. What a verdict says is in [`banyan_schedule::say`],
//! what a reason says in the table of reasons: those words are shared with other programs.
//!
//! Sentences in sentence case, in the present, without exclamation marks and jargon: people read "computer", "update",
//! "transfers".

#![expect(missing_docs, reason = "words say themselves what they mean")]

use crate::{Clock, Page};
use banyan_proto::{
    Reason, UnixSeconds,
    api::{ApiError, OfferedRelease},
    local::{Happened, Headline, Link, Mode, Overruled, Package, Partner, Snapshot, Update, Wait, When},
    schedule::{Announcement, Gate, Load, Network, Night, Power, Presence, Stage, Window},
};
use banyan_schedule::say;

pub const PRODUCT: &str = "Banyan";

// States of an update.
pub const RECEIVING: &str = "Receiving";
pub const CHECKING: &str = "Checking";
pub const READY: &str = "Ready to install";
pub const READY_BUT: &str = "Ready; ";
pub const INSTALLING: &str = "Installing";
pub const FAILED: &str = "Could not be installed";
pub const WAITS: &str = "Waits";
pub const WAITS_FOR_OTHERS: &str = "Waits for a computer to get it from";

// What can be done about it.
pub const INSTALL_NOW: &str = "Install now";
pub const INSTALL_WHEN_HERE: &str = "Install when here";
pub const RECEIVE_NOW: &str = "Receive now";
pub const USE_NETWORK: &str = "Use this network all the same";
pub const USE_BATTERY: &str = "Go on with battery";
pub const BELOW_FULL_SCREEN: &str = "Install below it";
pub const NOT_TODAY: &str = "Not today";
pub const DETAILS: &str = "Details";

// The tray's menu.
pub const WHEN_TRANSFER: &str = "When may this computer transfer?";
pub const MY_SCHEDULE: &str = "My schedule …";
pub const PAUSE: &str = "Pause";
pub const RESUME: &str = "Resume";
pub const AN_HOUR: &str = "1 hour";
pub const UNTIL_TOMORROW: &str = "Until tomorrow";
pub const UNTIL_RESUMED: &str = "Until I resume";
pub const OPEN: &str = "Open Banyan …";
pub const ABOUT: &str = "About this computer …";
pub const QUIT: &str = "Quit this icon";
pub const UP_TO_DATE: &str = "Everything is up to date";
pub const NO_AGENT: &str = "Not connected to the Banyan service";
pub const NO_AGENT_MORE: &str =
    "This computer's Banyan service does not answer. Updates wait; it is called again and again.";
pub const NO_TRAY: &str = "This desktop shows no tray icons, so Banyan opens its window instead.";

// Notices.
pub const TOLD_IN_ANY_CASE: &str =
    "It is installed then in any case, as your administrator set it. Save your work before.";
pub const TELL_INCOMING: &str = "Tell me when an update is on its way";
pub const NOTICES: &str = "Notices";
pub const NOTICES_MORE: &str =
    "Always told: what is ready to install, what is installed soon in any case, what is done, and what failed.";

// A package file.
pub const PACKAGE: &str = "Package file";
pub const LOOKED_AT: &str = "The file is looked at";
pub const INSTALL: &str = "Install";
pub const INSTALL_OLDER: &str = "Install the older version";
pub const CLOSE: &str = "Close";
pub const CANCEL: &str = "Do not install";
pub const SIGNED_BY: &str = "Signed by";
pub const SIGNED_UNTIL: &str = "Signature ends";
pub const TRUSTED: &str = "This computer trusts whoever signed it";
pub const NOT_TRUSTED: &str = "This computer does not trust whoever signed it";
pub const NOT_YET_TRUSTED: &str = "Nobody here has said yet whether to trust whoever signed it";
pub const DO_YOU_TRUST: &str = "Do you trust whoever signed it?";
pub const WHAT_TRUST_MEANS: &str = "If you do, this package and later ones with the same key can be installed here without asking again. What they install \
     can do whatever you can do at this computer.";
pub const COMPARE_KEY: &str = "This is their key. Compare all of it with the one that its publishers tell you in another way, as on their website.";
pub const CALLS_ITSELF: &str = "Calls itself";
pub const YOU_TRUST: &str = "Publishers you trust";
pub const YOU_TRUST_MORE: &str =
    "Their packages are installed when you open them. What is installed of them stays when you trust them no longer.";
pub const FORGET_SIGNER: &str = "Trust no longer";
pub const NO_NAME: &str = "Publishers without a name";
pub const PUBLISHERS: &str = "Publishers";
pub const DOES: &str = "What installing it does";
pub const REPLACES: &str = "Replaces";
pub const SIZE: &str = "Size";
pub const REFUSED: &str = "This file is not installed";
pub const NOT_TAKEN: &str = "It was not installed";
pub const NOTHING_BEFORE: &str = "Nothing: Banyan has not installed it here before";
pub const TAKEN: &str = "It is an update like the others now, and goes on when this is closed.";

// Pages.
pub const NO_UPDATES: &str = "No updates";
pub const NO_UPDATES_MORE: &str =
    "What your administrator sends to this computer appears here, with where it comes from and when it is installed.";
pub const NO_HISTORY: &str = "Nothing has happened yet";
pub const NO_HISTORY_MORE: &str = "Every update that comes, is installed or fails is written down here.";
pub const CATALOGUE: &str = "Nothing is offered yet";
pub const CATALOGUE_MORE: &str =
    "Software that your administrator lets you install by yourself will appear here, with a button beside it.";
pub const CATALOGUE_WHAT: &str = "Your administrator lets you install these by yourself, when you like.";
pub const CATALOGUE_FAILED: &str = "What is offered is not known now";
pub const MAY_NOT_GET: &str = "Only an administrator of this computer may get these.";
pub const LOOK_AGAIN: &str = "Look again";
pub const LOOKED_FOR: &str = "The server is asked what is offered";
pub const GET: &str = "Get";
pub const UPDATE: &str = "Update";
pub const ASKED_FOR: &str = "The server is asked for it";
pub const ON_ITS_WAY: &str = "On its way";
pub const IS_INSTALLED: &str = "Installed";
pub const RELEASE_NOTES: &str = "What is new";
pub const TRANSFERS: &str = "This computer transfers";
pub const INSTALLS: &str = "Updates are installed";
pub const OPEN_NOW: &str = "Transfers may go on now";
pub const NIGHT_FROM: &str = "The night is from";
pub const NIGHT_TO: &str = "to";
pub const ANY_TIME: &str = "Any time";
pub const WHEN_IDLE: &str = "When idle";
pub const NIGHT_ONLY: &str = "Night only";
pub const OWN_HOURS: &str = "My schedule";
pub const GRID_HINT: &str = "Paint with the mouse, or move with the arrow keys and press space.";
pub const PRESET_NIGHTS: &str = "Nights";
pub const PRESET_WEEKENDS: &str = "Nights and weekends";
pub const PRESET_EVENINGS: &str = "Outside 8 to 18";
pub const PRESET_ALL: &str = "All";
pub const PRESET_NONE: &str = "None";
pub const SAVE: &str = "Save";
pub const DISCARD: &str = "Discard";
pub const NOW: &str = "Now";
pub const SIGNALS: &str = "What this computer sees";
pub const COUNTS_NOT: &str = "Does not count";
pub const TODAY: &str = "Today";
pub const PASSED_ON: &str = "Passed on";
pub const RECEIVED: &str = "Received";
pub const LEDGER: &str = "Days before";
pub const DAY: &str = "Day";
pub const WHY_SHARE: &str =
    "Computers here hand updates on to each other, so that each update comes over the line from outside only once.";
pub const NO_LEDGER: &str = "Each day on which this computer passes something on gets a line here.";
pub const LIMITS: &str = "Limits";
pub const DOWNLOAD: &str = "Receive at most";
pub const UPLOAD: &str = "Pass on at most";
pub const DAILY: &str = "Pass on in one day at most";
pub const FREE_DISK: &str = "Keep free on the disk";
pub const PASS_ON: &str = "Pass updates on to other computers";
pub const MAKE_ROOM: &str = "Make room for other programs on this computer";
pub const MAKE_ROOM_MORE: &str = "Transfers slow down while a program here uses the line.";
pub const MAKE_ROOM_LAID: &str = "Your administrator has laid this down.";
pub const FORGET: &str = "Back to the administrator's settings";
pub const NO_CHOICE: &str = "Nothing is set here: your administrator's settings hold.";
pub const ZERO_IS_NONE: &str = "Leave a field empty for no limit.";
pub const NOT_A_NUMBER: &str = "Write a number, or leave the field empty for no limit.";
pub const JOIN: &str = "Join a server";
pub const JOIN_HINT: &str = "Paste the join code that your administrator gave you.";
pub const JOIN_CODE: &str = "Join code";
pub const JOIN_BUTTON: &str = "Join";
pub const COPY: &str = "Copy this page";
pub const MAY_NOT: &str = "You may look at this, but not change it: that takes the administrator of this computer.";

/// Why no window came.
#[must_use]
pub fn no_window(why: &str) -> String {
    format!("The window could not be opened: {why}")
}

/// A page's name.
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

/// `LibreOffice 26.2`.
#[must_use]
pub fn title(update: &Update) -> String {
    format!("{} {}", update.package, update.version)
}

/// `From IT of Lakeside School · 84 MB · signed`: only what was signed is ever accepted.
#[must_use]
pub fn origin(update: &Update) -> String {
    from_and_size(&update.publisher, update.size)
}

fn from_and_size(publisher: &str, bytes: u64) -> String {
    let from = if publisher.is_empty() { String::new() } else { format!("From {publisher} · ") };
    format!("{from}{} · signed", size(bytes))
}

/// `64 % · 3.1 MB/s · 2 min left`.
#[must_use]
pub fn progress(update: &Update) -> String {
    let (progress, mut text) = (&update.progress, format!("{} %", update.progress.percent()));
    if let Some(seconds) = progress.seconds_left() {
        text += &format!(" · {} · {} left", speed(progress.down), duration(seconds));
    }
    text
}

/// `From room-204-07 · passing on to room-204-11, room-204-12`.
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
        (false, true) => format!("From {from}"),
        (true, false) => format!("Passing on to {to}"),
        (false, false) => format!("From {from} · passing on to {to}"),
    }
}

/// The one line at the top of the menu; also the tooltip.
#[must_use]
pub fn headline(snapshot: &Snapshot, clock: &Clock) -> String {
    let name = |order| snapshot.updates.iter().find(|update| update.order == order).map_or(String::new(), title);
    match snapshot.headline() {
        Headline::NotEnrolled => "This computer belongs to no server yet".to_owned(),
        Headline::Problem(order) => format!("{} could not be installed", name(order)),
        Headline::NeedsYou(order) => format!("{} is ready to install", name(order)),
        Headline::Installing(order) => format!("Installing {}", name(order)),
        Headline::Receiving(order) => {
            let update = snapshot.updates.iter().find(|update| update.order == order);
            let left = update.and_then(|update| update.progress.seconds_left()).map(duration);
            let percent = update.map_or(0, |update| update.progress.percent());
            let left = left.map_or(String::new(), |left| format!(" · {left} left"));
            format!("Receiving {} · {percent} %{left}", name(order))
        }
        Headline::Forwarding(order) => format!("Passing on {}", name(order)),
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

/// Whether the server answers.
#[must_use]
pub fn away(link: Link, clock: &Clock) -> String {
    match link {
        Link::NotEnrolled => "This computer belongs to no server yet".to_owned(),
        Link::Connecting => "Calling the server".to_owned(),
        Link::Connected => "The server answers".to_owned(),
        Link::Away { heard: None } => "The server has not answered yet".to_owned(),
        Link::Away { heard: Some(heard) } => format!("The server does not answer since {}", past(heard, clock)),
    }
}

/// A time in the middle of a sentence: `at 14:30`, `tonight, 22:00`.
#[must_use]
pub fn at(at: UnixSeconds, clock: &Clock) -> String {
    let moment = say::moment(at, clock.here());
    if moment.starts_with(|first: char| first.is_ascii_digit()) { format!("at {moment}") } else { moment }
}

/// The hours of the night: `22:00–06:00`.
#[must_use]
pub fn night(night: Night) -> String {
    night.to_string().replace('-', "–")
}

/// What goes ahead in any case: `Is installed at 14:44 in any case`.
#[must_use]
pub fn announced(announced: &Announcement, clock: &Clock) -> String {
    let does = match announced.stage {
        Stage::Receive => "Is received",
        Stage::Install => "Is installed",
        Stage::Forward => "Is passed on",
    };
    format!("{does} {} in any case", at(announced.at, clock))
}

/// A notice: something new.
#[must_use]
pub fn told_incoming(update: &Update) -> String {
    format!("{} is on its way", title(update))
}

/// A notice: the person may have it now.
#[must_use]
pub fn told_ready(update: &Update) -> String {
    format!("{} is ready to install", title(update))
}

/// What holds it.
#[must_use]
pub fn told_why(update: &Update, clock: &Clock) -> String {
    match &update.verdict.install {
        Gate::Closed { because, until } => format!("{}.", say::closed(because, *until, clock.here())),
        Gate::Open { .. } => String::new(),
    }
}

/// A notice: time runs out. Within the hour in minutes.
#[must_use]
pub fn told_countdown(update: &Update, when: UnixSeconds, clock: &Clock) -> String {
    let left = when.0.saturating_sub(clock.now.0);
    let when = if left <= 3600 { format!("in {}", duration(left.max(60))) } else { at(when, clock) };
    format!("{} is installed {when}", title(update))
}

/// A notice: the new version runs.
#[must_use]
pub fn told_done(update: &Update) -> String {
    format!("{} is installed", title(update))
}

/// A notice: it did not work.
#[must_use]
pub fn told_failed(update: &Update) -> String {
    format!("{} could not be installed", title(update))
}

/// `drawing 3.1`.
#[must_use]
pub fn package(package: &Package) -> String {
    format!("{} {}", package.package, package.version)
}

/// What is said of a package file, as names and values.
#[must_use]
pub fn package_facts(package: &Package, clock: &Clock) -> Vec<(&'static str, String)> {
    let signer = &package.signer;
    let publisher = match (signer.trusted, package.publisher.is_empty()) {
        (true, false) => package.publisher.clone(),
        (true, true) => "Your publishers".to_owned(),
        // Whoever signs can call themselves what they like.
        (false, _) => "Unknown".to_owned(),
    };
    let mut facts = vec![(SIGNED_BY, publisher), (SIGNED_UNTIL, past(signer.until, clock))];
    if signer.asks {
        let named = signer_name(&package.publisher);
        facts.push((CALLS_ITSELF, format!("{named} (nobody has checked that)")));
    } else if !signer.trusted {
        let short = |text: &str| text.chars().take(16).collect::<String>();
        let keys: Vec<_> = signer.keys.iter().map(|key| short(key)).collect();
        facts.push((PUBLISHERS, format!("root {}, keys {}", short(&signer.root.to_string()), keys.join(", "))));
    }
    if let Some(file) = &package.file {
        facts.push((SIZE, size(file.size)));
    }
    facts.push((REPLACES, replaces(package, clock)));
    facts
}

/// What publishers are called.
#[must_use]
pub fn signer_name(name: &str) -> &str {
    if name.is_empty() { NO_NAME } else { name }
}

/// Beside the box that the person ticks: `I have compared the key and trust Mia's tools`.
#[must_use]
pub fn i_trust(name: &str) -> String {
    let name = if name.is_empty() { "whoever has it" } else { name };
    format!("I have compared the key and trust {name}")
}

/// A button's name, for those who hear and do not see which line it stands in.
#[must_use]
pub fn forget_signer(name: &str) -> String {
    format!("{FORGET_SIGNER}: {}", signer_name(name))
}

fn replaces(package: &Package, clock: &Clock) -> String {
    match &package.replaces {
        None => NOTHING_BEFORE.to_owned(),
        Some(old) if old.sequence > package.sequence => {
            format!("Version {}, which is newer: an older one takes its place", old.version)
        }
        Some(old) => format!("Version {}, installed {}", old.version, past(old.at, clock)),
    }
}

/// Whether an older version would come back.
#[must_use]
pub fn is_older(package: &Package) -> bool {
    package.replaces.as_ref().is_some_and(|old| old.sequence > package.sequence)
}

/// `Drawing 3.1`.
#[must_use]
pub fn offered(release: &OfferedRelease) -> String {
    format!("{} {}", release.package, release.version)
}

/// `From IT of Lakeside School · 74 MB · signed`: of what is offered nothing else is ever installed.
#[must_use]
pub fn offered_origin(release: &OfferedRelease) -> String {
    from_and_size(&release.publisher, release.size)
}

/// The whole name of a button that only says "Get".
#[must_use]
pub fn get(release: &OfferedRelease) -> String {
    format!("{GET} {}", offered(release))
}

/// The whole name of a button that only says "Update".
#[must_use]
pub fn update_to(release: &OfferedRelease) -> String {
    format!("{UPDATE} {} to {}", release.package, release.version)
}

/// The whole name of what unfolds release notes, where there are several on a page.
#[must_use]
pub fn what_is_new_in(release: &OfferedRelease) -> String {
    format!("{RELEASE_NOTES} in {}", offered(release))
}

/// An older version than the one that is offered.
#[must_use]
pub fn older_installed(version: &str) -> String {
    format!("Version {version} is installed")
}

/// A newer version than the one that is offered.
#[must_use]
pub fn newer_installed(version: &str) -> String {
    format!("Version {version} is installed, which is newer")
}

/// Another version than the one that is offered is on its way: `Version 2.0: receiving`.
#[must_use]
pub fn other_version(version: &str, state: &str) -> String {
    format!("Version {version}: {}", lower_if(true, state))
}

/// Why nothing came of asking, and what to do.
#[must_use]
pub fn not_got(error: &ApiError) -> String {
    let next = match error.reason {
        Reason::ServerAway => "Look again when the server answers.",
        Reason::NotOffered | Reason::NotPublished | Reason::Withdrawn => "Look again for what is offered now.",
        Reason::UnderWay | Reason::OrderSuperseded => "How far it is stands on the page Updates.",
        Reason::InstalledAlready => "There is nothing to do.",
        Reason::Busy => "Try again later.",
        _ => "If that does not change, tell your administrator.",
    };
    format!("{}. {next}", sentence(&error.detail))
}

/// Why a package file is not installed, and what to do.
#[must_use]
pub fn refused(error: &ApiError) -> String {
    format!("{}. {}.", sentence(&error.detail), sentence(error.reason.next()))
}

/// `12 MB of 74 MB are with the service`.
#[must_use]
pub fn handed_over(sent: u64, of: u64) -> String {
    format!("{} of {} are with the Banyan service", size(sent), size(of))
}

/// Why an update is not further although nothing here is in the way.
#[must_use]
pub fn wait(wait: &Wait, clock: &Clock) -> String {
    let next = match wait.next {
        Some(next) => format!("It is tried again {}", at(next, clock)),
        None => sentence(wait.reason.next()),
    };
    format!("{}. {next}.", sentence(wait.reason.words()))
}

const ADMINISTRATOR_KNOWS: &str = "Your administrator knows of it.";

/// What failed, whether the old version is there, what to do: where no server ordered it (`alone`), by the person.
#[must_use]
pub fn failed(reason: Reason, detail: &str, restored: bool, alone: bool) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    let old = if says_what_became_of_the_old_one(reason) {
        ""
    } else if restored {
        " The version before is in place."
    } else {
        " The version before could not be put back."
    };
    let next = if alone { format!("{}.", sentence(reason.next())) } else { ADMINISTRATOR_KNOWS.to_owned() };
    format!("{}{detail}.{old} {next}", sentence(reason.words()))
}

fn says_what_became_of_the_old_one(reason: Reason) -> bool {
    matches!(reason, Reason::ProbeFailed | Reason::UndoFailed)
}

/// `Installed yesterday, 16:05`.
#[must_use]
pub fn installed(when: &str) -> String {
    format!("Installed {when}")
}

/// A time that an install may be put off to.
#[must_use]
pub fn when(when: When) -> &'static str {
    match when {
        When::InAnHour => "In an hour",
        When::Tonight => "Tonight",
        When::Tomorrow => "Tomorrow",
    }
}

/// A window as one of the choices.
#[must_use]
pub fn window(window: &Window) -> &'static str {
    match window {
        Window::Any => ANY_TIME,
        Window::Idle => WHEN_IDLE,
        Window::Night => NIGHT_ONLY,
        Window::Weekly(_) => OWN_HOURS,
    }
}

/// One line of the history, without its time.
#[must_use]
pub fn happened(what: &Happened) -> String {
    match what {
        Happened::Incoming => "On its way".to_owned(),
        Happened::Received => "Received and checked".to_owned(),
        Happened::Installed { already: false } => "Installed".to_owned(),
        Happened::Installed { already: true } => "Was installed already".to_owned(),
        Happened::Failed { reason, .. } if says_what_became_of_the_old_one(*reason) => {
            format!("Could not be installed: {}", reason.words())
        }
        Happened::Failed { reason, restored, .. } => {
            let old = if *restored { "the version before is in place" } else { "the version before is not back" };
            format!("Could not be installed: {}; {old}", reason.words())
        }
        Happened::Dropped { reason } => format!("Dropped: {}", reason.words()),
        Happened::Enrolled => "This computer joined its server".to_owned(),
    }
}

/// As whom the service runs.
#[must_use]
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::System => "For everybody at this computer",
        Mode::User => "For you alone, in your own folders",
    }
}

/// What the processor does, and since when it is quiet.
#[must_use]
pub fn load(load: Option<Load>, quiet_since: Option<UnixSeconds>, clock: &Clock) -> String {
    let Some(load) = load else { return "Processor: not looked at now".to_owned() };
    let quiet = quiet_since.filter(|_| load.idle).map(|since| duration(clock.now.0.saturating_sub(since.0)));
    let quiet = quiet.map_or_else(|| ", busy".to_owned(), |quiet| format!(", quiet for {quiet}"));
    format!("Processor {} %{quiet}", load.percent)
}

/// Whether somebody is there.
#[must_use]
pub fn presence(presence: Option<Presence>) -> String {
    let text = match presence {
        Some(Presence::Here) => "You are here",
        Some(Presence::Away) => "Nobody is here",
        None => "Whether somebody is here is not known",
    };
    text.to_owned()
}

/// Mains or battery.
#[must_use]
pub fn power(power: Option<Power>) -> String {
    let Some(power) = power else { return "Power: not known".to_owned() };
    let charge = power.charge.map_or(String::new(), |charge| format!(", battery {charge} %"));
    let saver = if power.saver { ", saving power" } else { "" };
    format!("{}{charge}{saver}", if power.battery { "On battery" } else { "On mains" })
}

/// The network that leads out.
#[must_use]
pub fn network(network: Option<&Network>) -> String {
    let Some(network) = network else { return "Network: not known".to_owned() };
    format!("{}, {}", network.name, if network.metered { "metered" } else { "not metered" })
}

/// Whether a program fills the screen.
#[must_use]
pub fn full_screen(full_screen: Option<bool>) -> String {
    let text = match full_screen {
        Some(true) => "A program fills the screen",
        Some(false) => "No program fills the screen",
        None => "Whether a program fills the screen is not known",
    };
    text.to_owned()
}

/// Free disk.
#[must_use]
pub fn free_disk(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "Free disk: not known".to_owned(), |bytes| format!("{} free on the disk", size(bytes)))
}

/// A signal's name, for those who hear and do not see which line a box stands in.
#[must_use]
pub fn signal(signal: &Overruled) -> &'static str {
    match signal {
        Overruled::Metered(_) => "metered network",
        Overruled::Battery => "battery",
        Overruled::FullScreen => "full-screen program",
        Overruled::Processor => "processor",
        Overruled::Presence => "somebody at the computer",
    }
}

/// How old a signal is.
#[must_use]
pub fn ago(seconds: u64) -> String {
    if seconds < 60 { "just now".to_owned() } else { format!("{} ago", duration(seconds)) }
}

/// The largest line of the page on sharing.
#[must_use]
pub fn shared_today(bytes: u64) -> String {
    if bytes == 0 {
        "Nothing passed on today".to_owned()
    } else {
        format!("{} passed on to other computers today", size(bytes))
    }
}

/// Of the quota.
#[must_use]
pub fn of_quota(given: u64, quota: u64) -> String {
    format!("{} of {} for one day are left", size(quota.saturating_sub(given)), size(quota))
}

/// What came in today.
#[must_use]
pub fn received_today(bytes: u64) -> String {
    format!("{} received today", size(bytes))
}

/// What moves now.
#[must_use]
pub fn speeds(download: u64, upload: u64) -> String {
    format!("Now: receiving {}, passing on {}", speed(download), speed(upload))
}

/// Who this computer is, as names and values.
#[must_use]
pub fn facts(snapshot: &Snapshot, clock: &Clock) -> Vec<(&'static str, String)> {
    let about = &snapshot.about;
    let mut facts = vec![("Name", about.label.clone()), ("Server", away(snapshot.link, clock))];
    if let Some(enrolled) = &about.enrolled {
        facts.push(("Server address", enrolled.server_address.to_string()));
        facts.push(("Identity", enrolled.machine.to_string()));
        if let Some(until) = enrolled.certificate_until {
            facts.push(("Certificate until", past(until, clock)));
        }
        facts.push(("Revocation list", enrolled.crl_number.to_string()));
    }
    if let Some(listen) = about.listen {
        facts.push(("Listens at", listen.to_string()));
    }
    facts.push(("Works", mode(about.mode).to_owned()));
    facts.push(("Program", about.software.clone()));
    facts.push(("System", about.platform.clone()));
    if !about.zone.is_empty() {
        facts.push(("Time zone", about.zone.clone()));
    }
    facts
}

/// A day's name, 0 = Monday, cut to so many letters.
#[must_use]
pub fn day(day: usize, letters: usize) -> &'static str {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let name = DAYS[day % 7];
    &name[..letters.min(name.len())]
}

/// A day of the ledger, `2026-11-22` to the agent: `Yesterday`, `Saturday, 21 November`.
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

/// Of a day on which nothing was: a dash.
#[must_use]
pub fn amount(bytes: u64) -> String {
    if bytes == 0 { "–".to_owned() } else { size(bytes) }
}

/// Whether transfers may go on, and if not: why, and until when.
#[must_use]
pub fn may_transfer(gate: &Gate, clock: &Clock) -> String {
    match gate {
        Gate::Open { .. } => OPEN_NOW.to_owned(),
        Gate::Closed { because, until } => say::closed(because, *until, clock.here()),
    }
}

/// Preferences that could not be kept.
#[must_use]
pub fn not_kept(why: &str) -> String {
    format!("This could not be kept: {why}. It holds until the window is closed.")
}

/// `84 MB`, in units of 1000.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) if bytes / unit >= 10 => format!("{} {name}", bytes / unit),
        Some((unit, name)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

/// `3.1 MB/s`.
#[must_use]
pub fn speed(bytes_per_second: u64) -> String {
    format!("{}/s", size(bytes_per_second))
}

/// `2 min`, of seconds.
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..=59 => "less than a minute".to_owned(),
        60..=3599 => format!("{} min", seconds.div_ceil(60)),
        3600..=86_399 if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A time that is over: `14:30` (today), `yesterday, 16:05`, `16 November, 09:12`.
#[must_use]
pub fn past(at: UnixSeconds, clock: &Clock) -> String {
    let (at, now) = (clock.local(at), clock.local(clock.now));
    let time = at.strftime("%H:%M");
    if at.date() == now.date() {
        time.to_string()
    } else if now.date().yesterday().is_ok_and(|yesterday| yesterday == at.date()) {
        format!("yesterday, {time}")
    } else if at.year() == now.year() {
        format!("{} {}, {time}", at.day(), at.strftime("%B"))
    } else {
        format!("{} {} {}, {time}", at.day(), at.strftime("%B"), at.year())
    }
}

/// Begins with a capital letter.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Begins with a small letter, in the middle of a sentence.
#[must_use]
pub fn lower_if(middle: bool, text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if middle => first.to_lowercase().chain(letters).collect(),
        _ => text.to_owned(),
    }
}
