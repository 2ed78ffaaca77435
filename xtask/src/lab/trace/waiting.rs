//! Who waits for whom. A machine waits for a stripe while its own link could receive more. Either its source has more
//! and sends it slowly, or its source has nothing more and is followed upwards: to one that waits for a slow sender, or
//! to one whose own link is too slow.

use super::{
    TracedHost,
    history::{Curve, History},
};

/// A link that receives less than this share of what it can is not the limit.
const BUSY: f64 = 0.75;
/// A machine that is at most so many chunks behind its source has all that the source can give.
const STARVING: u32 = 2;
/// The steps of time over which waiting is added up.
const STEPS: u32 = 400;
/// Rates are taken over this share of the whole time, and at least this many seconds.
const WINDOW: f64 = 0.03;
const MIN_WINDOW: f64 = 0.4;
/// Waiting for less than this share of the whole time is not reported.
const REPORTED: f64 = 0.1;
/// A stripe that had this much less than the other when that was complete was behind.
const BEHIND: f64 = 0.1;

/// Why a machine does not receive more.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    /// Its own link is busy.
    OwnLink,
    /// This machine has more, and sends it slowly.
    SendsSlowly(usize),
    /// The link of this machine brings no more, and others wait for what it brings.
    ReceivesSlowly(usize),
}

/// Returns sentences about each stripe, and about the stripes of one machine.
pub(super) fn sentences(hosts: &[TracedHost], history: &History) -> Vec<String> {
    let mut sentences = Vec::new();
    for stripe in 0..history.stripes() {
        let mut waiting: Vec<(Cause, Vec<(usize, f64)>)> = Vec::new();
        for host in 1..hosts.len() {
            for (cause, seconds) in waits(host, stripe, hosts, history) {
                match waiting.iter_mut().find(|(found, _)| *found == cause) {
                    Some((_, all)) => all.push((host, seconds)),
                    None => waiting.push((cause, vec![(host, seconds)])),
                }
            }
        }
        let total = |all: &[(usize, f64)]| all.iter().map(|(_, seconds)| seconds).sum::<f64>();
        waiting.sort_by(|a, b| total(&b.1).total_cmp(&total(&a.1)));
        for (cause, all) in &waiting {
            let (at_fault, what) = match *cause {
                Cause::SendsSlowly(host) => (host, "sends slowly"),
                Cause::ReceivesSlowly(host) => (host, "receives slowly"),
                Cause::OwnLink => continue,
            };
            let remark = hosts[at_fault].remark.as_ref().map(|remark| format!(" ({remark})")).unwrap_or_default();
            let names = all.iter().map(|&(host, seconds)| format!("{} {seconds:.1} s", hosts[host].label));
            sentences.push(format!(
                "stripe {stripe}: {}{remark} {what}; {} wait: {}",
                hosts[at_fault].label,
                all.len(),
                names.collect::<Vec<_>>().join(", ")
            ));
        }
    }
    sentences.extend(competing(hosts, history));
    sentences
}

/// Returns how long a machine waited for a stripe, by cause (seconds), if long enough.
fn waits(host: usize, stripe: usize, hosts: &[TracedHost], history: &History) -> Vec<(Cause, f64)> {
    let end = history.end();
    let mut found: Vec<(Cause, f64)> = Vec::new();
    for step in 0..STEPS {
        let time = end * (f64::from(step) + 0.5) / f64::from(STEPS);
        let Some(cause) = cause(host, stripe, time, hosts, history, hosts.len()) else { continue };
        match found.iter_mut().find(|(other, _)| *other == cause) {
            Some((_, seconds)) => *seconds += end / f64::from(STEPS),
            None => found.push((cause, end / f64::from(STEPS))),
        }
    }
    found.retain(|(cause, seconds)| *cause != Cause::OwnLink && *seconds > REPORTED * end);
    found
}

/// Returns why a machine does not receive more of a stripe at this time; `None` if it has all of it. `depth` bounds the
/// way upwards, because sources change.
fn cause(
    host: usize,
    stripe: usize,
    time: f64,
    hosts: &[TracedHost],
    history: &History,
    depth: usize,
) -> Option<Cause> {
    let curve = history.curve(host, stripe);
    if curve.held(time) >= history.chunks(stripe) || depth == 0 {
        return None;
    }
    if use_of_link(host, time, hosts, history) >= BUSY {
        return Some(Cause::OwnLink);
    }
    let source = source_after(curve, time)?;
    let of_source = history.curve(source, stripe);
    // The server has everything and no curve of its own.
    if of_source.points.is_empty() || of_source.held(time) > curve.held(time) + STARVING {
        return Some(Cause::SendsSlowly(source));
    }
    Some(match cause(source, stripe, time, hosts, history, depth - 1) {
        Some(Cause::OwnLink) => Cause::ReceivesSlowly(source),
        Some(above) => above,
        None => Cause::SendsSlowly(source),
    })
}

