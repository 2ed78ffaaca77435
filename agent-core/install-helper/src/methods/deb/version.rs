//! Orders Debian versions: `[epoch:]upstream[-revision]` (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions as dpkg does. `1.0~rc1` is older than `1.0`.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let ((epoch, upstream, revision), (other_epoch, other_upstream, other_revision)) = (split(one), split(other));
    epoch
        .cmp(&other_epoch)
        .then_with(|| compare_part(upstream, other_upstream))
        .then_with(|| compare_part(revision, other_revision))
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch.trim().parse().unwrap_or(0), upstream, revision)
}

/// Compares alternating parts of other characters and digits.
fn compare_part(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while !one.is_empty() || !other.is_empty() {
        loop {
            let (a, b) = (next_weight(one), next_weight(other));
            if a != b {
                return a.cmp(&b);
            }
            if a == 0 {
                break;
            }
            (one, other) = (&one[1..], &other[1..]);
        }
        let (digits, rest) = split_digits(one);
        let (other_digits, other_rest) = split_digits(other);
        let by_number = digits.len().cmp(&other_digits.len()).then_with(|| digits.cmp(other_digits));
        if by_number.is_ne() {
            return by_number;
        }
        (one, other) = (rest, other_rest);
    }
    Ordering::Equal
}

/// The weight of the first character: `~` sorts before the end, letters before all other characters. The end and
/// digits weigh nothing.
fn next_weight(text: &[u8]) -> i32 {
    match text.first() {
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

/// Splits off the leading digits, without leading zeros.
fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let start = digits.iter().position(|b| *b != b'0').unwrap_or(digits.len());
    (&digits[start..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let rising = [
            "0~~",
            "0~",
            "0",
            "0a",
            "0.0",
            "1.0~rc1",
            "1.0",
            "1.0-0.1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0a-1",
            "1.0+x",
            "1.2",
            "1.10",
            "2.0+deb12u1",
            "10",
            "1:0.1",
            "1:1-2-3",
            "2:0",
        ];
        for (at, one) in rising.iter().enumerate() {
            for (other_at, other) in rising.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&other_at), "{one} and {other}");
            }
        }
        for (one, other) in [("1.0", "1.00"), ("0:1", "1"), ("1", "1-0"), ("1-", "1")] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} and {other}");
        }
    }
}
