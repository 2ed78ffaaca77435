//! Requests to show a page or a package file. They are sent as one line each: by the tray to the window's standard input,
//! and by a second tray to the first.

use crate::Page;
use std::path::PathBuf;

/// A page or a package file to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenRequest {
    /// A page.
    Page(Page),
    /// A package file, by its absolute path.
    Package(PathBuf),
}

/// The line that the window prints on its standard error for each request it has shown. A window that is closing accepts
/// requests without showing them; the tray then opens a new window.
pub const SHOWN_MARKER: &str = "shown";
/// The prefix of a line with the path of a package file.
const PACKAGE: &str = "package ";

impl OpenRequest {
    /// Returns the request as one line without a line end; none for a path that is not UTF-8 or contains a line break.
    #[must_use]
    pub fn to_line(&self) -> Option<String> {
        match self {
            Self::Page(page) => Some(page.code().to_owned()),
            Self::Package(path) => {
                let path = path.to_str().filter(|path| !path.contains(['\n', '\r']))?;
                Some(format!("{PACKAGE}{path}"))
            }
        }
    }
    /// Parses such a line.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let line = line.trim_end_matches(['\n', '\r']);
        match line.strip_prefix(PACKAGE) {
            Some(path) => {
                Some(Self::Package(PathBuf::from(path))).filter(|_| path.starts_with(['/', '\\']) || path.contains(':'))
            }
            None => Page::from_code(line).map(Self::Page),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_as_lines_and_other_lines_are_nothing() {
        for request in [OpenRequest::Page(Page::Sharing), OpenRequest::Package("/home/mia/My files/ä b.banyan ".into())]
        {
            assert_eq!(OpenRequest::from_line(&format!("{}\n", request.to_line().unwrap())), Some(request));
        }
        assert_eq!(OpenRequest::Package("/tmp/a\nquit".into()).to_line(), None);
        for line in ["", "package ", "package relative", "nothing"] {
            assert_eq!(OpenRequest::from_line(line), None, "{line:?}");
        }
    }
}
