//! Notifications: titles and bodies.

use crate::{
    Clock,
    texts::{format, updates},
};
use banyan_proto::{UnixSeconds, local::Update, schedule::Gate};
use banyan_schedule::sentences;

pub const DEADLINE_BODY: &str = "Your administrator set this deadline. Save your work before then.";

/// Returns the title of a notification: a new update.
#[must_use]
pub fn new_update_title(update: &Update) -> String {
    format!("{} is on its way", updates::title(update))
}

/// Returns the title of a notification: an update is ready to install.
#[must_use]
pub fn ready_title(update: &Update) -> String {
    format!("{} is ready to install", updates::title(update))
}

/// Returns the body of a notification: what an update that is ready is waiting for.
#[must_use]
pub fn ready_body(update: &Update, clock: &Clock) -> String {
    match &update.verdict.install {
        Gate::Closed { because, until } => format!("{}.", sentences::closed_gate(because, *until, clock.here())),
        Gate::Open { .. } => String::new(),
    }
}

/// Returns the title of a notification: the deadline of an install.
#[must_use]
pub fn deadline_title(update: &Update, when: UnixSeconds, clock: &Clock) -> String {
    format!("{} will install {}", updates::title(update), format::upcoming(when, clock))
}

/// Returns the title of a notification: the install succeeded.
#[must_use]
pub fn installed_title(update: &Update) -> String {
    format!("{} was installed", updates::title(update))
}

/// Returns the title of a notification: the install failed.
#[must_use]
pub fn failed_title(update: &Update) -> String {
    format!("{} couldn't be installed", updates::title(update))
}
