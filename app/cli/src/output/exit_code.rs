//! The exit codes, in one table that `--help` shows too.

use std::fmt::Write as _;

/// A process exit code. Scripts rely on them: a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The command succeeded.
    Success = 0,
    /// The command failed for a reason without a code of its own; standard error gives the reason.
    Failed = 1,
    /// The command line is invalid. clap ends the process with this code.
    Usage = 2,
    /// The deployment or the wait for it ended, and not every target machine succeeded.
    Incomplete = 3,
    /// The server cannot be reached, or a different server responds at its address.
    Unreachable = 4,
    /// The server refused the request.
    Refused = 5,
    /// No usable profile was found, so the server is unknown.
    NoProfile = 6,
    /// `doctor` found something that needs attention.
    Unhealthy = 7,
    /// More signatures are needed; the signing request was written to a file.
    Unsigned = 8,
    /// Interrupted by Ctrl-C or a signal.
    Interrupted = 130,
}

impl Exit {
    /// Every code and its meaning, in ascending order.
    pub(crate) const TABLE: &[(Self, &str)] = &[
        (Self::Success, "success"),
        (Self::Failed, "failure; standard error says why and what to do next"),
        (Self::Usage, "invalid command line"),
        (Self::Incomplete, "not every target machine of the deployment has succeeded"),
        (Self::Unreachable, "the server cannot be reached, or a different server responds at its address"),
        (Self::Refused, "the server refused the request"),
        (Self::NoProfile, "no usable profile was found"),
        (Self::Unhealthy, "`doctor` found something that needs attention"),
        (Self::Unsigned, "more signatures are needed; the signing request was written to a file"),
        (Self::Interrupted, "interrupted (Ctrl-C)"),
    ];
    /// Returns the numeric exit code.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
    /// Returns the table as text for `--help`.
    pub(crate) fn help() -> String {
        let mut text = String::from("Exit codes:\n");
        for (exit, meaning) in Self::TABLE {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {:>3}  {meaning}", exit.code());
        }
        text
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code_once_in_order() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 130]);
        assert!(Exit::help().contains("  3  not every target machine"));
    }
}
