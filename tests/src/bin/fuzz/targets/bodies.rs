//! Bodies of the HTTP APIs: of machines and administrators at the server, and of the server's answers at theirs.

use super::Verdict;
use banyan_proto::{admin, api};
use serde::{Serialize, de::DeserializeOwned};

macro_rules! bodies {
    ($($body:ty),* $(,)?) => {
        /// Reads the body as each kind.
        pub(super) fn check(input: &[u8]) -> Verdict {
            let mut parsed = serde_json::from_slice::<admin::Info>(input).is_ok();
            $(parsed |= stable::<$body>(input).map_err(|why| format!("{}: {why}", stringify!($body)))?;)*
            Ok(parsed)
        }
    };
}

// `admin::Info` is only read: it carries other people's JSON, and a fraction in it need not come back the same.
bodies! {
    api::EnrolRequest, api::EnrolReply, api::RenewRequest, api::RenewReply, api::CheckIn, api::CheckInReply, api::Help,
    api::ReceiptRequest, api::GoAheadRequest, Vec<api::Report>, api::ApiError, api::Roots, api::Catalogue, api::CatalogueRequest,
    admin::RegisterRoot, admin::CurrentTargets, admin::NewToken, admin::TokenCreated, admin::Publish,
    admin::ReplaceTargets, admin::Replaced, admin::ReleaseManifest,
    Vec<admin::Release>, Vec<admin::Machine>, admin::Deploy, admin::Deployed, admin::DeploymentStatus,
}

/// Written, read and written again it is the same text. (Not every body can be compared itself.)
fn stable<T: Serialize + DeserializeOwned>(input: &[u8]) -> Verdict {
    let Ok(value) = serde_json::from_slice::<T>(input) else { return Ok(false) };
    let text = |value: &T| serde_json::to_string(value).map_err(|error| format!("cannot be written: {error}"));
    let first = text(&value)?;
    let again =
        serde_json::from_str::<T>(&first).map_err(|error| format!("what was written cannot be read: {error}"))?;
    if text(&again)? == first { Ok(true) } else { Err("written and read again it is another value".into()) }
}
