//! Resolves deployments and machines from what the user typed. Short forms must be unambiguous.

use crate::{
    api_client::ApiClient,
    output::{Failure, WithContext as _},
};
use banyan_proto::{
    DeploymentId, MachineId,
    admin::{DeploymentStatus, Machine},
};

/// The minimum length of an id prefix.
const MIN_PREFIX_DIGITS: usize = 4;
/// The length of a complete id.
const ID_DIGITS: usize = 32;

/// A deployment as typed: its id, a prefix of it, or `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeploymentSelector {
    /// The complete id.
    Id(DeploymentId),
    /// A prefix of the id.
    Prefix(String),
    /// The most recently started deployment.
    Latest,
}

impl std::str::FromStr for DeploymentSelector {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let text = text.to_ascii_lowercase();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if text.len() > ID_DIGITS && text.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(format!("not a valid deployment id: it has {} digits, and an id has {ID_DIGITS}", text.len()));
        }
        if (MIN_PREFIX_DIGITS..ID_DIGITS).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit()) {
            Ok(Self::Prefix(text))
        } else {
            Err(format!(
                "not a valid deployment id: use its first {MIN_PREFIX_DIGITS} or more digits, or `latest`; `banyan status` lists all ids"
            ))
        }
    }
}

/// Finds the deployment that the user typed.
pub(super) async fn resolve_deployment(
    client: &ApiClient,
    selector: &DeploymentSelector,
    action: impl Fn() -> String,
) -> Result<DeploymentId, Failure> {
    let found = match selector {
        DeploymentSelector::Id(id) => Ok(*id),
        // The server knows their numbers. Its clock may have been wrong in between.
        DeploymentSelector::Latest => client
            .newest_deployment()
            .await
            .with_context(&action)?
            .ok_or_else(|| "there are no deployments yet".to_owned()),
        DeploymentSelector::Prefix(start) => find_deployment(&client.deployments().await.with_context(&action)?, start),
    };
    found.map_err(|wrong| Failure::new(action(), wrong, "list all deployments and their ids with `banyan status`"))
}

/// Finds the one deployment whose id starts with these digits.
fn find_deployment(all: &[DeploymentStatus], start: &str) -> Result<DeploymentId, String> {
    let mut found = all.iter().map(|deployment| deployment.id).filter(|id| id.to_string().starts_with(start));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(format!("no deployment's id starts with {start}")),
        (Some(_), Some(_)) => Err(format!("several deployments' ids start with {start}")),
    }
}

/// Finds a machine by its id, a prefix of it, or its name. Among several machines with one name, the one that is not
/// revoked wins, because a computer that enrols again keeps its label; and the one whose name an administrator gave,
/// because others can report any label.
pub(super) fn resolve_machine(all: &[Machine], typed: &str) -> Result<MachineId, String> {
    let of_label = |machine: &&Machine| machine.label == typed;
    let is_given = |machine: &Machine| machine.reported_label.is_some() && !machine.revoked;
    let some_given = all.iter().filter(of_label).any(is_given);
    let all_revoked = all.iter().filter(of_label).all(|machine| machine.revoked);
    let labelled = all.iter().filter(of_label).filter(|machine| all_revoked || !machine.revoked);
    let labelled = labelled.filter(|machine| !some_given || is_given(machine));
    let started =
        all.iter().filter(|machine| typed.len() >= MIN_PREFIX_DIGITS && machine.id.to_string().starts_with(typed));
    let mut found: Vec<MachineId> = labelled.chain(started).map(|machine| machine.id).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(format!("no machine has the name {typed:?} or an id that starts with it")),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(format!("several machines match {typed:?}: {}", ids.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{commands::test_machine::machine, deployment_tree::fixture::status};

    fn deployments() -> Vec<DeploymentStatus> {
        let with = |first: [u8; 2], last| {
            let mut one = status(&[]);
            one.id.0[..2].copy_from_slice(&first);
            one.id.0[15] = last;
            one
        };
        vec![with([1, 2], 1), with([1, 3], 2), with([1, 3], 3)]
    }

    #[test]
    fn deployments_are_found_by_short_forms_that_fit_one_only() {
        let all = deployments();
        assert_eq!("0102".parse(), Ok(DeploymentSelector::Prefix("0102".into())));
        assert_eq!("latest".parse(), Ok(DeploymentSelector::Latest));
        assert_eq!(find_deployment(&all, "0102"), Ok(all[0].id));
        assert!(find_deployment(&all, "0103").unwrap_err().contains("several"));
        assert!(find_deployment(&all, "0104").unwrap_err().contains("no deployment"));
        for bad in ["", "01", "hello", &"0".repeat(33)] {
            assert!(bad.parse::<DeploymentSelector>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn machines_are_found_by_label_or_id_and_never_guessed() {
        let all = [machine(1, "desk"), machine(2, "lab"), machine(3, "lab")];
        assert_eq!(resolve_machine(&all, "desk"), Ok(all[0].id));
        assert_eq!(resolve_machine(&all, "0202"), Ok(all[1].id));
        assert!(resolve_machine(&all, "lab").unwrap_err().contains("several"));
        let replaced = [Machine { revoked: true, ..machine(1, "desk") }, machine(2, "desk")];
        assert_eq!(resolve_machine(&replaced, "desk"), Ok(replaced[1].id));
        assert_eq!(resolve_machine(&replaced[..1], "desk"), Ok(replaced[0].id));
        let named = [machine(1, "till"), Machine { reported_label: Some("pc".into()), ..machine(2, "till") }];
        assert_eq!(resolve_machine(&named, "till"), Ok(named[1].id));
        assert!(
            resolve_machine(&all, "des").is_err()
                && resolve_machine(&all, "02").is_err()
                && resolve_machine(&all, "").is_err()
        );
    }
}
