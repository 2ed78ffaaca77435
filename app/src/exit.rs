//! How a command ends, as scripts see it: the one table of exit codes, from which `--help` is written too.

use std::fmt::Write as _;

/// The exit codes. Scripts rely on them: a number never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done as asked.
    Success = 0,
    /// Something else went wrong; the text on standard error says what.
    Failed = 1,
    /// The command line itself is wrong (clap ends with it).
    Usage = 2,
    /// The deployment ended, or the wait for it did, and not every addressee has succeeded.
    Incomplete = 3,
    /// The server cannot be reached, or another one answers at its address.
    Unreachable = 4,
    /// The server was reached and refused.
    Refused = 5,
    /// There is no usable profile, so no server to talk to.
    NoProfile = 6,
    /// `doctor` found something that needs attention.
    Unhealthy = 7,
    /// Further signatures are needed; the file to be passed on was written.
    Unsigned = 8,
    /// Ended by Ctrl-C or a signal.
    Interrupted = 130,
}

impl Exit {
    /// Every code and its meaning, in the order of the numbers.
    pub(crate) const TABLE: &[(Self, &str)] = &[
        (Self::Success, "done as asked"),
        (Self::Failed, "failed; standard error says why and what to do"),
        (Self::Usage, "the command line is wrong"),
        (Self::Incomplete, "not every addressee of the deployment has succeeded"),
        (Self::Unreachable, "the server cannot be reached, or another one answers in its place"),
        (Self::Refused, "the server refused the request"),
        (Self::NoProfile, "there is no usable profile that says which server to use"),
        (Self::Unhealthy, "`doctor` found something that needs attention"),
        (Self::Unsigned, "further signatures are needed; the file to be passed on was written"),
        (Self::Interrupted, "interrupted (Ctrl-C)"),
    ];
    /// The number that the process ends with.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
    /// The table as text for `--help`.
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
        assert!(Exit::help().contains("  3  not every addressee"));
    }
}
