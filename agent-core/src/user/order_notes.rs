//! What is noted about one order: when it came, what the user wants, how it ended.

use banyan_proto::{
    Reason, UnixSeconds,
    api::Event,
    local::{Happened, UpdateState, Wait, Wishes},
    schedule::Stage,
};
use serde::{Deserialize, Serialize};

/// The record about one order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OrderNotes {
    /// When this machine first accepted the order.
    pub(crate) seen: UnixSeconds,
    /// The user's wishes.
    pub(crate) wishes: Wishes,
    /// How the order ended.
    #[serde(rename = "ended")]
    pub(crate) outcome: Option<OrderOutcome>,
    /// Whether the install helper is running.
    #[serde(skip)]
    pub(crate) is_installing: bool,
    /// What the order waits for apart from the schedule.
    #[serde(skip)]
    pub(crate) waits: Option<Wait>,
}

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrderOutcome {
    pub(crate) at: UnixSeconds,
    /// Why it failed; `None` when it was installed.
    #[serde(rename = "failed")]
    pub(crate) failure: Option<OrderFailure>,
}

/// Why an order failed. Stored as a list of these values, in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "(Reason, String, bool)", into = "(Reason, String, bool)")]
pub(crate) struct OrderFailure {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    /// Whether the previous version was restored.
    pub(crate) restored: bool,
}

impl From<(Reason, String, bool)> for OrderFailure {
    fn from((reason, detail, restored): (Reason, String, bool)) -> Self {
        Self { reason, detail, restored }
    }
}
impl From<OrderFailure> for (Reason, String, bool) {
    fn from(failure: OrderFailure) -> Self {
        (failure.reason, failure.detail, failure.restored)
    }
}

impl OrderNotes {
    /// Takes an event into the notes. Returns the history entry it deserves.
    pub(super) fn apply(&mut self, event: &Event, at: UnixSeconds) -> Option<Happened> {
        match event {
            // The verdict states the schedule's own reasons; other machines waiting for a turn here do not concern the
            // user.
            Event::Waits { reason: Reason::NotNow | Reason::MayNotForward | Reason::Busy, .. } => None,
            Event::Waits { reason, detail } => {
                self.is_installing = false;
                let stage = match reason {
                    Reason::NoSource | Reason::DiskFull | Reason::FileTooLarge | Reason::DiskFailed => Stage::Receive,
                    _ => Stage::Install,
                };
                let since = self.waits.as_ref().filter(|wait| wait.reason == *reason).map_or(at, |wait| wait.since);
                self.waits = Some(Wait { stage, reason: *reason, detail: detail.clone(), since, next: None });
                None
            }
            Event::Source { .. } | Event::Authenticated => {
                self.waits = None;
                None
            }
            Event::Installing => {
                self.is_installing = true;
                self.waits = None;
                None
            }
            Event::Verified { .. } => {
                self.waits = None;
                Some(Happened::Received)
            }
            Event::Installed { already, .. } => {
                self.end(OrderOutcome { at, failure: None });
                Some(Happened::Installed { already: *already })
            }
            Event::Failed { reason, detail, restored } => {
                let (reason, detail, restored) = (*reason, detail.clone(), *restored);
                let failure = OrderFailure { reason, detail: detail.clone(), restored };
                self.end(OrderOutcome { at, failure: Some(failure) });
                Some(Happened::Failed { reason, detail, restored })
            }
            Event::SteppedOver { .. }
            | Event::Offered { .. }
            | Event::Refused { .. }
            | Event::BadChunk { .. }
            | Event::Progress { .. } => None,
        }
    }
    fn end(&mut self, outcome: OrderOutcome) {
        self.is_installing = false;
        self.waits = None;
        self.outcome = Some(outcome);
    }
}

impl OrderOutcome {
    /// Returns the outcome as an update's state.
    pub(crate) fn to_update_state(&self) -> UpdateState {
        let at = self.at;
        match self.failure.clone() {
            None => UpdateState::Installed { at },
            Some(OrderFailure { reason, detail, restored }) => UpdateState::Failed { at, reason, detail, restored },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_stored_in_the_form_of_earlier_versions() {
        let failure = OrderFailure { reason: Reason::DiskFull, detail: "full".into(), restored: true };
        let notes = OrderNotes {
            outcome: Some(OrderOutcome { at: UnixSeconds(7), failure: Some(failure) }),
            ..OrderNotes::default()
        };
        let text = serde_json::to_string(&notes).unwrap();
        assert!(text.contains(r#""ended":{"at":7,"failed":["disk-full","full",true]}"#), "{text}");
        assert_eq!(serde_json::from_str::<OrderNotes>(&text).unwrap(), notes);
    }
}
