//! Answers a filter for one machine.

use crate::{
    Comparison, Filter, Node, Operator,
    field::{Fact, Field, PlainField},
    value::{Value, mask},
    version,
};
use std::{cmp::Ordering, collections::BTreeSet, net::IpAddr};

/// The answer of a filter for one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// The machine is not selected.
    No,
    /// It depends on something that is not known of the machine, so that it is not selected either.
    Unknown,
    /// The machine is selected.
    Yes,
}

impl Truth {
    fn of(answer: bool) -> Self {
        if answer { Self::Yes } else { Self::No }
    }
    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

/// What is known of a rate, in bits a second: it is at least one number, and at most another if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What was measured.
    pub at_least: u64,
    /// What it cannot exceed; `None`: not known.
    pub at_most: Option<u64>,
}

impl Rate {
    /// Compares it with a number, as far as both bounds agree.
    fn compare(self, operator: Operator, with: u64) -> Truth {
        let is_below = |or_equal: bool| {
            let below = |bound: u64| bound < with || (or_equal && bound == with);
            match self.at_most {
                Some(most) if below(most) => Truth::Yes,
                _ if below(self.at_least) => Truth::Unknown,
                _ => Truth::No,
            }
        };
        match operator {
            Operator::Less => is_below(false),
            Operator::LessOrEqual => is_below(true),
            Operator::Greater => is_below(true).not(),
            Operator::GreaterOrEqual => is_below(false).not(),
            // The parser refuses these.
            Operator::Equal | Operator::NotEqual | Operator::In => Truth::Unknown,
        }
    }
}

/// What is known of a machine. `None`: it is not known.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    /// The name that people see: an administrator's, else the label.
    pub name: &'a str,
    /// The name that the machine reports.
    pub label: &'a str,
    /// The identifier, in small hexadecimal digits.
    pub id: &'a str,
    /// The groups that an administrator assigned.
    pub groups: &'a [String],
    /// The tags that an administrator assigned.
    pub tags: &'a [String],
    /// Its subnet, and the named sites that it is in. Empty: not known.
    pub sites: &'a [String],
    /// The addresses at which others reach it. Empty: not known.
    pub addresses: &'a [IpAddr],
    /// The platform, such as `linux-x86_64`.
    pub platform: Option<&'a str>,
    /// The version of the agent.
    pub agent: Option<&'a str>,
    /// Seconds since the machine was last seen.
    pub seen: Option<u64>,
    /// Seconds since it enrolled.
    pub enrolled: Option<u64>,
    /// Whether it has a connection to the server.
    pub online: bool,
    /// Whether it is revoked or quarantined.
    pub excluded: bool,
    /// What its link receives.
    pub receives: Option<Rate>,
    /// What its link sends.
    pub sends: Option<Rate>,
    /// By how many seconds its clock differs from the server's.
    pub clock: Option<u64>,
    /// Who can dial it: `everyone`, `own-site` or `nobody`.
    pub reach: Option<&'a str>,
    /// Returns the installed version of a package; `None`: not known, or not installed.
    pub version: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// What a field says of a machine.
