//! Reads what server and agents log about chunks (`banyan::chunks` in their logs).

use std::fmt::Write;

/// Something that happened to a chunk on a host. Hosts are numbers in the order of the trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ChunkEvent {
    /// Since the deployment was accepted.
    pub(super) seconds: f64,
    pub(super) host: usize,
    pub(super) stripe: usize,
    pub(super) what: What,
    /// The host at the other end; `None` if the connection had just ended.
    pub(super) peer: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What {
    /// The stripe was requested from this chunk on.
    Asked(u32),
    /// So many chunks of the stripe were held after this one.
    Arrived(u32),
    /// The chunk at this place of the stripe was sent.
    Left(u32),
}

/// Returns when the server accepted the deployment (seconds since 1970).
pub(super) fn start(server_log: &str, order: &str) -> Option<f64> {
    let line = server_log.lines().find(|line| line.contains("deployment accepted") && line.contains(order))?;
    time(line.split_whitespace().next()?)
}

/// Returns the events of this order in a host's log.
pub(super) fn parse(log: &str, host: usize, order: &str, ids: &[&str], start: f64) -> Vec<ChunkEvent> {
    log.lines()
        .filter(|line| line.contains(" banyan::chunks: "))
        .filter_map(|line| event(line, host, order, ids, start))
        .collect()
}

fn event(line: &str, host: usize, order: &str, ids: &[&str], start: f64) -> Option<ChunkEvent> {
    let mut words = line.split_whitespace();
    let seconds = time(words.next()?)? - start;
    let kind = words.nth(2)?;
    let fields: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
    let field = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    if field("order")? != order {
        return None;
    }
    let number = |name: &str| field(name)?.parse::<u32>().ok();
    let host_of = |name: &str| ids.iter().position(|id| Some(*id) == field(name));
    let (what, peer) = match kind {
        "asked" => (What::Asked(number("next")?), host_of("source")),
        "arrived" => (What::Arrived(number("held")?), host_of("source")),
        "left" => (What::Left(number("at")?), host_of("receiver")),
        _ => return None,
    };
    Some(ChunkEvent { seconds, host, stripe: number("stripe")? as usize, what, peer })
}

/// Returns the events as a table.
pub(super) fn csv(events: &[ChunkEvent], labels: &[&str]) -> String {
    let mut text = "seconds,machine,stripe,event,chunk,peer\n".to_owned();
    for event in events {
        let (kind, chunk) = match event.what {
            What::Asked(chunk) => ("asked", chunk),
            What::Arrived(held) => ("arrived", held.saturating_sub(1)),
            What::Left(chunk) => ("left", chunk),
        };
        let peer = event.peer.map_or("", |peer| labels[peer]);
        let (seconds, host, stripe) = (event.seconds, labels[event.host], event.stripe);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{seconds:.4},{host},{stripe},{kind},{chunk},{peer}");
    }
    text
}

/// Parses `2026-11-29T06:05:06.123456Z`. Returns seconds since 1970.
fn time(text: &str) -> Option<f64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers: Vec<i64> = date.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let clock: Vec<f64> = clock.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let ([year, month, day], [hours, minutes, seconds]) = (numbers.try_into().ok()?, clock.try_into().ok()?);
    let days: i64 = days(year, month, day);
    Some(days as f64 * 86_400.0 + hours * 3600.0 + minutes * 60.0 + seconds)
}

/// Returns the days from 1970 to this date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(time("1970-01-02T00:00:01.5Z"), Some(86_401.5));
        assert_eq!(time("2026-11-29T06:05:06.000000Z"), Some(1_795_932_306.0));
        assert_eq!(time("INFO"), None);
    }

    #[test]
    fn lines_of_other_orders_and_other_targets_are_left_out() {
        let log = "1970-01-01T00:00:09.000000Z  INFO agent_core::startup: ready machine=aa\n\
                   1970-01-01T00:00:12.500000Z TRACE banyan::chunks: arrived order=o1 stripe=1 held=7 source=bb\n\
                   1970-01-01T00:00:12.600000Z TRACE banyan::chunks: left order=o2 stripe=1 at=6 receiver=bb\n\
                   1970-01-01T00:00:12.700000Z TRACE banyan::chunks: arrived order=o1 stripe=0 held=8\n";
        let events = parse(log, 1, "o1", &["bb", "aa"], 10.0);
        let first = ChunkEvent { seconds: 2.5, host: 1, stripe: 1, what: What::Arrived(7), peer: Some(0) };
        assert_eq!(events[0], first);
        assert_eq!((events.len(), events[1].peer), (2, None));
        assert!(csv(&events, &["server", "m01"]).ends_with("2.5000,m01,1,arrived,6,server\n2.7000,m01,0,arrived,7,\n"));
    }
}
