//! Splits the text of a filter into words, quoted text and signs.

use crate::error::FilterError;

/// A part of the text, and the byte where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) at: usize,
    pub(crate) what: What<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What<'a> {
    Word(&'a str),
    Quoted(String),
    /// `(`, `)`, `,`, `:` or an operator.
    Sign(&'a str),
    End,
}

impl What<'_> {
    /// Describes it in an error.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Quoted(text) => format!("{text:?}"),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

const SIGNS: [&str; 10] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ",", ":"];

/// Words end at spaces, quotes and signs. A colon is a sign only behind the first word, since addresses have colons.
fn ends_word(c: char) -> bool {
    c.is_whitespace() || "\"()=!<>,".contains(c)
}

pub(crate) fn split(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
        } else if c == '"' {
            let (quoted, length) = read_quoted(rest, at)?;
            tokens.push(Token { at, what: What::Quoted(quoted) });
            at += length;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token { at, what: What::Sign(sign) });
            at += sign.len();
        } else if c == '!' {
            return Err(FilterError::new(at, "`!` means nothing alone; write `!=`, or `not` before a comparison"));
        } else {
            let end = rest.find(ends_word).unwrap_or(rest.len());
            let word = &rest[..end];
            // `tag:lab` is `tag = lab`.
            let is_value =
                matches!(tokens.last(), Some(Token { what: What::Sign(sign), .. }) if !matches!(*sign, "(" | ")"));
            let is_listed = matches!(tokens.last(), Some(Token { what: What::Sign("("), .. })) && is_list(&tokens);
            let end = match word.find(':') {
                Some(colon) if colon > 0 && !is_value && !is_listed => colon,
                _ => end,
            };
            tokens.push(Token { at, what: What::Word(&rest[..end]) });
            at += end;
        }
    }
    tokens.push(Token { at: text.len(), what: What::End });
    Ok(tokens)
}

/// Returns whether the last parenthesis begins a list of values or a parameter.
fn is_list(tokens: &[Token<'_>]) -> bool {
    let before = tokens.len().checked_sub(2).and_then(|at| tokens.get(at));
    matches!(before, Some(Token { what: What::Word(word), .. }) if !is_connective(word))
}

fn is_connective(word: &str) -> bool {
    ["and", "or", "not"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Reads text in quotes. Returns it with its length in bytes, quotes included.
fn read_quoted(text: &str, at: usize) -> Result<(String, usize), FilterError> {
    let mut quoted = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Ok((quoted, place + 1)),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => quoted.push(escaped),
                _ => {
                    let what = "a backslash in quotes stands before a quote or another backslash";
                    return Err(FilterError::new(at + place, what));
                }
            },
            c => quoted.push(c),
        }
    }
    Err(FilterError::new(at, "the quotes that begin here do not end"))
}
