//! Writes to the standard streams: results to standard output, progress and hints to standard error.
//!
//! With `--json`, standard output holds JSON and nothing else. Text from machines, packages or the server loses its
//! hidden characters first, so that a label cannot send escape sequences to an administrator's terminal; in JSON they
//! become JSON escapes.

use crate::output::{Failure, WithContext as _};
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
    let text =
        serde_json::to_string(value).map_err(|error| Failure::bug("write the result as JSON", error.to_string()))?;
    print_text(&banyan_proto::text::escape_json(&text))
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
