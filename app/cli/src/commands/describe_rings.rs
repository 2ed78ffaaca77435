//! Says in words where the machines of a deployment are, and what the gates of its rings say.

use crate::output::{format_age, sanitise};
use banyan_proto::{
    UnixSeconds,
    admin::{DeploymentStatus, Halt, MissingProof, RingStatus, RingVerdict, Totals},
};

/// Returns a line for each ring, one for the machines of the whole deployment, and one for why it is halted.
pub(crate) fn describe_rings(status: &DeploymentStatus, now: UnixSeconds) -> Vec<String> {
    let mut lines: Vec<String> = status.rings.iter().map(|ring| describe_ring(ring, status.rings.len(), now)).collect();
    let Totals { unreachable, excluded, .. } = status.totals;
    if !status.rings.is_empty() || unreachable > 0 || excluded > 0 {
        lines.push(format!("machines: {}", describe_totals(status.totals)));
    }
    lines.extend(status.halt.as_ref().map(|halt| describe_halt(halt, now)));
    lines
}

/// Returns a line such as "ring 2 of 3: waits for 3 more reports; open for 5 min · 4 installed, 3 open".
fn describe_ring(ring: &RingStatus, of: usize, now: UnixSeconds) -> String {
    let verdict = match &ring.verdict {
        RingVerdict::Waits => "waits for the rings before it".to_owned(),
        RingVerdict::Undecided(missing) => describe_missing(missing, now),
        RingVerdict::Open => "open".to_owned(),
        RingVerdict::Passed => "passed".to_owned(),
        RingVerdict::Failed => "failed".to_owned(),
        RingVerdict::Ended => "ended before it passed".to_owned(),
    };
    format!("ring {} of {of}: {verdict} · {}", ring.ring, describe_totals(ring.totals))
}

fn describe_missing(missing: &MissingProof, now: UnixSeconds) -> String {
    let what = match missing {
        MissingProof { nobody_left: true, success_percent: Some(percent), .. } => format!(
            "cannot pass: {percent}% of the reports are successes, and nobody is left to report; next: `banyan retry`, \
             `banyan promote` or `banyan cancel`"
        ),
        MissingProof { nobody_left: true, .. } => {
            "cannot pass: nobody is left to report (machines that had the release before prove nothing); next: `banyan \
             promote` or `banyan cancel`"
                .to_owned()
        }
        MissingProof { reports: 1, .. } => "waits for 1 more report".to_owned(),
        MissingProof { reports: 2.., .. } => format!("waits for {} more reports", missing.reports),
        MissingProof { success_percent: Some(percent), .. } => {
            format!("{percent}% of the reports are successes, which is too few")
        }
        MissingProof { soak_ends: Some(ends), .. } => {
            format!("soak time, {} left", describe_length(ends.0.saturating_sub(now.0)))
        }
        _ => "has passed".to_owned(),
    };
    format!("{what}; open for {}", describe_length(now.0.saturating_sub(missing.since.0)))
}

/// Formats a length of time in one unit, rounded up.
fn describe_length(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        7200..172_800 => format!("{} h", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// Formats where machines are, without what no machine is.
fn describe_totals(totals: Totals) -> String {
    let Totals { done, failed, open, unreachable, excluded } = totals;
    let parts =
        [(done, "installed"), (failed, "failed"), (open, "open"), (unreachable, "unreachable"), (excluded, "excluded")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { "no machines".to_owned() } else { parts.join(", ") }
}

fn describe_halt(halt: &Halt, now: UnixSeconds) -> String {
    let age = format_age(now.0.saturating_sub(halt.at.0));
    let next = match halt.ring {
        Some(_) => "; next: look at the failed machines, then `banyan retry` and `banyan resume`, or `banyan cancel`",
        None => "",
    };
    sanitise(&format!("halted {age}: {}{next}", halt.detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment_tree::fixture::status;
    use banyan_proto::Reason;

    #[test]
    fn each_ring_says_what_it_waits_for() {
        let now = UnixSeconds(10_000);
        let missing = MissingProof { since: UnixSeconds(9700), ..MissingProof::default() };
        let ring = |ring, verdict| RingStatus {
            ring,
            totals: Totals { done: 4, open: 3, unreachable: 1, ..Totals::default() },
            verdict,
        };
        for (verdict, expected) in [
            (RingVerdict::Passed, "ring 2 of 3: passed · "),
            (RingVerdict::Waits, "ring 2 of 3: waits for the rings before it · "),
            (
                RingVerdict::Undecided(MissingProof { reports: 3, ..missing }),
                "ring 2 of 3: waits for 3 more reports; open for 5 min · ",
            ),
            (
                RingVerdict::Undecided(MissingProof { success_percent: Some(50), ..missing }),
                "ring 2 of 3: 50% of the reports are successes, which is too few; open for 5 min · ",
            ),
            (
                RingVerdict::Undecided(MissingProof { soak_ends: Some(UnixSeconds(10_240)), ..missing }),
                "ring 2 of 3: soak time, 4 min left; open for 5 min · ",
            ),
        ] {
            let text = describe_ring(&ring(2, verdict), 3, now);
            assert_eq!(text, format!("{expected}4 installed, 3 open, 1 unreachable"));
        }
        assert!(describe_rings(&status(&[]), now).is_empty(), "there is nothing to add");
    }

    #[test]
    fn a_halt_says_where_and_why() {
        let mut status = status(&[]);
        status.halt = Some(Halt {
            at: UnixSeconds(100),
            ring: Some(1),
            failed: 1,
            of: 1,
            reason: Some(Reason::ProbeFailed),
            machines: vec![],
            detail: "ring 1 of 3: the release failed on 1 of 1 machines, first on m3".into(),
        });
        let lines = describe_rings(&status, UnixSeconds(400));
        assert!(lines[0].starts_with("halted 5 min ago: ring 1 of 3: the release failed"), "{lines:?}");
    }
}
