//! Parses durations given on the command line: `90s`, `30m`, `12h`, `7d`, `2w`.

use std::time::Duration;

/// Parses a duration: a whole number and a unit.
///
/// # Errors
/// Returns the message that the command line shows.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a valid duration; write it like 90s, 30m, 12h, 7d or 2w");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_need_a_number_and_a_unit() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "7", "d", "0s", "-1d", "1.5h", "7 d", "99999999999999999999d", "9999999999999999999w"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
