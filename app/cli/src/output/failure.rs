//! The error report of a failed command: what was tried, what went wrong, what to do next, and the reason code.
//!
//! Each stage has its own error enum. This module turns any of them into text and an exit code.

use crate::output::{Exit, sanitise};
use banyan_proto::{Reason, text};
use std::fmt;

/// An error that carries advice for the user.
pub(crate) trait Advice: std::error::Error {
    /// Returns what to do next, as an imperative without a full stop.
    fn next_step(&self) -> String;
    /// Returns the matching entry of the table of reasons, if any.
    fn reason(&self) -> Option<Reason> {
        None
    }
    /// Returns the exit code of the process.
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

/// What to do about a bug in Banyan.
pub(crate) const REPORT_BUG: &str = "report this bug in Banyan with the output of `banyan --version`";

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was tried. Completes "cannot …".
    pub(crate) action: String,
    /// What went wrong.
    pub(crate) cause: String,
    /// What to do next.
    pub(crate) next_step: String,
    /// The matching entry of the table of reasons, if any.
    pub(crate) reason: Option<Reason>,
    /// The exit code of the process.
    pub(crate) exit: Exit,
}

impl Failure {
    /// Creates a failure that does not stem from an error value.
    pub(crate) fn new(action: impl Into<String>, cause: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            cause: cause.into(),
            next_step: next_step.into(),
            reason: None,
            exit: Exit::Failed,
        }
    }
    /// Creates a failure that only a bug in Banyan can cause.
    pub(crate) fn bug(action: impl Into<String>, cause: impl Into<String>) -> Self {
        Self::new(action, cause, REPORT_BUG)
    }
    /// Says of a result that could not be written that the work itself is done: it must not be done again. `next` says how
    /// to see the result.
    pub(crate) fn after_success(self, done: &str, next: impl Into<String>) -> Self {
        Self {
            action: "write the result".into(),
            cause: format!("{done}, but {}", self.cause),
            next_step: next.into(),
            reason: None,
            exit: self.exit,
        }
    }
    /// Replaces the exit code.
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = |text: &str| sanitise(&text::without_error_numbers(text));
        write!(f, "error: cannot {}\n  why:  {}", clean(&self.action), clean(&self.cause))?;
        if let Some(reason) = self.reason {
            write!(f, " [{}]", reason.code())?;
        }
        // What the cause already advises is not said again.
        match text::without_repeats(&self.next_step, &[&self.cause]) {
            next if next.is_empty() => Ok(()),
            next => write!(f, "\n  next: {}", clean(&next)),
        }
    }
}

/// Adds what was being tried to an error.
pub(crate) trait WithContext<T> {
    /// Turns the error into a [`Failure`]. `what` completes "cannot …".
    fn with_context(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Advice> WithContext<T> for Result<T, E> {
    fn with_context(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            action: what(),
            cause: text::error_chain(&error),
            next_step: error.next_step(),
            reason: error.reason(),
            exit: error.exit(),
        })
    }
}

impl Advice for std::io::Error {
    fn next_step(&self) -> String {
        match self.kind() {
            std::io::ErrorKind::NotFound => "check the path".into(),
            std::io::ErrorKind::PermissionDenied => "check the permissions of that path".into(),
            std::io::ErrorKind::StorageFull => "free some disk space and try again".into(),
            _ => "check the disk and the path, then try again".into(),
        }
    }
    fn reason(&self) -> Option<Reason> {
        (self.kind() == std::io::ErrorKind::StorageFull).then_some(Reason::DiskFull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_tried_wrong_next_and_code() {
        let failure = Failure {
            reason: Some(Reason::ServerAway),
            ..Failure::new("list machines", "no response from 127.0.0.1:1", "start the server")
        };
        assert_eq!(
            failure.to_string(),
            "error: cannot list machines\n  why:  no response from 127.0.0.1:1 [server-away]\n  next: start the server"
        );
    }

    #[test]
    fn no_advice_is_given_twice_and_no_error_has_a_number() {
        let failure = Failure::new("deploy hello", "the deployment was halted; resume it", "resume it");
        assert_eq!(failure.to_string(), "error: cannot deploy hello\n  why:  the deployment was halted; resume it");
        let missing: Result<(), _> = Err(std::io::Error::from_raw_os_error(2));
        let failure = missing.with_context(|| "read the profile".into()).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "error: cannot read the profile\n  why:  No such file or directory\n  next: check the path"
        );
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        let failure = Failure::new("read it", "\u{1b}[2Jgone\r", "look");
        assert!(!failure.to_string().contains(['\u{1b}', '\r']), "{failure:?}");
    }

    #[test]
    fn io_errors_get_advice_and_the_reason_of_a_full_disk() {
        let full: Result<(), _> = Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
        let failure = full.with_context(|| "write the file".into()).unwrap_err();
        assert_eq!(failure.reason, Some(Reason::DiskFull));
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.next_step.contains("free some"));
    }
}
