//! Writes to the standard streams: results to standard output, progress and hints to standard error.
//!
//! With `--json`, standard output holds JSON and nothing else. Text from machines, packages or the server loses its
//! control characters first, so that a label cannot send escape sequences to an administrator's terminal.

mod exit_code;
mod failure;

pub(crate) use exit_code::Exit;
pub(crate) use failure::{Advice, Failure, WithContext, format_error_chain};

use serde::Serialize;
use std::io::{self, Write};

/// The `--json` option of every command that prints a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Args)]
pub(crate) struct OutputArgs {
    /// Print the result as JSON on standard output, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

impl OutputArgs {
    /// Prints the result: as JSON, or as the text that `text` makes of it.
    pub(crate) fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        if self.json { print_json(value) } else { print_text(&text(value)) }
    }
}

/// Prints one JSON value on a line of standard output.
pub(crate) fn print_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| {
        Failure::new(
            "write the result as JSON",
            error.to_string(),
            "report this bug in Banyan with the output of `banyan --version`",
        )
    })?;
    print_text(&text)
}

/// Prints text to standard output and ends the line. A closed pipe (`| head`) is not an error.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut out = io::stdout().lock();
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.with_context(|| "write to standard output".into()),
    }
}

/// Prints a line of progress or a hint to standard error. Write errors are ignored.
pub(crate) fn print_note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Replaces control and bidirectional formatting characters in untrusted text. Line feeds stay.
pub(crate) fn sanitise(text: &str) -> String {
    text.chars().map(|c| if (c.is_control() && c != '\n') || is_direction(c) { '\u{fffd}' } else { c }).collect()
}

/// Returns whether a character changes the writing direction. Such characters can make one name look like another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Formats rows as aligned columns. The last column is not padded.
pub(crate) fn format_table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| sanitise(cell).replace('\n', " ")).collect()).collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| console::pad_str(cell, *width, console::Alignment::Left, None).into_owned());
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Formats a number of things, in the singular or plural.
pub(crate) fn format_count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Formats how many seconds ago something happened.
pub(crate) fn format_age(seconds: u64) -> String {
    match seconds {
        0..5 => "just now".into(),
        5..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_labels_are_cleaned() {
        let rows = [vec!["a".into(), "b".into()], vec!["l\u{1b}ng".into(), "\u{202e}c".into()]];
        assert_eq!(format_table(&rows), "a     b\nl\u{fffd}ng  \u{fffd}c\n");
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!([0, 1, 2].map(|number| format_count(number, "machine")), ["0 machines", "1 machine", "2 machines"]);
    }

    #[test]
    fn times_are_told_in_the_unit_people_would_use() {
        let told: Vec<_> = [0, 59, 600, 10_000, 1_000_000].map(format_age).to_vec();
        assert_eq!(told, ["just now", "59 s ago", "10 min ago", "2 h ago", "11 days ago"]);
    }
}
