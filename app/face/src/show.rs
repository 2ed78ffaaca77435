//! What the window is to show: said on its command line, by the tray on its standard input, and by a second tray to the
//! first; one line each.

use crate::Page;
use std::path::PathBuf;

/// A page, or a package file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Show {
    /// A page.
    Page(Page),
    /// A package file that somebody opened, by its absolute path.
    Package(PathBuf),
}

/// What the window says on its standard error for each such line that it has shown: one that is just being closed takes
/// lines and shows nothing, and is then opened anew.
pub const SHOWN: &str = "shown";
/// Stands before the path of a package file.
const PACKAGE: &str = "package ";

impl Show {
    /// As one line, without its end; none for a path that fits into none.
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
    /// Of such a line.
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
