//! The fuzz targets: one for each kind of untrusted bytes, with the invariants of whatever it accepts.

mod archives;
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

/// Whether an input was accepted, or the invariant that it breaks.
pub(crate) type Verdict = Result<bool, String>;
/// Runs one input.
pub(crate) type Check = Box<dyn Fn(&[u8]) -> Verdict>;

/// A fuzz target.
pub(crate) struct Target {
    /// The name of the target and of its corpus folder.
    pub(crate) name: &'static str,
    /// Creates the check from the corpus, which contains the valid documents for signed targets.
    pub(crate) prepare: fn(&[Seed]) -> Result<Check, String>,
}

/// All targets.
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
    Target { name: "archives", prepare: |_| Ok(Box::new(archives::check)) },
    Target { name: "bodies", prepare: |_| Ok(Box::new(bodies::check)) },
];

/// Returns `what` as a broken invariant unless the condition is true.
fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Parses the bytes as JSON and verifies that the value survives a round trip. Returns `None` for other bytes.
fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(input: &[u8]) -> Result<Option<T>, String> {
    let Ok(value) = serde_json::from_slice::<T>(input) else { return Ok(None) };
    let text = serde_json::to_vec(&value).map_err(|error| format!("was parsed but cannot be serialised: {error}"))?;
    let again: T =
        serde_json::from_slice(&text).map_err(|error| format!("the serialised value cannot be parsed: {error}"))?;
    ensure(again == value, "the value changes in a round trip")?;
    Ok(Some(value))
}
