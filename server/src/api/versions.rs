//! Versions of what administrators set, so that nobody overwrites what somebody else has changed meanwhile: lists say the
//! version of each object, and a request with `If-Match: "VERSION"` is refused if it is not the present one.

use crate::refusal::Refusal;
use axum::http::{HeaderMap, StatusCode, header::IF_MATCH};
use banyan_proto::{Digest, Reason};
use serde::Serialize;

/// The digits of a version.
const DIGITS: usize = 32;

/// Returns the version of a value: the beginning of its hash.
pub(super) fn version_of(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    Digest::of(&text).to_string().chars().take(DIGITS).collect()
}

/// Refuses a request that names another version than the present one. `object` is what is set now.
pub(super) fn check(headers: &HeaderMap, version: &str, object: &impl Serialize) -> Result<(), Refusal> {
    let Some(given) = headers.get(IF_MATCH) else { return Ok(()) };
    let given = given.to_str().unwrap_or_default();
    let is_present = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"') == version;
    if given.trim() == "*" || given.split(',').any(is_present) {
        return Ok(());
    }
    let detail = "somebody else has changed this since you read it; nothing was changed now";
    let refusal = Refusal::new(StatusCode::PRECONDITION_FAILED, Reason::ChangedMeanwhile, detail);
    Err(refusal.with_present(serde_json::to_value(object).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_present_version_is_accepted() {
        let version = version_of(&("lab", 7));
        assert_eq!((version.len(), version_of(&("lab", 8)) == version), (DIGITS, false));
        let checked = |given: &str| {
            let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_str(given).unwrap())]);
            check(&headers, &version, &7).map_err(|refusal| refusal.status)
        };
        assert_eq!(check(&HeaderMap::new(), &version, &7), Ok(()));
        for right in ["*".to_owned(), version.clone(), format!("\"{version}\""), format!("\"x\", \"{version}\"")] {
            assert_eq!(checked(&right), Ok(()), "{right}");
        }
        for wrong in ["", "\"\"", "x", "\"0\""] {
            assert_eq!(checked(wrong), Err(StatusCode::PRECONDITION_FAILED), "{wrong}");
        }
    }
}