/// Returns the share of its own link that a machine used around this time, for all stripes.
fn use_of_link(host: usize, time: f64, hosts: &[TracedHost], history: &History) -> f64 {
    let half = (history.end() * WINDOW).max(MIN_WINDOW) / 2.0;
    let end = (0..history.stripes()).filter_map(|stripe| history.curve(host, stripe).end()).fold(0.0, f64::max);
    let (from, to) = ((time - half).max(0.0), (time + half).min(end.max(time + 1e-3)));
    let all: u32 = (0..history.stripes()).map(|stripe| history.chunks(stripe)).sum();
    let more = |stripe| history.curve(host, stripe).held(to) - history.curve(host, stripe).held(from);
    let received: u32 = (0..history.stripes()).map(more).sum();
    f64::from(received) / f64::from(all.max(1)) / (to - from) * hosts[host].own_link
}

/// Returns from whom the next chunk after this time came.
fn source_after(curve: &Curve, time: f64) -> Option<usize> {
    let next = curve.points.partition_point(|point| point.seconds <= time);
    curve.points.get(next)?.source
}

/// Returns a sentence about machines whose link was busy while their stripes did not advance together: the stripes
/// competed for the link.
fn competing(hosts: &[TracedHost], history: &History) -> Vec<String> {
    let mut found = Vec::new();
    if history.stripes() != 2 {
        return found;
    }
    for (host, traced) in hosts.iter().enumerate().skip(1) {
        let curves = [history.curve(host, 0), history.curve(host, 1)];
        // A machine that was killed never had all of both.
        let complete = |stripe: usize| curves[stripe].complete(history.chunks(stripe));
        let (Some(end_0), Some(end_1)) = (complete(0), complete(1)) else { continue };
        let (behind, first_end, last_end) = if end_0 > end_1 { (0, end_1, end_0) } else { (1, end_0, end_1) };
        let chunks = f64::from(history.chunks(behind));
        let held = f64::from(curves[behind].held(first_end)) / chunks;
        let all = f64::from(history.chunks(0) + history.chunks(1));
        let received = (f64::from(history.chunks(1 - behind)) + held * chunks) / all;
        if 1.0 - held < BEHIND || received / first_end * traced.own_link < BUSY {
            continue;
        }
        let rate = |from: f64, to: f64| {
            let more = curves[behind].held(to) - curves[behind].held(from);
            f64::from(more) / chunks / (to - from).max(1e-3) * 100.0
        };
        found.push(format!(
            "{}: its link was busy, but when stripe {} was complete after {first_end:.1} s, stripe {behind} had {:.0} %; \
             it went at {:.1} % a second before and {:.1} % after",
            traced.label,
            1 - behind,
            held * 100.0,
            rate(first_end / 2.0, first_end),
            rate(first_end, last_end),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::chunk_log::{ChunkEvent, What};
    use super::*;

    /// The server's link and those of hosts 2, 3 and 4 take 10 s for all; host 1's takes 100 s.
    fn hosts() -> Vec<TracedHost> {
        let host = |number: usize| TracedHost {
            label: format!("h{number}"),
            id: String::new(),
            log: std::path::PathBuf::new(),
            remark: (number == 1).then(|| "2 Mbit/s".to_owned()),
            bound: 0.0,
            own_link: if number == 1 { 100.0 } else { 10.0 },
        };
        (0..5).map(host).collect()
    }
    fn history(flows: &[(usize, usize, f64, f64)]) -> History {
        let mut events = Vec::new();
        for chunk in 1..=100_u32 {
            for &(host, source, pause, lag) in flows {
                let seconds = f64::from(chunk) * pause + lag;
                events.push(ChunkEvent { seconds, host, stripe: 0, what: What::Arrived(chunk), peer: Some(source) });
            }
        }
        events.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        History::new(&events, 5)
    }

    /// Host 1 receives slowly from the server; 2 is below 1, 3 below 2; 4 receives fast from the server.
    #[test]
    fn everyone_below_a_slow_machine_waits_for_it() {
        let flows = [(1, 0, 1.0, 0.0), (2, 1, 1.0, 0.01), (3, 2, 1.0, 0.02), (4, 0, 0.1, 0.0)];
        let said = sentences(&hosts(), &history(&flows));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("stripe 0: h1 (2 Mbit/s) receives slowly; 2 wait: h2 9"), "{said:?}");
    }

    /// Host 1 is killed when it holds half of stripe 1; host 4's link was busy with stripe 0 first.
    #[test]
    fn stripes_compete_only_on_machines_that_finished() {
        let mut events = Vec::new();
        for chunk in 1..=100_u32 {
            for (host, stripe, start) in [(1, 0, 0.0), (1, 1, 50.0), (4, 0, 0.0), (4, 1, 5.0)] {
                let pause = if host == 1 { 0.5 } else { 0.05 };
                if (host, stripe) == (1, 1) && chunk > 50 {
                    continue;
                }
                let (seconds, what) = (start + f64::from(chunk) * pause, What::Arrived(chunk));
                events.push(ChunkEvent { seconds, host, stripe, what, peer: Some(0) });
            }
        }
        events.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let history = History::new(&events, 5);
        let said = competing(&hosts(), &history);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("h4: its link was busy, but when stripe 0 was complete after 5.0 s"), "{said:?}");
    }

    /// Host 2 receives fast and sends slowly.
    #[test]
    fn a_source_that_has_more_sends_slowly() {
        let said = sentences(&hosts(), &history(&[(2, 0, 0.1, 0.0), (3, 2, 0.5, 0.0)]));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("stripe 0: h2 sends slowly; 1 wait: h3 4"), "{said:?}");
    }
}
