//! The one way in which every program of Banyan writes an amount of data.

const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];

/// Returns a number of bytes in decimal units, rounded to two digits at least: `3.1 MB`, `84 MB`, `512 bytes`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    // A value that rounds up to 1000 of a unit is written as 1.0 of the next.
    let reaches = |unit: u64| u128::from(bytes) * 2000 >= u128::from(unit) * 1999;
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| reaches(*unit)) else {
        return if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") };
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    if tenths < 100 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{} {name}", (u128::from(bytes) + u128::from(unit) / 2) / u128::from(unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_and_rounded() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (9_949_999, "9.9 MB"),
            (9_950_000, "10 MB"),
            (84_499_999, "84 MB"),
            (999_499_999, "999 MB"),
            (999_500_000, "1.0 GB"),
            (64 << 20, "67 MB"),
            (u64::MAX, "18446744 TB"),
        ] {
            assert_eq!(format_size(bytes), text, "{bytes}");
        }
    }
}
