//! The choices that the tray and the window share: pauses and the hours of the night.

use crate::{texts, update_summary::UserAction};
use banyan_proto::{
    local::{PauseFor, Request, Scheduling},
    schedule::Night,
};

/// Returns the pauses that the policy allows, or the end of the current pause.
#[must_use]
pub fn pause_actions(scheduling: &Scheduling) -> Vec<UserAction> {
    let action = |label: &str, request| UserAction { label: label.to_owned(), tooltip: String::new(), request };
    if scheduling.effective().pause.is_some() {
        return vec![action(texts::schedule::RESUME, Request::Resume)];
    }
    let longest = scheduling.policy.bounds.pause;
    let fits = |seconds: u32| longest.is_none_or(|longest| longest >= seconds);
    let pause = |label, until| action(label, Request::Pause { until });
    let mut pauses = Vec::new();
    if fits(3600) {
        pauses.push(pause(texts::schedule::PAUSE_ONE_HOUR, PauseFor::Seconds(3600)));
    }
    if fits(24 * 3600) {
        pauses.push(pause(texts::schedule::PAUSE_UNTIL_TOMORROW, PauseFor::UntilTomorrow));
    }
    if longest.is_none() {
        pauses.push(pause(texts::schedule::PAUSE_UNTIL_RESUMED, PauseFor::UntilResumed));
    }
    pauses
}

/// Returns the start and the end of a night: `22:00` and `06:00`.
#[must_use]
pub fn night_hours(night: Night) -> (String, String) {
    let text = night.to_string();
    text.split_once('-').map(|(from, to)| (from.to_owned(), to.to_owned())).unwrap_or_default()
}

/// Returns every half-hour at which a night can start (`end`: at which it can end).
#[must_use]
pub fn half_hours(end: bool) -> Vec<String> {
    let first = usize::from(end);
    (first..48 + first).map(|n| format!("{:02}:{:02}", n / 2, n % 2 * 30)).collect()
}

/// Returns the night between these times; none when it would be empty.
#[must_use]
pub fn night(from: &str, to: &str) -> Option<Night> {
    format!("{from}-{to}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_night_comes_back_as_it_was() {
        let mut nights = 0;
        for from in half_hours(false) {
            for to in half_hours(true) {
                let Some(night) = night(&from, &to) else { continue };
                assert_eq!(night_hours(night), (from.clone(), to));
                nights += 1;
            }
        }
        assert_eq!(nights, 48 * 48 - 47, "nights that start and end at the same time are invalid, except a whole day");
    }
}
