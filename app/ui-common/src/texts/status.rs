//! The status line of the whole computer, and its connections to the agent and the server.

use crate::{
    Clock,
    texts::{format, updates},
};
use banyan_proto::local::{Headline, Link, Snapshot};
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

/// Returns the status line at the top of the menu, which is also the tooltip.
#[must_use]
pub fn headline(snapshot: &Snapshot, clock: &Clock) -> String {
    let name =
        |order| snapshot.updates.iter().find(|update| update.order == order).map_or(String::new(), updates::title);
    match snapshot.headline() {
        Headline::NotEnrolled => NOT_SET_UP.to_owned(),
        Headline::Problem(order) => format!("{} couldn't be installed", name(order)),
        Headline::NeedsYou(order) => format!("{} is ready to install", name(order)),
        Headline::Installing(order) => format!("Installing {}", name(order)),
        Headline::Receiving(order) => {
            let update = snapshot.updates.iter().find(|update| update.order == order);
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
        Headline::Working(order) => format!("{} is on its way", name(order)),
        Headline::Idle => UP_TO_DATE.to_owned(),
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
