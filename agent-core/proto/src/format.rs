//! The header of every signed document and every request: its format, and what its reader must understand (rule S3).
//!
//! A reader that does not know the format, or an item on the list, refuses the text instead of acting on half of it.
//! It ignores every other field that it does not know, so a newer sender can add hints without breaking older readers.

use crate::text;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use std::fmt;

/// Most items a list may have. A longer list is refused.
const ITEMS: usize = 32;
/// Longest item (bytes). A longer one is refused.
const ITEM_BYTES: usize = 64;
/// Longest report of a JSON reader that is kept (bytes).
const WHY_BYTES: usize = 300;

/// A kind of text with a header.
pub trait Format {
    /// Names the kind in refusals, such as `order`.
    const KIND: &'static str;
    /// The newest format that this version reads, and the one it writes.
    const FORMAT: u32 = 1;
    /// The items that this version understands.
    const UNDERSTOOD: &'static [&'static str] = &[];
    /// Returns the items that a reader of this value must understand; each is at most 64 bytes.
    fn must_understand(&self) -> Vec<String> {
        Vec::new()
    }
    /// Returns the name of a field whose value this version does not know although it must act on it.
    fn unknown_value(&self) -> Option<&'static str> {
        None
    }
}

/// Gives requests their header; each line is a type and its name in refusals.
macro_rules! requests {
    ($($request:ident = $kind:literal;)*) => {
        $(impl $crate::format::Format for $request {
            const KIND: &'static str = $kind;
        })*
    };
}
pub(crate) use requests;

/// Why a text was not read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The text has a newer format than this version reads.
    #[error("the {kind} has format {found}, but this version of Banyan reads format {newest} at most")]
    Format {
        /// The kind of text.
        kind: &'static str,
        /// The text's format.
        found: u32,
        /// The newest format that this version reads.
        newest: u32,
    },
    /// The text requires something that this version does not know.
    #[error("the {kind} requires {item:?}, which this version of Banyan does not understand")]
    Item {
        /// The kind of text.
        kind: &'static str,
        /// The first unknown item, cut to 64 bytes.
        item: String,
    },
    /// The text is not JSON of its kind.
    #[error("the {kind} cannot be read: {why}")]
    Unreadable {
        /// The kind of text.
        kind: &'static str,
        /// What the JSON reader reports, escaped and cut: it repeats what the sender wrote.
        why: String,
    },
}

impl FormatError {
    /// Reports a text that is not JSON of its kind.
    pub(crate) fn unreadable(kind: &'static str, error: &serde_json::Error) -> Self {
        Self::Unreadable { kind, why: text::bounded(&error.to_string(), WHY_BYTES) }
    }
    /// Returns whether an update of this program would help, because the text comes from a newer version.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Format { .. } | Self::Item { .. } => true,
            Self::Unreadable { .. } => false,
        }
    }
}

#[derive(Deserialize)]
struct Header {
    #[serde(default = "first")]
    format: u32,
    #[serde(default, deserialize_with = "first_items")]
    must_understand: Vec<String>,
}

/// Reads a list, but keeps only as many items as it takes to refuse it: each would take more memory than text.
fn first_items<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Items;
    impl<'de> Visitor<'de> for Items {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of items")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut items = Vec::new();
            while items.len() <= ITEMS
                && let Some(item) = list.next_element()?
            {
                items.push(item);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(items)
        }
    }
    from.deserialize_seq(Items)
}

fn first() -> u32 {
    1
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    must_understand: Vec<String>,
    #[serde(flatten)]
    body: &'a T,
}

