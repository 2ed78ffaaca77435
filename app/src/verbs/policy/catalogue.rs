//! `banyan policy set --catalogue`: what is offered for self-service, without writing a file for it.
//!
//! The catalogue is a part of the policy and has no verb of its own: what holds for a machine stands in one text, which
//! `banyan policy show` shows. So all else of the policy is read, and set again with it.

use super::{connect, of};
use crate::{
    failure::{Failure, Tried as _},
    output::say,
    profile::ProfileArg,
};
use banyan_proto::schedule::Policy;
use std::collections::BTreeSet;

/// The word that offers nothing.
const NONE: &str = "none";

/// The names as they were given, each once.
pub(super) fn named(given: &[String]) -> Vec<String> {
    let names: BTreeSet<&str> = given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    if names.iter().eq([&NONE]) { Vec::new() } else { names.into_iter().map(str::to_owned).collect() }
}

/// The policy that holds now.
pub(super) async fn present(group: Option<&str>, profile: &ProfileArg) -> Result<Policy, Failure> {
    let tried = || format!("read the policy for {}, to change what it offers", of(group));
    let policies = connect(profile, tried)?.policies().await.tried(tried)?;
    let found = policies.iter().find(|one| one.group.as_deref() == group);
    if let Some(group) = group.filter(|_| found.is_none_or(|one| !one.own)) {
        say(&format!(
            "the group {group} gets a policy of its own by this, the same as the one for all machines but for the catalogue: \
             what is changed for all machines from now on does not hold there"
        ));
    }
    let all = || policies.iter().find(|one| one.group.is_none());
    Ok(found.or_else(all).map(|one| one.policy.clone()).unwrap_or_default())
}

/// Says which of the names nothing has been published of: a slip of the pen looks like that.
pub(super) async fn mention_unpublished(policy: &Policy, profile: &ProfileArg) -> Result<(), Failure> {
    let names = &policy.catalogue.packages;
    if names.is_empty() {
        return Ok(());
    }
    let tried = || "look which of these packages are published".to_owned();
    let releases = connect(profile, tried)?.releases().await.tried(tried)?;
    let unknown: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !releases.iter().any(|one| one.package == *name)).collect();
    if !unknown.is_empty() {
        say(&format!("nothing is published yet of: {}; it is offered as soon as something is", unknown.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_people_write_them() {
        for (given, names) in [
            (&["drawing", " maths-tools"][..], &["drawing", "maths-tools"][..]),
            (&["b", "a", "b", ""], &["a", "b"]),
            (&["none"], &[]),
            // Beside another name it is a name.
            (&["none", "drawing"], &["drawing", "none"]),
        ] {
            let given: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(named(&given), names);
        }
    }
}
