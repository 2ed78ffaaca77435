//! Paths and other arguments must be text.
//!
//! A path becomes part of databases, requests and JSON, which hold only UTF-8. One with other bytes would fail late, or
//! name another file. So every program refuses it before it does anything.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// An argument, a variable or a path that is not valid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not valid UTF-8: {value}; rename the file or folder, or choose another path")]
pub struct NotUtf8 {
    /// Where it comes from.
    what: String,
    /// The value, with the bytes in question as escapes.
    value: String,
}

impl NotUtf8 {
    fn new(what: impl Into<String>, value: &OsStr) -> Self {
        Self { what: what.into(), value: format!("{value:?}") }
    }
}

/// Checks a command line, without the program's own name.
///
/// # Errors
/// The first argument that is not text, with the option before it.
pub fn check_arguments(arguments: impl Iterator<Item = OsString>) -> Result<(), NotUtf8> {
    let mut before = None;
    for argument in arguments {
        match argument.into_string() {
            Ok(text) => before = Some(text),
            Err(argument) => {
                let option = before.filter(|before| before.starts_with("--") && !before.contains('='));
                return Err(NotUtf8::new(option.unwrap_or_else(|| "an argument".into()), &argument));
            }
        }
    }
    Ok(())
}

/// Checks the path that an option or variable leads to, once links and the working folder are known.
///
/// # Errors
/// When it is not text.
pub fn check_path(what: &str, path: &Path) -> Result<(), NotUtf8> {
    path.to_str().map(drop).ok_or_else(|| NotUtf8::new(what, path.as_os_str()))
}

/// Takes a path from an option or a variable that the command line's parser names.
///
/// # Errors
/// When it is not text.
pub fn into_path(value: OsString) -> Result<PathBuf, NotUtf8> {
    check_path("the path", Path::new(&value)).map(|()| value.into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn refused(arguments: &[&[u8]]) -> Option<String> {
        let arguments = arguments.iter().map(|argument| OsString::from_vec(argument.to_vec()));
        check_arguments(arguments).err().map(|error| error.to_string())
    }

    #[test]
    fn an_argument_that_is_not_text_is_named_with_its_option() {
        assert_eq!(refused(&[b"--data", "/srv/büro".as_bytes(), b"x"]), None);
        let text = refused(&[b"--data", b"/srv/b\xfcro"]).unwrap();
        assert!(text.starts_with("--data is not valid UTF-8: \"/srv/b\\xFCro\";"), "{text}");
        for other in [&[&b"--data=/srv/b\xfcro"[..]][..], &[b"publish", b"b\xfcro"], &[b"--name=x", b"b\xfcro"]] {
            let text = refused(other).unwrap();
            assert!(text.starts_with("an argument is not valid UTF-8"), "{text}");
        }
        assert!(into_path(OsString::from_vec(b"\xff".to_vec())).is_err() && into_path("".into()).is_ok());
    }
}
