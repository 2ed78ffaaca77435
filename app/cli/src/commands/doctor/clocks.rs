//! Checks the clocks: this computer's, the server's, and those that the machines reported at their last check-ins.

use crate::{commands::doctor::Check, output::format_count};
use banyan_proto::{Reason, UnixSeconds, admin::Machine};

/// A difference between the clocks that is reported (seconds).
const CLOCKS_APART: u64 = 30;
/// A difference between the clocks that makes machines refuse signed documents (seconds). Install permits are valid for
/// 15 minutes.
const CLOCKS_WRONG: u64 = 300;
/// Most machines that are named.
const NAMED: usize = 3;

/// Compares this computer's clock with the server's, and the server's with the time that it remembers, if that is far
/// away.
pub(super) fn compare(server: Option<UnixSeconds>, remembered: Option<UnixSeconds>, now: UnixSeconds) -> Check {
    let Some(server) = server else {
        return Check::skipped("clocks", "the server's answer has no date");
    };
    if let Some(remembered) = remembered {
        return Check::bad(
            "clocks",
            format!(
                "the server's clock is {} the time that it remembers, so deployments do not expire and no history is \
                 deleted [{}]",
                beside(server.0.cast_signed().saturating_sub(remembered.0.cast_signed())),
                Reason::ClockWrong.code()
            ),
            "check the date on the server (`timedatectl` there); if it is right, this ends when machines are online whose \
             clocks agree; without machines, stop the server and run `banyan-server accept-clock`",
        );
    }
    let apart = now.0.abs_diff(server.0);
    let side = if server > now { "ahead of" } else { "behind" };
    let found = format!("the server's clock is {apart} s {side} this computer's");
    let next = "find out which clock is wrong, and synchronise both with the same time server";
    match apart {
        0..CLOCKS_APART => Check::good("clocks", format!("{apart} s apart")),
        CLOCKS_APART..CLOCKS_WRONG => Check::doubtful("clocks", found, next),
        _ => Check::bad("clocks", format!("{found}: machines may refuse signed documents"), next),
    }
}

/// Checks the machines' clocks against the server's. If most of them differ, the server's clock is to blame.
pub(super) fn of_machines(machines: &[Machine]) -> Check {
    const WHAT: &str = "machine clocks";
    let known: Vec<(&Machine, i64)> =
        machines.iter().filter(|machine| !machine.revoked).filter_map(|one| Some((one, one.clock_ahead?))).collect();
    let wrong: Vec<&(&Machine, i64)> = known.iter().filter(|(_, ahead)| ahead.unsigned_abs() >= CLOCKS_WRONG).collect();
    if known.is_empty() {
        return Check::skipped(WHAT, "no machine has checked in since the server was started");
    }
    if wrong.is_empty() {
        return Check::good(WHAT, format!("{} in agreement with the server's", format_count(known.len(), "clock")));
    }
    let named: Vec<String> =
        wrong.iter().take(NAMED).map(|(one, ahead)| format!("{} {}", one.label, side(*ahead))).collect();
    let more = if wrong.len() > NAMED { ", …" } else { "" };
    let code = Reason::ClockWrong.code();
    let found =
        format!("{} of {} differ from the server's: {}{more} [{code}]", wrong.len(), known.len(), named.join(", "));
    if wrong.len() >= 2 && 2 * wrong.len() > known.len() {
        Check::bad(WHAT, found, "most machines differ, so check the server's clock first (`timedatectl` there)")
    } else {
        Check::bad(WHAT, found, "check the clocks of these machines (`timedatectl` there), then the server's")
    }
}

/// Formats how far a clock is ahead of, or behind, what follows.
fn beside(ahead: i64) -> String {
    let of = if ahead > 0 { " of" } else { "" };
    format!("{}{of}", side(ahead))
}

/// Formats how far a clock is ahead or behind.
fn side(ahead: i64) -> String {
    let seconds = ahead.unsigned_abs();
    let span = match seconds {
        0..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    };
    format!("{span} {}", if ahead > 0 { "ahead" } else { "behind" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{doctor::Verdict, test_machine::machine};

    #[test]
    fn clocks_far_apart_are_reported() {
        let verdict = |server: Option<u64>| compare(server.map(UnixSeconds), None, UnixSeconds(1000)).verdict;
        assert_eq!(
            [verdict(Some(1010)), verdict(Some(940)), verdict(Some(100)), verdict(None)],
            [Verdict::Good, Verdict::Doubtful, Verdict::Bad, Verdict::Skipped]
        );
        let jumped = compare(Some(UnixSeconds(864_000_010)), Some(UnixSeconds(10)), UnixSeconds(864_000_010));
        assert!(jumped.verdict == Verdict::Bad && jumped.found.contains("10000 days ahead of the time"), "{jumped:?}");
    }

    #[test]
    fn a_machine_with_a_wrong_clock_is_named_and_the_servers_clock_is_blamed_if_most_differ() {
        let with = |label: &str, ahead| Machine { clock_ahead: ahead, ..machine(1, label) };
        assert_eq!(of_machines(&[with("a", None)]).verdict, Verdict::Skipped);
        assert_eq!(of_machines(&[with("a", Some(-20)), with("b", Some(3))]).verdict, Verdict::Good);
        let one = of_machines(&[with("a", Some(0)), with("b", Some(72_000)), with("c", Some(1))]);
        assert!(one.found.contains("b 20 h ahead") && !one.next.as_deref().unwrap().contains("first"), "{one:?}");
        let most = of_machines(&[with("a", Some(-72_000)), with("b", Some(-72_000)), with("c", Some(1))]);
        assert!(most.next.as_deref().unwrap().contains("server's clock first"), "{most:?}");
    }
}
