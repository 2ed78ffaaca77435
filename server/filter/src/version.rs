//! The order of versions, as people read them.

use std::cmp::Ordering;

/// A part of a version.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Digits without leading zeros.
    Number(&'a str),
    /// Letters, in small ones.
    Letters(String),
}

impl Part<'_> {
    fn rank(&self) -> u8 {
        match self {
            Self::Letters(_) => 0,
            Self::Number(_) => 2,
        }
    }
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Self::Letters(a), Self::Letters(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
    /// Compares it with the end of another version: `1.0` equals `1`, and `1.0-rc1` comes before `1.0`.
    fn compare_with_end(&self) -> Ordering {
        match self {
            Self::Number("") => Ordering::Equal,
            Self::Number(_) => Ordering::Greater,
            Self::Letters(_) => Ordering::Less,
        }
    }
}

fn parts(version: &str) -> Vec<Part<'_>> {
    let (mut parts, mut rest) = (Vec::new(), version);
    while let Some(c) = rest.chars().next() {
        let is_digit = c.is_ascii_digit();
        let end = if c.is_alphanumeric() {
            rest.find(|c: char| !c.is_alphanumeric() || c.is_ascii_digit() != is_digit).unwrap_or(rest.len())
        } else {
            c.len_utf8()
        };
        let (part, behind) = rest.split_at(end);
        if is_digit {
            parts.push(Part::Number(part.trim_start_matches('0')));
        } else if c.is_alphanumeric() {
            parts.push(Part::Letters(part.to_lowercase()));
        }
        rest = behind;
    }
    parts
}

/// Compares two versions. Numbers compare as numbers, letters come before numbers, and signs only separate.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    let shared = a.iter().zip(&b).map(|(a, b)| a.compare(b)).find(|order| order.is_ne());
    if let Some(order) = shared {
        return order;
    }
    let beyond = |longer: &[Part<'_>], than: usize| {
        longer.iter().skip(than).map(Part::compare_with_end).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    };
    if a.len() >= b.len() { beyond(&a, b.len()) } else { beyond(&b, a.len()).reverse() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_people_read_them() {
        for (low, high) in [
            ("9", "10"),
            ("1.9", "1.10"),
            ("140", "140.0.1"),
            ("1.0-rc1", "1.0"),
            ("1.0-beta2", "1.0-rc1"),
            ("1.0-rc2", "1.0-rc10"),
            ("2.0.8", "2.0.8-1"),
            ("1.2a", "1.2.1"),
            ("99999999999999999999", "100000000000000000000"),
        ] {
            assert_eq!(compare(low, high), Ordering::Less, "{low} {high}");
            assert_eq!(compare(high, low), Ordering::Greater, "{high} {low}");
        }
        for (same, other) in [("1", "1.0"), ("1.0.0", "1"), ("1.02", "1.2"), ("1.0-RC1", "1.0-rc1"), ("", "0")] {
            assert_eq!(compare(same, other), Ordering::Equal, "{same} {other}");
            assert_eq!(compare(other, same), Ordering::Equal, "{same} {other}");
        }
    }
}
