//! Formats times for people who compare clocks.

use banyan_proto::UnixSeconds;

/// Formats a time as `2026-11-29 01:30:05 UTC`.
pub(crate) fn format(at: UnixSeconds) -> String {
    let time = i64::try_from(at.0).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("{at} s"), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Formats a length of time (seconds) by its largest unit: `20 hours`.
pub(crate) fn format_span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_are_readable() {
        assert_eq!(format(UnixSeconds(10)), "1970-01-01 00:00:10 UTC");
        assert_eq!(format(UnixSeconds(u64::MAX)), format!("{} s", u64::MAX));
        let spans = [1, 90, 600, 72_000, 20 * 86_400].map(format_span);
        assert_eq!(spans, ["1 second", "90 seconds", "10 minutes", "20 hours", "20 days"]);
    }
}