/// Checks the header of a text. A text without one has format 1 and requires nothing.
///
/// # Errors
/// When the text is not JSON, its format is newer, or it requires an item that `T` does not understand.
pub fn check<T: Format>(text: &[u8]) -> Result<(), FormatError> {
    let kind = T::KIND;
    let header: Header = serde_json::from_slice(text).map_err(|error| FormatError::unreadable(kind, &error))?;
    if !(1..=T::FORMAT).contains(&header.format) {
        return Err(FormatError::Format { kind, found: header.format, newest: T::FORMAT });
    }
    let known = |item: &&String| T::UNDERSTOOD.contains(&item.as_str());
    match header.must_understand.iter().enumerate().find(|(at, item)| *at >= ITEMS || !known(item)) {
        None => Ok(()),
        Some((_, item)) => Err(FormatError::Item { kind, item: text::bounded(item, ITEM_BYTES) }),
    }
}

/// Checks the header of a text, then reads it.
///
/// # Errors
/// See [`check`]; also when a field of `T` is missing, has the wrong type, or has a value that only a newer version
/// knows ([`Format::unknown_value`]).
pub fn read<T: Format + DeserializeOwned>(text: &[u8]) -> Result<T, FormatError> {
    check::<T>(text)?;
    let value: T = serde_json::from_slice(text).map_err(|error| FormatError::unreadable(T::KIND, &error))?;
    match value.unknown_value() {
        None => Ok(value),
        Some(field) => Err(FormatError::Item { kind: T::KIND, item: field.to_owned() }),
    }
}

/// Returns the JSON text of a value with its header.
///
/// # Panics
/// When the value has no JSON form, which is a mistake in its type: every kind is a struct or a tagged enum.
#[must_use]
pub fn write<T: Format + Serialize>(value: &T) -> String {
    let written = Written { format: T::FORMAT, must_understand: value.must_understand(), body: value };
    serde_json::to_string(&written).expect("documents and requests are JSON objects")
}

/// Returns whether a flag is not set, so that it is left out of the JSON text.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        text: String,
        bold: bool,
    }
    impl Format for Note {
        const KIND: &'static str = "note";
        const FORMAT: u32 = 2;
        const UNDERSTOOD: &'static [&'static str] = &["bold"];
        fn must_understand(&self) -> Vec<String> {
            self.bold.then(|| "bold".to_owned()).into_iter().collect()
        }
    }

    #[test]
    fn a_text_round_trips_with_its_header() {
        for bold in [false, true] {
            let note = Note { text: "a".into(), bold };
            let text = write(&note);
            assert!(text.starts_with("{\"format\":2,"), "{text}");
            assert_eq!(text.contains("must_understand"), bold);
            assert_eq!(read::<Note>(text.as_bytes()).unwrap(), note);
        }
    }

    #[test]
    fn older_formats_and_unknown_fields_are_read() {
        for text in [r#"{"text":"a","bold":true}"#, r#"{"format":1,"text":"a","bold":true,"colour":"red"}"#] {
            assert!(read::<Note>(text.as_bytes()).unwrap().bold);
        }
    }

    #[test]
    fn newer_formats_and_unknown_items_are_refused_by_name() {
        let refused = |text: &str| read::<Note>(text.as_bytes()).unwrap_err();
        let newer = refused(r#"{"format":3,"text":"a","bold":true}"#);
        assert_eq!(newer.to_string(), "the note has format 3, but this version of Banyan reads format 2 at most");
        let item = refused(r#"{"format":1,"must_understand":["bold","blink"],"text":"a","bold":true}"#);
        assert!(matches!(&item, FormatError::Item { item, .. } if item == "blink"), "{item}");
        assert!(newer.is_newer() && item.is_newer());
        assert!(matches!(refused(r#"{"format":0}"#), FormatError::Format { .. }));
        assert!(!refused("[]").is_newer() && !refused(r#"{"format":1}"#).is_newer());
        let many = format!(r#"{{"must_understand":{:?}}}"#, vec!["bold"; 33]);
        assert!(matches!(refused(&many), FormatError::Item { .. }));
        let long = format!(r#"{{"must_understand":["{}"]}}"#, "ü".repeat(1000));
        assert!(refused(&long).to_string().len() < 200);
    }
}
