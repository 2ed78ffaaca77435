//! Short texts that people paste or that stand in documents: join codes, ids, codes, keys, chunk hashes, profiles.

use super::{Verdict, ensure};
use banyan_proto::{
    DeploymentId, Digest, MachineId, RollingCode, admin::Profile, join::JoinCode, manifest::ChunkHashes,
    signed::PublicKey,
};
use std::{fmt::Display, str::FromStr};

/// Reads the text as each of them.
pub(super) fn check(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
    let ids = one_form::<MachineId>(text)? | one_form::<DeploymentId>(text)? | one_form::<Digest>(text)?;
    let strings = string::<RollingCode>(text)? | string::<PublicKey>(text)? | string::<ChunkHashes>(text)?;
    let mut parsed = ids | strings;
    if let Ok(code) = text.parse::<JoinCode>() {
        parsed = true;
        ensure(code.to_string().parse() == Ok(code), "a join code written and read again is another one")?;
    }
    if let Ok(profile) = toml::from_str::<Profile>(text) {
        parsed = true;
        let written = toml::to_string(&profile).map_err(|error| format!("a profile cannot be written: {error}"))?;
        ensure(toml::from_str(&written) == Ok(profile), "a profile written and read again is another one")?;
    }
    Ok(parsed)
}

/// An id has one text form only: two texts for one thing would be two entries in a table.
fn one_form<T: FromStr + Display>(text: &str) -> Verdict {
    let Ok(id) = text.parse::<T>() else { return Ok(false) };
    ensure(id.to_string() == text, "an id has a second text form").map(|()| true)
}

/// The same, for what only JSON documents hold.
fn string<T: TryFrom<String> + Into<String>>(text: &str) -> Verdict {
    let Ok(value) = T::try_from(text.to_owned()) else { return Ok(false) };
    let written: String = value.into();
    ensure(written == text, "a value has a second text form").map(|()| true)
}
