//! The targets: one for each kind of foreign bytes, with what must be true of whatever it takes for valid.

mod bodies;
mod certificates;
mod frames;
mod lists;
mod manifests;
mod messages;
mod metadata;
mod packages;
mod signed;
mod texts;

use crate::corpus::Seed;
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// Whether an input was taken for valid; or the invariant that it breaks.
pub(crate) type Verdict = Result<bool, String>;
/// Runs one input.
pub(crate) type Check = Box<dyn Fn(&[u8]) -> Verdict>;

/// A target.
pub(crate) struct Target {
    /// Its name, and its corpus' folder.
    pub(crate) name: &'static str,
    /// Makes the check from the corpus, where targets with signatures have their truth.
    pub(crate) prepare: fn(&[Seed]) -> Result<Check, String>,
}

/// All of them.
pub(crate) const ALL: &[Target] = &[
    Target { name: "frames", prepare: |_| Ok(Box::new(frames::check)) },
    Target { name: "messages", prepare: |_| Ok(Box::new(messages::check)) },
    Target { name: "lists", prepare: lists::prepare },
    Target { name: "signed", prepare: signed::prepare },
    Target { name: "texts", prepare: |_| Ok(Box::new(texts::check)) },
    Target { name: "manifests", prepare: |_| Ok(Box::new(manifests::check)) },
    Target { name: "certificates", prepare: certificates::prepare },
    Target { name: "metadata", prepare: metadata::prepare },
    Target { name: "packages", prepare: packages::prepare },
    Target { name: "bodies", prepare: |_| Ok(Box::new(bodies::check)) },
];

/// A broken invariant unless `holds`.
fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// The value, if the bytes are its JSON; written and read again it must be the same.
fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Result<Option<T>, String> {
    let Ok(value) = serde_json::from_slice::<T>(input) else { return Ok(None) };
    let text = serde_json::to_vec(&value).map_err(|error| format!("was read but cannot be written: {error}"))?;
    let again: T =
        serde_json::from_slice(&text).map_err(|error| format!("what was written cannot be read: {error}"))?;
    ensure(again == value, "written and read again it is another value")?;
    Ok(Some(value))
}
