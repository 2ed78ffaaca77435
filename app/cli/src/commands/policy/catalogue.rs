//! `banyan policy set --catalogue`: changes the catalogue without a policy file.
//!
//! The catalogue is part of the policy, so that `banyan policy show` shows everything that applies to a machine in one
//! text. This module therefore reads the current policy, changes the catalogue in it, and the caller sets it again.

use crate::{
    commands::policy::{connect, scope_name},
    output::{Failure, WithContext as _, print_note},
    profile::ProfileArg,
};
use banyan_proto::schedule::Policy;
use std::collections::BTreeSet;

/// The word for an empty catalogue.
const NONE: &str = "none";

/// Returns the given names, sorted and without duplicates. The error is a clause.
pub(super) fn parse_names(given: &[String]) -> Result<Vec<String>, &'static str> {
    let names: BTreeSet<&str> = given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        // As from a variable of a script that is not set.
        return Err("the list of packages is empty");
    }
    Ok(if names.iter().eq([&NONE]) { Vec::new() } else { names.into_iter().map(str::to_owned).collect() })
}

/// Fetches the policy that currently applies, and the version of what is set for the group.
pub(super) async fn current_policy(
    group: Option<&str>,
    profile: &ProfileArg,
) -> Result<(Policy, Option<String>), Failure> {
    let action = || format!("read the policy for {}, to change a part of it", scope_name(group));
    let policies = connect(profile, action)?.policies().await.with_context(action)?;
    let found = policies.iter().find(|one| one.group.as_deref() == group);
    if let Some(group) = group.filter(|_| found.is_none_or(|one| !one.own)) {
        print_note(&format!(
            "the group {group} gets a policy of its own, a copy of the one for all machines with this change; \
             later changes to the policy for all machines do not apply to it"
        ));
    }
    let all = || policies.iter().find(|one| one.group.is_none());
    let version = found.and_then(|one| one.version.clone());
    Ok((found.or_else(all).map(|one| one.policy.clone()).unwrap_or_default(), version))
}

/// Warns about names of which nothing has been published, because they may be typing errors.
pub(super) async fn warn_of_unpublished(policy: &Policy, profile: &ProfileArg) -> Result<(), Failure> {
    let names = &policy.catalogue.packages;
    if names.is_empty() {
        return Ok(());
    }
    let action = || "check which of these packages are published".to_owned();
    let releases = connect(profile, action)?.releases().await.with_context(action)?;
    let unknown: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !releases.iter().any(|one| one.package == *name)).collect();
    if !unknown.is_empty() {
        print_note(&format!(
            "not published yet: {}; users can install it as soon as it is published",
            unknown.join(", ")
        ));
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
            // Combined with another name, `none` is a package name.
            (&["none", "drawing"], &["drawing", "none"]),
        ] {
            let given: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(parse_names(&given).unwrap(), names);
        }
        assert!(parse_names(&[String::new()]).is_err() && parse_names(&[" ".into(), String::new()]).is_err());
    }
}
