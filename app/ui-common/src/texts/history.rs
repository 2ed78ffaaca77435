//! The History page.

use crate::texts::updates;
use banyan_proto::local::Happened;

pub const NO_HISTORY: &str = "No history yet";
pub const NO_HISTORY_HINT: &str = "Updates you receive will be listed here.";

/// Returns one line of the history, without its time.
#[must_use]
pub fn event(what: &Happened) -> String {
    match what {
        Happened::Incoming => "New update".to_owned(),
        Happened::Received => "Downloaded and checked".to_owned(),
        Happened::Installed { already: false } => "Installed".to_owned(),
        Happened::Installed { already: true } => "Already installed".to_owned(),
        Happened::Failed { reason, .. } if updates::reason_states_restoration(*reason) => {
            format!("Couldn't install: {}", reason.for_user().what)
        }
        Happened::Failed { reason, restored, .. } => {
            let old = if *restored {
                "this computer is as it was before"
            } else {
                "the previous version couldn't be restored"
            };
            format!("Couldn't install: {}; {old}", reason.for_user().what)
        }
        Happened::Dropped { reason } => format!("Cancelled: {}", reason.for_user().what),
        Happened::Enrolled => "This computer joined its server".to_owned(),
    }
}
