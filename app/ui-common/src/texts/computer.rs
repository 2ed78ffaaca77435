//! The page "This computer".

use crate::{
    Clock,
    texts::{format, package_file, status},
};
use banyan_proto::{
    Address,
    local::{About, Snapshot},
};

pub const TRUSTED_PUBLISHERS: &str = "Publishers you trust";
pub const TRUSTED_PUBLISHERS_HINT: &str = "You can install their packages without being asked again. If you stop trusting them, software already installed stays.";
pub const STOP_TRUSTING: &str = "Stop trusting";
pub const JOIN: &str = "Join a server";
pub const JOIN_HINT: &str = "Paste the join code your administrator gave you.";
pub const JOIN_CODE: &str = "Join code";
pub const JOIN_BUTTON: &str = "Join";
pub const COPY_DETAILS: &str = "Copy details";
pub const NOT_ALLOWED: &str = "Only an administrator of this computer can change this.";

/// Returns the accessible name of a "Stop trusting" button, which includes the publisher.
#[must_use]
pub fn stop_trusting(name: &str) -> String {
    format!("{STOP_TRUSTING}: {}", package_file::publisher_name(name))
}

/// Says for whom the service installs software.
#[must_use]
pub fn install_scope(about: &About) -> &'static str {
    if about.installs_for_everyone { "Everyone on this computer" } else { "Only you, in your own folders" }
}

/// Returns the identity of this computer, as names and values.
#[must_use]
pub fn facts(snapshot: &Snapshot, clock: &Clock) -> Vec<(&'static str, String)> {
    let about = &snapshot.about;
    let mut facts = vec![("Name", about.label.clone()), ("Server", status::server_connection(snapshot.link, clock))];
    if let Some(enrolled) = &about.enrolled {
        facts.push(("Server address", Address::list(&enrolled.server_addresses)));
        facts.push(("Computer ID", enrolled.machine.to_string()));
        if let Some(until) = enrolled.certificate_until {
            facts.push(("Certificate expires", format::capitalise(&format::past_moment(until, clock))));
        }
        facts.push(("Revocation list", enrolled.crl_number.to_string()));
    }
    if let Some(listen) = about.listen {
        facts.push(("Listening on", listen.to_string()));
    }
    facts.push(("Installs for", install_scope(about).to_owned()));
    facts.push(("Software", about.software.clone()));
    facts.push(("System", about.platform.clone()));
    if !about.zone.is_empty() {
        facts.push(("Time zone", about.zone.clone()));
    }
    facts
}
