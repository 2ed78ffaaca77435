//! Messages on standard error.

use std::io::{self, Write as _};

/// Writes a line to standard error, if that is possible. `eprintln!` would end the program when the session's log is gone
/// or its disk is full.
pub fn print_error(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
