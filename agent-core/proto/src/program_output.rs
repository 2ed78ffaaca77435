//! What programs print, such as a package manager's scripts or a probe: made readable, and cut where it says least.
//!
//! The explanation of a failure is one line that names the cause, then the output. Of long output the end stays, because
//! programs stop at what went wrong.

use crate::text::{DETAIL_BYTES, bounded};

/// Stands for output that was left out.
const LEFT_OUT: &str = "…";

/// Returns the output as a terminal would show it, without colours: escape sequences are gone, a carriage return begins
/// the line again, and a backspace removes a character.
#[must_use]
pub fn plain(output: &str) -> String {
    let mut lines = String::with_capacity(output.len());
    let mut line = String::new();
    let mut chars = output.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape_sequence(&mut chars),
            '\u{9b}' => skip_until_final_byte(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => line.clear(),
            '\u{8}' => drop(line.pop()),
            '\u{7}' | '\0' => {}
            '\n' => {
                lines.push_str(&line);
                lines.push('\n');
                line.clear();
            }
            c => line.push(c),
        }
    }
    lines + &line
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_escape_sequence(chars: &mut Chars<'_>) {
    match chars.next() {
        Some('[') => skip_until_final_byte(chars),
        // An operating system command, such as a title or a link, ends with BEL or ESC \.
        Some(']') => {
            while let Some(c) = chars.next_if(|c| *c != '\n') {
                match c {
                    '\u{7}' => break,
                    '\u{1b}' => {
                        let _ = chars.next_if_eq(&'\\');
                        return;
                    }
                    _ => {}
                }
            }
        }
        // Selects a character set.
        Some('(' | ')') => drop(chars.next()),
        _ => {}
    }
}

fn skip_until_final_byte(chars: &mut Chars<'_>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    let _ = chars.next_if(|c| matches!(c, '@'..='~'));
}

/// Returns the explanation of a failure, escaped and at most this many bytes long. Its first line, the cause, stays; of
/// the output below, the end stays.
#[must_use]
pub fn bounded_failure(detail: &str, most: usize) -> String {
    let Some((cause, output)) = detail.split_once('\n') else { return bounded(detail, most) };
    let cause = bounded(cause, DETAIL_BYTES.min(most));
    let output = crate::text::escape(output);
    let room = most.saturating_sub(cause.len() + 1);
    if output.len() <= room {
        return format!("{cause}\n{output}");
    }
    let room = room.saturating_sub(LEFT_OUT.len() + 1);
    let end = &output[output.ceil_char_boundary(output.len() - room.min(output.len()))..];
    // Begins with a whole line, unless one line fills all.
    let end = end.split_once('\n').map_or(end, |(_, lines)| if lines.is_empty() { end } else { lines });
    if room == 0 || end.is_empty() { cause } else { format!("{cause}\n{LEFT_OUT}\n{end}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_progress_bars_become_plain_lines() {
        for (printed, shown) in [
            ("\u{1b}[1;31mno licence\u{1b}[0m\n", "no licence\n"),
            ("10%\r50%\r100%\ndone\r\n", "100%\ndone\n"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\b\u{1b}(B\u{9b}2Kc", "abc"),
            ("spin|\u{8}/\u{8}-\u{7}", "spin-"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("\u{1b}]never ends\nnext", "\nnext"),
            ("naïve ☕\tokay\n\n", "naïve ☕\tokay\n\n"),
        ] {
            assert_eq!(plain(printed), shown, "{printed:?}");
        }
    }

    #[test]
    fn the_cause_and_the_end_of_the_output_stay() {
        let long = format!("the probe exited with code 7\n{}cannot open licence", "working…\n".repeat(200_000));
        let kept = bounded_failure(&long, 4000);
        assert!(kept.len() <= 4000 && kept.len() > 3900, "{}", kept.len());
        assert!(kept.starts_with("the probe exited with code 7\n…\nworking…\n"), "{kept}");
        assert!(kept.ends_with("working…\ncannot open licence"), "{kept}");
        assert_eq!(bounded_failure(&kept, 4000), kept, "cutting again changes nothing");
    }

    #[test]
    fn no_failure_is_longer_than_its_bound() {
        let texts = [
            String::new(),
            "short".to_owned(),
            "a\nb".to_owned(),
            "\u{202e}".repeat(900) + "\n" + &"😀".repeat(900),
            "cause\n".to_owned() + &"ä".repeat(9000),
            "\n".repeat(500),
        ];
        for text in &texts {
            for most in [0, 1, 3, 4, 5, 6, 10, 100, 1000, 4000] {
                let kept = bounded_failure(text, most);
                assert!(kept.len() <= most, "{most}: {kept:?}");
                assert!(kept.chars().all(|c| c == '\n' || !crate::text::is_hidden(c)), "{most}: {kept:?}");
            }
        }
        assert_eq!(bounded_failure("a\nb", 100), "a\nb");
    }
}
