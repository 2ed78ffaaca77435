//! Writes filters in one standard form, which reads back as the same filter.

use crate::{Comparison, Filter, Node, Operator, field::Field, value::write_text};
use std::fmt;

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Comparison(comparison) => comparison.fmt(f),
            Self::Known(field) => write!(f, "known({field})"),
            Self::Not(part) => {
                f.write_str("not ")?;
                write_part(f, part, matches!(**part, Self::And(_) | Self::Or(_)))
            }
            Self::And(parts) => write_parts(f, parts, " and ", |part| matches!(part, Self::And(_) | Self::Or(_))),
            Self::Or(parts) => write_parts(f, parts, " or ", |part| matches!(part, Self::Or(_))),
        }
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, part: &Node, has_parentheses: bool) -> fmt::Result {
    if has_parentheses { write!(f, "({part})") } else { write!(f, "{part}") }
}

fn write_parts(
    f: &mut fmt::Formatter<'_>,
    parts: &[Node],
    between: &str,
    needs_parentheses: impl Fn(&Node) -> bool,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        f.write_str(if at == 0 { "" } else { between })?;
        write_part(f, part, needs_parentheses(part))?;
    }
    Ok(())
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Self::VersionOf(package) = self {
            f.write_str("(")?;
            write_text(f, package, "")?;
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.field)?;
        match self.operator {
            Operator::In => {
                f.write_str("in (")?;
                for (at, value) in self.values.iter().enumerate() {
                    f.write_str(if at == 0 { "" } else { ", " })?;
                    value.fmt(f)?;
                }
                f.write_str(")")
            }
            operator => {
                let sign = Operator::ALL.iter().find(|(_, known)| *known == operator).map_or("=", |(sign, _)| sign);
                f.write_str(sign)?;
                self.values.iter().try_for_each(|value| write!(f, " {value}"))
            }
        }
    }
}
