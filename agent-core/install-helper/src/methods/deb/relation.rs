//! Dependency fields: `a (>= 2) | b:any, c` (deb-control(5)).

use crate::methods::deb::version;
use std::fmt;

/// How a version must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Earlier,
    EarlierEqual,
    Equal,
    LaterEqual,
    Later,
}

/// One package with an optional version: `a:any (>= 2)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) name: String,
    /// `any`, `native` or an architecture.
    pub(crate) architecture: Option<String>,
    version: Option<(Operator, String)>,
}

/// Relations of which one is enough: `a | b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alternatives(pub(crate) Vec<Relation>);

impl Relation {
    fn parse(text: &str) -> Option<Self> {
        let (named, version) = match text.split_once('(') {
            None => (text, None),
            Some((named, version)) => (named, Some(parse_version(version.trim_end().strip_suffix(')')?)?)),
        };
        // Restrictions by architecture or profile occur in source packages only.
        let named = named.split(['[', '<']).next()?.trim();
        let (name, architecture) = match named.split_once(':') {
            Some((name, architecture)) => (name, Some(architecture.to_owned())),
            None => (named, None),
        };
        let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
        is_name.then(|| Self { name: name.to_owned(), architecture, version })
    }
    /// Whether a package with this name's version fits.
    pub(crate) fn fits_version(&self, found: &str) -> bool {
        let Some((operator, wanted)) = &self.version else { return true };
        let order = version::compare(found, wanted);
        match operator {
            Operator::Earlier => order.is_lt(),
            Operator::EarlierEqual => order.is_le(),
            Operator::Equal => order.is_eq(),
            Operator::LaterEqual => order.is_ge(),
            Operator::Later => order.is_gt(),
        }
    }
    /// Whether only one version fits.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self.version, Some((Operator::Equal, _)))
    }
    /// Whether a package that provides the name, with or without a version, fits.
    pub(crate) fn fits_provided(&self, provided: &Self) -> bool {
        match (&self.version, &provided.version) {
            (None, _) => true,
            (Some(_), Some((Operator::Equal, version))) => self.fits_version(version),
            (Some(_), _) => false,
        }
    }
}

fn parse_version(text: &str) -> Option<(Operator, String)> {
    let text = text.trim();
    let at = text.find(|c: char| !"<>=".contains(c))?;
    let operator = match &text[..at] {
        "<<" => Operator::Earlier,
        // dpkg reads the old single signs like this.
        "<=" | "<" => Operator::EarlierEqual,
        "=" | "" => Operator::Equal,
        ">=" | ">" => Operator::LaterEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    Some((operator, text[at..].trim().to_owned()))
}

/// Parses a whole field. What is not a relation is left out: dpkg itself refuses such a package.
pub(crate) fn parse_field(text: &str) -> Vec<Alternatives> {
    let group = |group: &str| {
        let all: Vec<_> = group.split('|').filter_map(|one| Relation::parse(one.trim())).collect();
        (!all.is_empty()).then_some(Alternatives(all))
    };
    text.split(',').filter_map(group).collect()
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(architecture) = &self.architecture {
            write!(f, ":{architecture}")?;
        }
        let Some((operator, version)) = &self.version else { return Ok(()) };
        let operator = match operator {
            Operator::Earlier => "<<",
            Operator::EarlierEqual => "<=",
            Operator::Equal => "=",
            Operator::LaterEqual => ">=",
            Operator::Later => ">>",
        };
        write!(f, " ({operator} {version})")
    }
}

impl fmt::Display for Alternatives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, relation) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            relation.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_written_alike() {
        for (text, written) in [
            ("a", "a"),
            ("a:any (>= 2~), b|c (<<1:3)", "a:any (>= 2~), b | c (<< 1:3)"),
            ("x (= 1.0-1),\n y (> 2),", "x (= 1.0-1), y (>= 2)"),
            ("", ""),
            ("not a name, (>= 3), ok", "ok"),
        ] {
            let read: Vec<String> = parse_field(text).iter().map(ToString::to_string).collect();
            assert_eq!(read.join(", "), written, "{text:?}");
        }
    }

    #[test]
    fn a_version_that_is_provided_counts_and_one_that_is_not_does_not() {
        let wanted = |text: &str| parse_field(text).remove(0).0.remove(0);
        assert!(wanted("mta").fits_provided(&wanted("mta")));
        assert!(wanted("mta (>= 2)").fits_provided(&wanted("mta (= 3)")));
        assert!(!wanted("mta (>= 2)").fits_provided(&wanted("mta (= 1)")));
        assert!(!wanted("mta (>= 2)").fits_provided(&wanted("mta")));
    }
}
