//! Texts that others wrote: names are refused when they contain hidden characters, all other texts are escaped and cut
//! before they are stored, logged or shown.
//!
//! A hidden character is one that a reader cannot see or that changes how the text around it appears: control
//! characters, bidirectional formatting, zero-width characters, line and paragraph separators, fillers and tags. With
//! them one name can look like another, and a text can steer a terminal.

use std::fmt::Write as _;

/// Longest explanation kept of what another machine wrote or caused (bytes).
pub const DETAIL_BYTES: usize = 1000;

/// Returns whether the character is hidden. Line feeds and tabs count as hidden, because a name has neither.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}'
                | '\u{034f}'
                | '\u{061c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Returns whether the text contains a hidden character.
#[must_use]
pub fn has_hidden(text: &str) -> bool {
    text.chars().any(is_hidden)
}

/// Returns the text with its hidden characters written as `\u{…}`. Line feeds and tabs stay.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut escaped, c);
    }
    escaped
}

/// Returns the text, escaped and at most this many bytes long. A cut text ends with `…`.
#[must_use]
pub fn bounded(text: &str, most: usize) -> String {
    const CUT: &str = "…";
    let mut kept = String::new();
    for c in text.chars() {
        let before = kept.len();
        push_escaped(&mut kept, c);
        if kept.len() > most {
            kept.truncate(before.min(kept.floor_char_boundary(most.saturating_sub(CUT.len()))));
            if most >= CUT.len() {
                kept.push_str(CUT);
            }
            break;
        }
    }
    kept
}

/// Returns what the operating system says about an error, without the number that only programmers know.
#[must_use]
pub fn system_error(error: &std::io::Error) -> String {
    without_error_numbers(&error.to_string())
}

/// Says what to do about a file or folder of a program that cannot be used.
#[must_use]
pub fn disk_advice(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => "free some space",
        Kind::FileTooLarge => "raise the limit of file sizes (`ulimit -f`, LimitFSIZE), or choose another disk",
        Kind::ReadOnlyFilesystem => "mount the disk writable, or choose another folder",
        Kind::PermissionDenied => "start the program as the user that owns it, or give it to that user (chown)",
        Kind::AlreadyExists | Kind::NotADirectory => "a file is in the place of a folder; choose another folder",
        Kind::NotFound => "check the path",
        _ => "check the disk",
    }
}

/// Returns the text without the error numbers that Rust appends to texts of the operating system: ` (os error 2)`.
#[must_use]
pub fn without_error_numbers(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once(" (os error ") {
        kept.push_str(before);
        let number = after.trim_start_matches('-').trim_start_matches(|c: char| c.is_ascii_digit());
        rest = number.strip_prefix(')').unwrap_or(after);
    }
    kept + rest
}

/// Returns an error and its causes on one line. Causes that the text already contains are left out.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    without_error_numbers(&text)
}

/// Returns the clauses of `text`, separated by semicolons, that `said` does not contain. The case of letters and a final
/// full stop do not count.
#[must_use]
pub fn without_repeats(text: &str, said: &[&str]) -> String {
    let normal = |clause: &str| clause.trim().trim_end_matches('.').to_lowercase();
    let said: Vec<String> = said.iter().map(|text| normal(text)).collect();
    let is_new = |clause: &&str| !said.iter().any(|said| said.contains(&normal(clause)));
    text.split("; ").filter(is_new).collect::<Vec<_>>().join("; ")
}

/// Returns JSON text in which hidden characters are written as JSON escapes, so that a reader of the JSON gets them
/// back and a terminal does not. The text must be JSON: outside strings it has no hidden characters but white space.
#[must_use]
pub fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) && !c.is_ascii_whitespace() {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _never_fails = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn push_escaped(to: &mut String, c: char) {
    if is_hidden(c) && c != '\n' && c != '\t' {
        let _never_fails = write!(to, "\\u{{{:x}}}", u32::from(c));
    } else {
        to.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: [char; 12] = [
        '\u{1b}',
        '\u{7f}',
        '\u{9b}',
        '\u{200b}',
        '\u{200d}',
        '\u{202e}',
        '\u{2028}',
        '\u{2066}',
        '\u{feff}',
        '\u{00ad}',
        '\u{3164}',
        '\u{e0041}',
    ];

    #[test]
    fn hidden_characters_are_found_and_escaped() {
        for c in HIDDEN {
            let text = format!("a{c}b");
            assert!(has_hidden(&text), "{c:?}");
            assert!(!has_hidden(&escape(&text)), "{c:?}");
        }
        for plain in ["Rechner Süd", "日本", "שלום", "naïve ☕"] {
            assert!(!has_hidden(plain) && escape(plain) == plain, "{plain}");
        }
    }

    #[test]
    fn a_bounded_text_is_never_longer_than_its_bound() {
        for text in ["", "short", "äöü€😀\u{202e}\u{1b}[31m", &"A".repeat(9000), &"\u{200b}".repeat(900)] {
            for most in [0, 1, 3, 4, 10, 100, 1000] {
                let kept = bounded(text, most);
                assert!(kept.len() <= most && !has_hidden(&kept), "{most}: {kept:?}");
            }
        }
        assert_eq!(bounded("abc", 3), "abc");
        assert_eq!(bounded("abcdef", 5), "ab…");
    }

    #[test]
    fn errors_of_the_system_are_told_without_numbers() {
        for number in 1..134 {
            let error = std::io::Error::from_raw_os_error(number);
            let told = system_error(&error);
            assert!(!told.is_empty() && !told.contains("os error"), "{told}");
        }
        let text = "cannot read a: Not a directory (os error 20); cannot write b: Access denied (os error -5).";
        assert_eq!(without_error_numbers(text), "cannot read a: Not a directory; cannot write b: Access denied.");
        assert_eq!(without_error_numbers("plain"), "plain");
    }

    #[test]
    fn clauses_that_were_said_are_left_out() {
        let said = ["the deployment was halted", "run `banyan resume` to continue it"];
        for (text, kept) in [
            ("Run `banyan resume` to continue it.", ""),
            ("the deployment was halted; by admin", "by admin"),
            ("three machines failed", "three machines failed"),
            ("", ""),
        ] {
            assert_eq!(without_repeats(text, &said), kept);
        }
    }

    #[test]
    fn an_error_and_its_causes_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the key: {source}")]
        struct Outer {
            source: std::io::Error,
        }
        let error = Outer { source: std::io::Error::from_raw_os_error(2) };
        assert_eq!(error_chain(&error), "cannot read the key: No such file or directory");
    }

    #[test]
    fn escaped_json_says_the_same_without_hidden_characters() {
        let text: String = HIDDEN.iter().collect();
        let json = serde_json::to_string(&text).unwrap();
        let escaped = escape_json(&json);
        assert!(!has_hidden(&escaped), "{escaped}");
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
