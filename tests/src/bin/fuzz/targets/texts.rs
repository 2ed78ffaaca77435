//! Fuzz target: short texts that people paste or that appear in documents: join codes, ids, codes, keys, chunk hashes,
//! profiles.

use super::{Verdict, ensure};
use banyan_proto::{
    Digest, MachineId, OrderId, RollingCode, admin::Profile, join::JoinCode, manifest::ChunkHashes, signed::PublicKey,
};
use std::{fmt::Display, str::FromStr};

/// Parses the text as each of them.
pub(super) fn check(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
    let ids = one_form::<MachineId>(text)? | one_form::<OrderId>(text)? | one_form::<Digest>(text)?;
    let strings = string::<RollingCode>(text)? | string::<PublicKey>(text)? | string::<ChunkHashes>(text)?;
    let mut parsed = ids | strings;
    if let Ok(code) = text.parse::<JoinCode>() {
        parsed = true;
        ensure(code.to_string().parse() == Ok(code), "a join code changes in a round trip")?;
    }
    if let Ok(profile) = toml::from_str::<Profile>(text) {
        parsed = true;
        let written = toml::to_string(&profile).map_err(|error| format!("a profile cannot be serialised: {error}"))?;
        ensure(toml::from_str(&written) == Ok(profile), "a profile changes in a round trip")?;
    }
    Ok(parsed)
}

/// Verifies that an id has only one text form: a second form would be a second entry in a table.
fn one_form<T: FromStr + Display>(text: &str) -> Verdict {
    let Ok(id) = text.parse::<T>() else { return Ok(false) };
    ensure(id.to_string() == text, "an id has a second text form").map(|()| true)
}

/// Does the same for values that occur only in JSON documents.
fn string<T: TryFrom<String> + Into<String>>(text: &str) -> Verdict {
    let Ok(value) = T::try_from(text.to_owned()) else { return Ok(false) };
    let written: String = value.into();
    ensure(written == text, "a value has a second text form").map(|()| true)
}
