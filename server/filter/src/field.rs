//! What can be asked about a machine.

use crate::Operator;

/// What a field's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text. Upper and lower case are the same.
    Text,
    /// An address or a subnet.
    Address,
    /// How long ago something was.
    Age,
    /// A duration.
    Duration,
    /// Bits a second.
    Rate,
    /// `yes` or `no`.
    YesNo,
    Version,
}

impl Kind {
    /// Returns how a value is written, for errors.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Text => "a word, a word with * for any letters, or text in quotes",
            Self::Address => "an address or a subnet, such as 10.1.2.0/24",
            Self::Age | Self::Duration => "a time such as 30s, 10m, 4h, 7d or 2w",
            Self::Rate => "a rate such as 500kbit/s, 10Mbit/s or 1Gbit/s",
            Self::YesNo => "yes or no",
            Self::Version => "a version such as 140.0.2",
        }
    }
    pub(crate) fn has_order(self) -> bool {
        matches!(self, Self::Age | Self::Duration | Self::Rate | Self::Version)
    }
    /// Returns whether machines can be equal to a value. Times and rates hardly ever are.
    pub(crate) fn takes(self, operator: Operator) -> bool {
        match self {
            Self::Age | Self::Duration | Self::Rate => operator.is_order(),
            Self::Version => true,
            Self::Text | Self::Address | Self::YesNo => !operator.is_order(),
        }
    }
}

/// A fact about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Field {
    /// One of [`FIELDS`].
    Plain(&'static PlainField),
    /// The version of a package that is installed.
    VersionOf(String),
}

/// A field without a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainField {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) fact: Fact,
}

/// The fact behind a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    Name,
    Label,
    Id,
    Group,
    Tag,
    Site,
    Address,
    Platform,
    System,
    Processor,
    Agent,
    Seen,
    Enrolled,
    Online,
    Excluded,
    Receives,
    Sends,
    Clock,
    Reach,
}

const fn field(name: &'static str, kind: Kind, fact: Fact) -> PlainField {
    PlainField { name, kind, fact }
}

/// All fields without a parameter.
pub(crate) const FIELDS: &[PlainField] = &[
    field("name", Kind::Text, Fact::Name),
    field("label", Kind::Text, Fact::Label),
    field("id", Kind::Text, Fact::Id),
    field("group", Kind::Text, Fact::Group),
    field("tag", Kind::Text, Fact::Tag),
    field("site", Kind::Text, Fact::Site),
    field("address", Kind::Address, Fact::Address),
    field("platform", Kind::Text, Fact::Platform),
    field("os", Kind::Text, Fact::System),
    field("arch", Kind::Text, Fact::Processor),
    field("agent", Kind::Version, Fact::Agent),
    field("seen", Kind::Age, Fact::Seen),
    field("enrolled", Kind::Age, Fact::Enrolled),
    field("online", Kind::YesNo, Fact::Online),
    field("excluded", Kind::YesNo, Fact::Excluded),
    field("receives", Kind::Rate, Fact::Receives),
    field("sends", Kind::Rate, Fact::Sends),
    field("clock", Kind::Duration, Fact::Clock),
    field("reach", Kind::Text, Fact::Reach),
];

/// The field with a parameter.
pub(crate) const VERSION: &str = "version";

impl Field {
    /// Finds a field without a parameter.
    pub(crate) fn plain(name: &str) -> Option<Self> {
        FIELDS.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(Self::Plain)
    }
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Plain(field) => field.kind,
            Self::VersionOf(_) => Kind::Version,
        }
    }
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plain(field) => field.name,
            Self::VersionOf(_) => VERSION,
        }
    }
}
