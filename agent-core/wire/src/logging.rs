//! The log and the messages of a service, on its standard streams.
//!
//! Whoever reads the streams can go away, and the disk below them can fill up. Then the texts are lost, and the program
//! goes on: `println!`, and the log with its own defaults, would end the task that writes.

use std::io::{self, IsTerminal as _, Write as _};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// Starts logging to standard error: what `RUST_LOG` says, or `info` if it is unset, empty or wrong.
pub fn start() {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let filter = builder.try_from_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .init();
}

/// Writes a line to standard output, if that is possible.
pub fn print(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

/// Writes a line to standard error, if that is possible.
pub fn print_error(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
