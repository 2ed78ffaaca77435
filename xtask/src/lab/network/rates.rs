//! The rates of links.

use std::fmt;

/// A rate in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Rate(u64);

impl Rate {
    /// Returns a rate of this many Mbit/s, at least 1 kbit/s.
    pub(crate) fn of_mbit(mbit: f64) -> Self {
        Self(((mbit * 1e6).round() as u64).max(1000))
    }
    pub(crate) fn mbit(self) -> f64 {
        self.0 as f64 * 1e-6
    }
    pub(crate) fn bits_per_second(self) -> u64 {
        self.0
    }
    /// Returns the seconds that this many bytes take at this rate, headers not counted.
    pub(crate) fn seconds(self, bytes: u64) -> f64 {
        bytes as f64 * 8.0 / self.0 as f64
    }
    /// Parses a number of Mbit/s, or a number with the unit `kbit`, `mbit` or `gbit`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &text[digits.len()..] {
            "kbit" => 1e-3,
            "" | "mbit" => 1.0,
            "gbit" => 1e3,
            unit => return Err(format!("{unit:?} is not a unit of rates; use kbit, mbit or gbit")),
        };
        match digits.parse::<f64>() {
            Ok(number) if (0.01..=10_000.0).contains(&(number * factor)) => Ok(Self::of_mbit(number * factor)),
            _ => Err(format!("{text:?} is not a rate between 10kbit and 10gbit")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mbit())
    }
}

/// Both rates of a link, as seen from the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LinkRates {
    pub(crate) down: Rate,
    pub(crate) up: Rate,
}

impl LinkRates {
    pub(crate) fn both(rate: Rate) -> Self {
        Self { down: rate, up: rate }
    }
    /// Parses `RATE`, or `DOWN/UP`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((down, up)) => Ok(Self { down: Rate::parse(down)?, up: Rate::parse(up)? }),
            None => Rate::parse(text).map(Self::both),
        }
    }
}

impl fmt::Display for LinkRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.down == self.up { write!(f, "{}", self.down) } else { write!(f, "{}/{}", self.down, self.up) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_parsed_with_their_unit_and_both_directions() {
        assert_eq!(Rate::parse("20"), Ok(Rate(20_000_000)));
        assert_eq!(Rate::parse("0.5mbit"), Rate::parse("500kbit"));
        let link = LinkRates::parse("20/5").unwrap();
        assert_eq!((link.down.mbit(), link.up.mbit()), (20.0, 5.0));
        assert_eq!(link.to_string(), "20/5");
        assert!((Rate::parse("8").unwrap().seconds(1_000_000) - 1.0).abs() < 1e-9);
        for wrong in ["", "0", "-1", "20Mbit", "20/5/1", "99gbit"] {
            assert!(LinkRates::parse(wrong).is_err(), "{wrong}");
        }
    }
}
