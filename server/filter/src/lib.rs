//! The filter language that selects machines. The same text works in lists, deployments and groups; `docs/filters.md`
//! explains it.
//!
//! A comparison has three results: yes, no and unknown. What the server does not know about a machine is unknown, and
//! stays unknown under `not`. Only machines for which a filter says yes are selected, so that missing facts never widen a
//! selection.
//!
//! `field` says what can be asked, `token` and `parse` read the text, `evaluate` answers for one machine, and `text`
//! writes a filter in one standard form.

mod error;
mod evaluate;
mod field;
mod parse;
#[cfg(test)]
mod tests;
mod text;
mod token;
mod value;
mod version;

pub use error::FilterError;
pub use evaluate::{Machine, Rate, Truth};
pub use parse::CheckText;

use field::Field;
use value::Value;

/// Longest text of a filter (bytes).
pub const MOST_BYTES: usize = 4096;
/// Most comparisons in a filter.
pub const MOST_COMPARISONS: usize = 256;
/// Deepest nesting of parentheses and `not`.
pub const MOST_DEPTH: usize = 32;

/// A question about machines. Created by parsing a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Node);

/// A part of a filter.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// Every machine. Only ever a whole filter.
    All,
    Comparison(Comparison),
    /// Whether a field has a value at all.
    Known(Field),
    Not(Box<Node>),
    /// At least two parts.
    And(Vec<Node>),
    /// At least two parts.
    Or(Vec<Node>),
}

/// A field beside values.
#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    field: Field,
    operator: Operator,
    /// One value, or several after `in`.
    values: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

impl Operator {
    const ALL: [(&'static str, Self); 6] = [
        ("=", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        ("<=", Self::LessOrEqual),
        (">", Self::Greater),
        (">=", Self::GreaterOrEqual),
    ];

    fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual | Self::In)
    }
}