enum Found<'a> {
    Unknown,
    Text(&'a str),
    /// Any number of texts, all of them known.
    Texts(&'a [String]),
    Addresses(&'a [IpAddr]),
    Number(u64),
    Rate(Rate),
    YesNo(bool),
    Version(&'a str),
}

impl Filter {
    /// Answers the filter for one machine.
    #[must_use]
    pub fn test(&self, machine: &Machine<'_>) -> Truth {
        self.0.test(machine)
    }
    /// Returns the packages whose installed versions it asks for.
    #[must_use]
    pub fn packages(&self) -> BTreeSet<&str> {
        let mut packages = BTreeSet::new();
        self.0.visit(&mut |field, _| {
            if let Field::VersionOf(package) = field {
                packages.insert(package.as_str());
            }
        });
        packages
    }
    /// Returns whether it compares the machines' tags with this one, without `*`.
    #[must_use]
    pub fn names_tag(&self, tag: &str) -> bool {
        self.names(&Fact::Tag, tag)
    }
    /// Returns whether it compares the machines' groups with this one, without `*`.
    #[must_use]
    pub fn names_group(&self, group: &str) -> bool {
        self.names(&Fact::Group, group)
    }
    fn names(&self, fact: &Fact, name: &str) -> bool {
        let mut is_named = false;
        self.0.visit(&mut |field, values| {
            let is_field = matches!(field, Field::Plain(PlainField { fact: found, .. }) if found == fact);
            is_named |= is_field && values.contains(&Value::Text(name.to_lowercase()));
        });
        is_named
    }
}

impl Node {
    /// Calls `act` with each field and the values beside it.
    fn visit<'a>(&'a self, act: &mut impl FnMut(&'a Field, &'a [Value])) {
        match self {
            Self::All => {}
            Self::Comparison(comparison) => act(&comparison.field, &comparison.values),
            Self::Known(field) => act(field, &[]),
            Self::Not(part) => part.visit(act),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.visit(act)),
        }
    }
    fn test(&self, machine: &Machine<'_>) -> Truth {
        match self {
            Self::All => Truth::Yes,
            Self::Comparison(comparison) => comparison.test(machine),
            Self::Known(field) => Truth::of(!matches!(field.of(machine), Found::Unknown)),
            Self::Not(part) => part.test(machine).not(),
            Self::And(parts) => parts.iter().map(|part| part.test(machine)).min().unwrap_or(Truth::Yes),
            Self::Or(parts) => parts.iter().map(|part| part.test(machine)).max().unwrap_or(Truth::No),
        }
    }
}

impl Field {
    fn of<'a>(&self, machine: &Machine<'a>) -> Found<'a> {
        let text = |text: Option<&'a str>| text.map_or(Found::Unknown, Found::Text);
        let number = |number: Option<u64>| number.map_or(Found::Unknown, Found::Number);
        let rate = |rate: Option<Rate>| rate.map_or(Found::Unknown, Found::Rate);
        let version = |version: Option<&'a str>| version.map_or(Found::Unknown, Found::Version);
        let platform = machine.platform.and_then(|platform| platform.split_once('-'));
        match self {
            Self::VersionOf(package) => version((machine.version)(package)),
            Self::Plain(field) => match field.fact {
                Fact::Name => Found::Text(machine.name),
                Fact::Label => Found::Text(machine.label),
                Fact::Id => Found::Text(machine.id),
                Fact::Group => Found::Texts(machine.groups),
                Fact::Tag => Found::Texts(machine.tags),
                Fact::Site if machine.sites.is_empty() => Found::Unknown,
                Fact::Site => Found::Texts(machine.sites),
                Fact::Address if machine.addresses.is_empty() => Found::Unknown,
                Fact::Address => Found::Addresses(machine.addresses),
                Fact::Platform => text(machine.platform),
                Fact::System => text(platform.map(|(system, _)| system)),
                Fact::Processor => text(platform.map(|(_, processor)| processor)),
                Fact::Agent => version(machine.agent),
                Fact::Seen => number(machine.seen),
                Fact::Enrolled => number(machine.enrolled),
                Fact::Online => Found::YesNo(machine.online),
                Fact::Excluded => Found::YesNo(machine.excluded),
                Fact::Receives => rate(machine.receives),
                Fact::Sends => rate(machine.sends),
                Fact::Clock => number(machine.clock),
                Fact::Reach => text(machine.reach),
            },
        }
    }
}

impl Comparison {
    fn test(&self, machine: &Machine<'_>) -> Truth {
        let found = self.field.of(machine);
        let equals = |value: &Value| match (&found, value) {
            (Found::Text(text), value) => value.matches(text),
            (Found::Texts(texts), value) => texts.iter().any(|text| value.matches(text)),
            (Found::Addresses(addresses), Value::Subnet(first, prefix)) => addresses.iter().any(|address| {
                let address = address.to_canonical();
                address.is_ipv4() == first.is_ipv4() && mask(address, *prefix) == *first
            }),
            (Found::YesNo(found), Value::YesNo(wanted)) => found == wanted,
            _ => self.order(&found, value) == Some(Ordering::Equal),
        };
        if matches!(found, Found::Unknown) {
            return Truth::Unknown;
        }
        if let (Found::Rate(rate), Some(Value::Rate(with))) = (&found, self.values.first()) {
            return rate.compare(self.operator, *with);
        }
        let has = |accepts: fn(Ordering) -> bool| {
            let order = self.values.first().and_then(|value| self.order(&found, value));
            Truth::of(order.is_some_and(accepts))
        };
        match self.operator {
            Operator::Equal | Operator::In => Truth::of(self.values.iter().any(equals)),
            Operator::NotEqual => Truth::of(!self.values.iter().any(equals)),
            Operator::Less => has(Ordering::is_lt),
            Operator::LessOrEqual => has(Ordering::is_le),
            Operator::Greater => has(Ordering::is_gt),
            Operator::GreaterOrEqual => has(Ordering::is_ge),
        }
    }
    fn order(&self, found: &Found<'_>, value: &Value) -> Option<Ordering> {
        match (found, value) {
            (Found::Number(number), Value::Seconds(wanted)) => Some(number.cmp(wanted)),
            (Found::Version(found), Value::Version(wanted)) => Some(version::compare(found, wanted)),
            _ => None,
        }
    }
}

impl Value {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Text(wanted) => text.to_lowercase() == *wanted,
            Self::Pattern(pattern) => matches_pattern(&text.to_lowercase(), pattern),
            _ => false,
        }
    }
}

/// Returns whether text has a pattern's parts in order, the first at the beginning and the last at the end.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}
