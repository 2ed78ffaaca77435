//! What is wrong with a filter.

/// What is wrong with a filter, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {what}")]
pub struct FilterError {
    at: usize,
    what: String,
}

impl FilterError {
    pub(crate) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
    /// Returns the byte of the text at which it is.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }
    /// Says what is wrong, without the place.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
    /// Shows the filter with a mark below the place, and what is wrong.
    #[must_use]
    pub fn explain(&self, filter: &str) -> String {
        let before = filter.get(..self.at).unwrap_or(filter);
        let line = filter.replace(char::is_control, " ");
        format!("{line}\n{}^ {}", " ".repeat(before.chars().count()), self.what)
    }
}
