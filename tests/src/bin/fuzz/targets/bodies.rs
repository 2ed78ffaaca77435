//! Fuzz target: bodies of the HTTP APIs, both requests of machines and administrators and the server's answers.

use super::Verdict;
use banyan_proto::{admin, api};
use serde::{Serialize, de::DeserializeOwned};

macro_rules! bodies {
    ($($body:ty),* $(,)?) => {
        /// Parses the body as each kind.
        pub(super) fn check(input: &[u8]) -> Verdict {
            let mut parsed = serde_json::from_slice::<admin::Info>(input).is_ok();
            $(parsed |= stable::<$body>(input).map_err(|why| format!("{}: {why}", stringify!($body)))?;)*
            Ok(parsed)
        }
    };
}

// `admin::Info` is only read: it contains foreign JSON, whose fractions need not round-trip exactly.
bodies! {
    api::EnrolRequest, api::EnrolReply, api::RenewRequest, api::RenewReply, api::CheckIn, api::CheckInReply, api::Help,
    api::ReceiptRequest, api::InstallPermitRequest, Vec<api::Report>, api::ApiError, api::Roots, api::Catalogue, api::CatalogueRequest,
    admin::RegisterRoot, admin::CurrentTargets, admin::NewToken, admin::TokenCreated, admin::Publish,
    admin::ReplaceTargets, admin::Replaced, admin::ReleaseManifest,
    Vec<admin::Release>, Vec<admin::Machine>, admin::Deploy, admin::Deployed, admin::DeploymentStatus,
}

/// Verifies that parsing and writing twice gives the same text. (Not every body type can be compared directly.)
fn stable<T: Serialize + DeserializeOwned>(input: &[u8]) -> Verdict {
    let Ok(value) = serde_json::from_slice::<T>(input) else { return Ok(false) };
    let text = |value: &T| serde_json::to_string(value).map_err(|error| format!("cannot be serialised: {error}"));
    let first = text(&value)?;
    let again =
        serde_json::from_str::<T>(&first).map_err(|error| format!("the serialised body cannot be parsed: {error}"))?;
    if text(&again)? == first { Ok(true) } else { Err("the value changes in a round trip".into()) }
}
