//! Requests to show a page or a package file. They are sent as one line each: by the tray to the window's standard input,
//! and by a second tray to the first.

use crate::Page;
use std::path::PathBuf;

/// A page or a package file to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// A page.
    Page(Page),
    /// A package file, by its absolute path.
    Package(PathBuf),
}

/// The line that the window prints on its standard error for each request it has shown. A window that is closing accepts
/// requests without showing them; the tray then opens a new window.
pub const SHOWN: &str = "shown";
/// The prefix of a line with the path of a package file.
const PACKAGE: &str = "package ";

impl Show {
    /// Returns the request as one line without a line end; none for a path that is not UTF-8 or contains a line break.
    #[must_use]
    pub fn line(&self) -> Option<String> {
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
    pub fn of(line: &str) -> Option<Self> {
        let line = line.trim_end_matches(['\n', '\r']);
        match line.strip_prefix(PACKAGE) {
            Some(path) => {
                Some(Self::Package(PathBuf::from(path))).filter(|_| path.starts_with(['/', '\\']) || path.contains(':'))
            }
            None => Page::named(line).map(Self::Page),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_and_others_are_nothing() {
        for show in [Show::Page(Page::Sharing), Show::Package("/home/mia/My files/ä b.banyan ".into())] {
            assert_eq!(Show::of(&format!("{}\n", show.line().unwrap())), Some(show));
        }
        assert_eq!(Show::Package("/tmp/a\nquit".into()).line(), None);
        for line in ["", "package ", "package relative", "nothing"] {
            assert_eq!(Show::of(line), None, "{line:?}");
        }
    }
}
