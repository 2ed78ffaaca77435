//! Checks whether the server noticed suspicious events lately, and names the machines that they are about.

use crate::{
    api_client::ApiClientError,
    commands::doctor::Check,
    output::{Advice as _, format_count},
};
use banyan_proto::{
    MachineId, UnixSeconds,
    admin::{Machine, SuspiciousEvent},
};
use std::collections::BTreeMap;

const WHAT: &str = "suspicions";
/// Older events are shown by `banyan machines show` only (seconds).
const LATELY: u64 = 86_400;
/// Machines that are named; the rest are counted.
const MAX_NAMED: usize = 3;

/// Evaluates the events of the last day. Returns nothing for a server that does not list them.
pub(super) fn check(
    events: Result<Vec<SuspiciousEvent>, ApiClientError>,
    machines: &[Machine],
    now: UnixSeconds,
) -> Option<Check> {
    let events = match events {
        Ok(events) => events,
        Err(ApiClientError::NotFound) => return None,
        Err(error) => return Some(Check::bad(WHAT, error.to_string(), error.next_step())),
    };
    let mut counts: BTreeMap<Option<MachineId>, usize> = BTreeMap::new();
    for event in events.iter().filter(|event| event.at.0.saturating_add(LATELY) >= now.0) {
        *counts.entry(event.machine).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    if all == 0 {
        return Some(Check::good(WHAT, "no suspicious events in the last day"));
    }
    let mut most: Vec<(Option<MachineId>, usize)> = counts.into_iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let name = |id: Option<MachineId>| match id {
        None => "unknown machines".to_owned(),
        Some(id) => {
            machines.iter().find(|machine| machine.id == id).map_or_else(|| id.short(), |machine| machine.label.clone())
        }
    };
    let named: Vec<String> =
        most.iter().take(MAX_NAMED).map(|(id, count)| format!("{} ({count})", name(*id))).collect();
    let more = match most.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {} more", format_count(more, "machine")),
    };
    let found = format!("{} in the last day about {}{more}", format_count(all, "suspicious event"), named.join(", "));
    let next = match most.iter().find_map(|(id, _)| *id) {
        Some(id) => format!("see what happened with `banyan machines show {}`, then check that machine", id.short()),
        None => "see what happened in the server's log".to_owned(),
    };
    Some(Check::doubtful(WHAT, found, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{doctor::Verdict, test_machine::machine};
    use banyan_proto::Reason;

    fn event(at: u64, machine: Option<u8>) -> SuspiciousEvent {
        SuspiciousEvent {
            at: UnixSeconds(at),
            machine: machine.map(|id| MachineId([id; 16])),
            deployment: None,
            reason: Reason::CodeWrong,
            detail: "wrong code".into(),
        }
    }

    #[test]
    fn the_machine_with_the_most_events_is_named() {
        let now = UnixSeconds(2 * LATELY);
        let of = |events: &[SuspiciousEvent]| check(Ok(events.to_vec()), &[machine(1, "till-1")], now);
        assert_eq!(of(&[]).unwrap().verdict, Verdict::Good);
        assert_eq!(of(&[event(LATELY - 1, Some(1))]).unwrap().verdict, Verdict::Good, "too old");
        let found = of(&[event(now.0, Some(2)), event(now.0, Some(1)), event(now.0, Some(1)), event(now.0, None)]);
        let found = found.unwrap();
        assert_eq!(found.verdict, Verdict::Doubtful);
        assert_eq!(
            found.found,
            "4 suspicious events in the last day about till-1 (2), unknown machines (1), 02020202 (1)"
        );
        assert!(found.next.unwrap().contains("banyan machines show 01010101"));
        assert_eq!(check(Err(ApiClientError::NotFound), &[], now), None, "an older server");
    }
}
