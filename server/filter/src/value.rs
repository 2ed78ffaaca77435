//! The values beside the fields.

use crate::field::Kind;
use std::{fmt, net::IpAddr};

/// A value that a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Text in small letters.
    Text(String),
    /// Text in small letters, in which `*` stands for any letters.
    Pattern(String),
    /// A subnet: its first address and its prefix (bits).
    Subnet(IpAddr, u8),
    /// Seconds.
    Seconds(u64),
    /// Bits a second.
    Rate(u64),
    YesNo(bool),
    Version(String),
}

const TIMES: [(&str, u64); 5] = [("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
const RATES: [(&str, u64); 4] = [("gbit/s", 1_000_000_000), ("mbit/s", 1_000_000), ("kbit/s", 1000), ("bit/s", 1)];

impl Value {
    /// Reads a value. In quotes, `*` stands for itself.
    pub(crate) fn read(kind: Kind, text: &str, is_quoted: bool) -> Option<Self> {
        match kind {
            Kind::Text => Some(if text.contains('*') && !is_quoted {
                Self::Pattern(text.to_lowercase())
            } else {
                Self::Text(text.to_lowercase())
            }),
            Kind::Address => read_subnet(text),
            Kind::Age | Kind::Duration => read_number(text, &TIMES).map(Self::Seconds),
            Kind::Rate => read_number(&text.to_lowercase(), &RATES).map(Self::Rate),
            Kind::YesNo => match text.to_lowercase().as_str() {
                "yes" => Some(Self::YesNo(true)),
                "no" => Some(Self::YesNo(false)),
                _ => None,
            },
            Kind::Version => Some(Self::Version(text.to_owned())).filter(|_| !text.is_empty()),
        }
    }
}

/// Reads a number with one of these units, such as `7d`.
fn read_number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn read_subnet(text: &str) -> Option<Value> {
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let ip = ip.parse::<IpAddr>().ok()?.to_canonical();
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse::<u8>().ok().filter(|bits| *bits <= most)?,
        None => most,
    };
    Some(Value::Subnet(mask(ip, prefix), prefix))
}

/// Returns an address with all bits behind the prefix set to zero.
pub(crate) fn mask(ip: IpAddr, prefix: u8) -> IpAddr {
    let keep = |bits: u32| bits.saturating_sub(u32::from(prefix));
    match ip {
        IpAddr::V4(ip) => IpAddr::from(
            (ip.to_bits().checked_shr(keep(32)).unwrap_or(0)).checked_shl(keep(32)).unwrap_or(0).to_be_bytes(),
        ),
        IpAddr::V6(ip) => IpAddr::from(
            (ip.to_bits().checked_shr(keep(128)).unwrap_or(0)).checked_shl(keep(128)).unwrap_or(0).to_be_bytes(),
        ),
    }
}

fn write_number(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let unit = units.iter().find(|(_, factor)| number.is_multiple_of(*factor) && number >= *factor).or(units.last());
    unit.map_or(Ok(()), |(unit, factor)| write!(f, "{}{unit}", number / factor))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write_text(f, text, "*"),
            Self::Pattern(text) => write_text(f, text, ""),
            Self::Subnet(ip, prefix) => write!(f, "{ip}/{prefix}"),
            Self::Seconds(seconds) => write_number(f, *seconds, &TIMES),
            Self::Rate(rate) => write_number(f, *rate, &RATES.map(|(unit, factor)| (spell(unit), factor))),
            Self::YesNo(true) => f.write_str("yes"),
            Self::YesNo(false) => f.write_str("no"),
            Self::Version(version) => write_text(f, version, ""),
        }
    }
}

fn spell(unit: &'static str) -> &'static str {
    match unit {
        "gbit/s" => "Gbit/s",
        "mbit/s" => "Mbit/s",
        other => other,
    }
}

/// Writes text, in quotes if it would not be read as one word or has one of `others`.
pub(crate) fn write_text(f: &mut fmt::Formatter<'_>, text: &str, others: &str) -> fmt::Result {
    let is_plain = |c: char| c.is_alphanumeric() || "._-+~/*@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) && !text.contains(|c| others.contains(c)) {
        return f.write_str(text);
    }
    f.write_str("\"")?;
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
