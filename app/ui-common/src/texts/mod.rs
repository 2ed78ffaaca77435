//! The texts of the tray and the window, in one place so that they can be translated. Two kinds of text are shared with
//! other programs and live elsewhere: sentences about verdicts in [`banyan_schedule::sentences`], and the table of reasons.
//!
//! Style: sentence case, no exclamation marks, no jargon. Now is the present continuous ("Downloading"), later is "will",
//! finished is the past. People read "computer", "update", "download" and "share".

#![expect(missing_docs, reason = "the constants are self-explanatory")]

pub mod catalogue;
pub mod computer;
pub mod conditions;
pub mod format;
pub mod history;
pub mod notifications;
pub mod package_file;
pub mod schedule;
pub mod settings;
pub mod sharing;
pub mod status;
pub mod tray_menu;
pub mod updates;

use crate::Page;

pub const PRODUCT: &str = "Banyan";
pub const SAVE: &str = "Save";
pub const DISCARD: &str = "Discard";

/// Returns a page's name.
#[must_use]
pub fn page_name(page: Page) -> &'static str {
    match page {
        Page::Updates => "Updates",
        Page::Schedule => "Schedule",
        Page::Sharing => "Sharing",
        Page::History => "History",
        Page::Catalogue => "Catalogue",
        Page::Settings => "Settings",
        Page::Computer => "This computer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn people_never_read_the_words_of_the_system_or_a_library() {
        let kinds = [
            ErrorKind::NotFound,
            ErrorKind::PermissionDenied,
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
            ErrorKind::TimedOut,
            ErrorKind::UnexpectedEof,
            ErrorKind::StorageFull,
            ErrorKind::ReadOnlyFilesystem,
            ErrorKind::IsADirectory,
        ];
        let of_library = Error::new(ErrorKind::InvalidData, "expected value at line 1 column 1");
        let all = kinds.map(Error::from).into_iter().chain((1..134).map(Error::from_raw_os_error)).chain([of_library]);
        for error in all {
            let words = error.to_string();
            let texts = [status::service_error(&error), package_file::file_error(&error), settings::save_error(&error)];
            for text in texts {
                assert!(text.len() > 12 && !text.contains("os error") && !text.contains(&words), "{error:?}: {text}");
            }
        }
    }
}
