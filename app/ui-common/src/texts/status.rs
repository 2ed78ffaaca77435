//! The status line of the whole computer, and its connections to the agent and the server.

use crate::{
    Clock,
    texts::{format, updates},
};
use banyan_proto::{
    OrderId,
    local::{Headline, Link, Snapshot, Update, UpdateState},
};
use banyan_schedule::sentences;
use std::io;

pub const UP_TO_DATE: &str = "You're up to date";
pub const NO_AGENT: &str = "Can't reach the Banyan service";
pub const NO_AGENT_HINT: &str =
    "The Banyan service on this computer isn't responding. Updates are on hold; Banyan keeps trying to reconnect.";

/// Says why the Banyan service did not answer, and what to do. Never the system's or a library's own words.
#[must_use]
pub fn service_error(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::NotFound => {
            "it isn't running, or Banyan isn't installed on this computer; restart the computer, or ask your administrator"
        }
        io::ErrorKind::ConnectionRefused => "it isn't running; restart the computer, or ask your administrator",
        io::ErrorKind::PermissionDenied => "your account isn't allowed to use it; ask your administrator",
        io::ErrorKind::InvalidData => {
            "it answers in a way that this app can't read; restart the computer after an update of Banyan"
        }
        // These texts are Banyan's own.
        io::ErrorKind::Other if error.raw_os_error().is_none() => return error.to_string(),
        _ => "it stopped answering; Banyan will try again",
    };
    text.to_owned()
}

/// The status of a computer that belongs to no server.
pub(super) const NOT_SET_UP: &str = "Not set up yet: enter a join code";

/// Returns the most important fact in one sentence: the tray's tooltip.
#[must_use]
pub fn headline(snapshot: &Snapshot, clock: &Clock) -> String {
    let name = |order| find(snapshot, order).map_or(String::new(), updates::title);
    match snapshot.headline() {
        Headline::NotEnrolled => NOT_SET_UP.to_owned(),
        Headline::Problem(order) => format!("{} couldn't be installed{}", name(order), failure(snapshot, order)),
        Headline::NeedsYou(order) => format!("{} is ready to install", name(order)),
        Headline::Installing(order) => format!("Installing {}", name(order)),
        Headline::Receiving(order) => {
            let update = find(snapshot, order);
            let left = update.and_then(|update| update.progress.seconds_left()).map(format::duration);
            let percent = update.map_or(0, |update| update.progress.percent());
            let left = left.map_or(String::new(), |left| format!(" · {left} left"));
            format!("Downloading {} · {percent}%{left}", name(order))
        }
        Headline::Forwarding(order) => format!("Sharing {}", name(order)),
        Headline::NotConnected => server_connection(snapshot.link, clock),
        Headline::Paused { until: None } => "Paused until you resume".to_owned(),
        Headline::Paused { until: Some(until) } => {
            format!("Paused until {}", sentences::format_time(until, clock.here()))
        }
        Headline::Waiting { order, because, until } => {
            format!(
                "{}: {}",
                name(order),
                format::lowercase_if(true, &sentences::closed_gate(&because, until, clock.here()))
            )
        }
        Headline::Working(order) => match find(snapshot, order).and_then(|update| update.waits.as_ref()) {
            Some(wait) => format!("{}: {}", name(order), wait.reason.for_user().what),
            None => format!("{} is on its way", name(order)),
        },
        Headline::Idle => UP_TO_DATE.to_owned(),
    }
}

fn find(snapshot: &Snapshot, order: OrderId) -> Option<&Update> {
    snapshot.updates.iter().find(|update| update.order == order)
}

/// Returns why an update could not be installed, for the end of a sentence. Empty when it has not failed.
fn failure(snapshot: &Snapshot, order: OrderId) -> String {
    match find(snapshot, order).map(|update| &update.state) {
        Some(UpdateState::Failed { reason, .. }) => format!(": {}", reason.for_user().what),
        _ => String::new(),
    }
}

/// Returns the first line of a menu that lists updates below it: `Connected · 4 updates`. The updates say the rest.
#[must_use]
pub fn above_updates(link: Link, updates: usize, clock: &Clock) -> String {
    let count = if updates == 1 { "1 update".to_owned() } else { format!("{updates} updates") };
    match link {
        Link::NotEnrolled => count,
        Link::Connecting | Link::Connected | Link::Away { .. } => {
            format!("{} · {count}", server_connection(link, clock))
        }
    }
}

/// Returns the state of the connection to the server.
#[must_use]
pub fn server_connection(link: Link, clock: &Clock) -> String {
    match link {
        Link::NotEnrolled => NOT_SET_UP.to_owned(),
        Link::Connecting => "Connecting…".to_owned(),
        Link::Connected => "Connected".to_owned(),
        Link::Away { heard: None } => "Not connected yet".to_owned(),
        Link::Away { heard: Some(heard) } => format!("Offline · last contact {}", format::past_moment(heard, clock)),
    }
}
