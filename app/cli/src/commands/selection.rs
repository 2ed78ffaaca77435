//! Selections of machines, as they are typed.

use banyan_filter::Filter;
use banyan_proto::admin::Selection;
use std::str::FromStr;

/// Parses the target of a deployment: `all`, `group:NAME`, `machine:NAME[,…]` or a filter.
pub(crate) fn parse_selection(text: &str) -> Result<Selection, String> {
    if text == "all" {
        return Ok(Selection::All);
    }
    let wrong =
        || format!("{text:?} is not a valid selection; use all, group:NAME, machine:NAME-OR-ID[,…] or a filter");
    match text.split_once(':') {
        Some(("machine", machines)) => parse_names(machines).map(Selection::Machines).ok_or_else(wrong),
        Some(("group", "")) => Err(wrong()),
        Some(("group", group)) if is_group(text, group) => Ok(Selection::Group(group.to_owned())),
        _ if !is_filter(text) => Err(wrong()),
        _ => parse_filter(text).map(Selection::Filter),
    }
}

/// Parses the machines of a command that also takes their names alone: `till-3,till-4`.
pub(crate) fn parse_machines(text: &str) -> Result<Selection, String> {
    if text == "all" || is_filter(text) {
        return parse_selection(text);
    }
    parse_names(text).map(Selection::Machines).ok_or_else(|| "a name between the commas is empty".to_owned())
}

/// Parses a filter. The server knows which groups and sites exist.
pub(crate) fn parse_filter(text: &str) -> Result<String, String> {
    match text.parse::<Filter>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("the filter is wrong here:\n{}", error.explain(text))),
    }
}

/// Returns whether `group:NAME` is only that. A name may have spaces.
fn is_group(text: &str, name: &str) -> bool {
    let Ok(filter) = text.parse::<Filter>() else { return !has_filter_signs(name) };
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    Filter::from_str(&format!("group = \"{quoted}\"")).is_ok_and(|only| only == filter)
}

fn has_filter_signs(text: &str) -> bool {
    text.contains(['=', '<', '>', ':', '(', ')', '"'])
}

/// Returns whether a text looks like a filter, and not like names.
fn is_filter(text: &str) -> bool {
    text.trim().is_empty() || has_filter_signs(text)
}

/// Splits names at commas. A comma that belongs to a name has a backslash before it.
fn parse_names(text: &str) -> Option<Vec<String>> {
    let names = split_names(text);
    names.iter().all(|name| !name.is_empty()).then_some(names)
}

/// Splits names at commas, and removes white space around them. A comma that belongs to a name has a backslash before it.
pub(crate) fn split_names(text: &str) -> Vec<String> {
    const OWN_COMMA: char = '\u{0}';
    let separated = text.replace("\\,", &OWN_COMMA.to_string());
    separated.split(',').map(|name| name.trim().replace(OWN_COMMA, ",")).collect()
}

/// Joins names with commas, so that [`split_names`] returns them.
pub(crate) fn join_names(names: &[String]) -> String {
    let escape = |name: &String| {
        // A backslash at the end would belong to the comma behind it.
        let end = if name.ends_with('\\') { " " } else { "" };
        name.replace(',', "\\,") + end
    };
    names.iter().map(escape).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_read_as_it_is_meant() {
        let names = |names: &[&str]| Ok(Selection::Machines(names.iter().map(|name| (*name).to_owned()).collect()));
        let group = |name: &str| Ok(Selection::Group(name.to_owned()));
        let filter = |text: &str| Ok(Selection::Filter(text.to_owned()));
        for (text, expected) in [
            ("all", Ok(Selection::All)),
            ("group:lab", group("lab")),
            ("group:Lab 2", group("Lab 2")),
            ("group:R&D-ü", group("R&D-ü")),
            ("group:lab and os = linux", filter("group:lab and os = linux")),
            ("group:lab*", filter("group:lab*")),
            ("machine:desk,till 3", names(&["desk", "till 3"])),
            (r"machine:till\,3,b", names(&["till,3", "b"])),
            ("os = linux and tag:lab", filter("os = linux and tag:lab")),
            ("not tag:done", filter("not tag:done")),
        ] {
            assert_eq!(parse_selection(text), expected, "{text}");
        }
        for (text, said) in [
            ("everyone", "not a valid selection"),
            ("group:", "not a valid selection"),
            ("machine:a,,b", "not a valid selection"),
            ("os = linux and oss = x", "os = linux and oss = x\n               ^ `oss` is no field"),
            ("", "the filter is empty"),
            (" ", "the filter is empty"),
        ] {
            let wrong = parse_selection(text).unwrap_err();
            assert!(wrong.contains(said), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn names_stand_alone_where_machines_are_expected() {
        assert_eq!(parse_machines("till-3, desk"), Ok(Selection::Machines(vec!["till-3".into(), "desk".into()])));
        assert_eq!(parse_machines("name = till-*"), Ok(Selection::Filter("name = till-*".into())));
        assert_eq!(parse_machines("all"), Ok(Selection::All));
        assert!(parse_machines("a,,b").is_err() && parse_machines("").is_err());
        let names = ["a,b", "c\\", "d"].map(str::to_owned);
        assert_eq!(split_names(&join_names(&names)), names);
    }
}
