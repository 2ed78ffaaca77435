//! The administrators' policies for the people at their machines. They are stored, cached in memory, and signed for a
//! machine whose version is older when it checks in.
//!
//! A group's own policy replaces the one for all machines as a whole, so that one text has everything that applies to a
//! machine. Numbers rise across all groups, and a removed policy keeps its number. So for every machine, each change
//! has a higher number than the one before.

use crate::{
    identity::{enrolment::check_group, registry::Registry, secrets::Secrets},
    net::{peer_node::PeerNode, wake_ups::WakeUps},
    refusal::Refusal,
    store::{PolicyRow, Store},
};
use banyan_proto::{
    Signed, UnixSeconds,
    admin::{GroupPolicy, SetPolicy},
    schedule::Policy,
};
use banyan_wire::node::NodeHandle;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};
use tracing::info;

/// Policies by group. The entry `None` is the policy for all machines.
#[derive(Default)]
pub(crate) struct PolicyCache(RwLock<BTreeMap<Option<String>, PolicyRow>>);

impl PolicyCache {
    pub(crate) fn new(rows: Vec<PolicyRow>) -> Self {
        Self(RwLock::new(rows.into_iter().map(|row| (row.group.clone(), row)).collect()))
    }
    fn insert(&self, row: PolicyRow) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(row.group.clone(), row);
    }
    fn has_own(&self, group: Option<&str>) -> bool {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.get(&group.map(str::to_owned)).is_some_and(|row| row.policy.is_some())
    }
    fn groups(&self) -> BTreeSet<String> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter().filter(|(_, row)| row.policy.is_some()).filter_map(|(group, _)| group.clone()).collect()
    }
    /// Returns the policy that applies to the machines of a group.
    fn of(&self, group: Option<&str>) -> Policy {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (rows.get(&None), group.and_then(|group| rows.get(&Some(group.to_owned()))));
        let found = own.and_then(|row| row.policy.as_ref()).or_else(|| all.and_then(|row| row.policy.as_ref()));
        let newest = all.into_iter().chain(own).max_by_key(|row| row.number);
        Policy {
            number: newest.map_or(0, |row| row.number),
            issued: newest.map(|row| row.at).unwrap_or_default(),
            ..found.cloned().unwrap_or_default()
        }
    }
}

/// The policies: set by administrators, told to machines.
pub(crate) struct GroupPolicies {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) wake_ups: Arc<WakeUps>,
    pub(crate) node: PeerNode,
    pub(crate) cache: PolicyCache,
}

impl GroupPolicies {
    /// Returns the policy that applies to the machines of a group.
    pub(crate) fn of(&self, group: Option<&str>) -> Policy {
        self.cache.of(group)
    }
    /// Returns whether the policy of a group lets its machines forward.
    pub(crate) fn lets_forward(&self, group: Option<&str>) -> bool {
        let policy = self.of(group);
        policy.forward && policy.upload != Some(0) && policy.daily_upload != Some(0)
    }
    /// Returns the signed policy for a machine, if it is newer than the one the machine has.
    pub(crate) fn newer_than(&self, group: Option<&str>, known: Option<u64>) -> Option<Signed<Policy>> {
        let policy = self.of(group);
        // An agent that does not report a policy number does not support policies.
        (policy.number > known?).then(|| self.secrets.orders.sign(&policy))
    }
    /// Sets or removes a policy. Every connected machine is told at once.
    pub(crate) async fn set(&self, request: &SetPolicy) -> Result<(), Refusal> {
        if let Some(group) = &request.group {
            check_group(group)?;
        }
        if let Some(policy) = &request.policy {
            policy.check().map_err(Refusal::bad)?;
        }
        let row = self.store.set_policy(request.group.as_deref(), request.policy.as_ref(), UnixSeconds::now()).await?;
        let (group, number) = (request.group.as_deref().unwrap_or("all machines"), row.number);
        info!(group, number, set = row.policy.is_some(), "policy changed");
        self.cache.insert(row);
        self.wake_ups.wake_all();
        self.node.get().into_iter().for_each(NodeHandle::update_effort);
        Ok(())
    }
    /// Returns the policies in force: for all machines, then for each group that has machines or its own policy.
    pub(crate) fn all(&self) -> Vec<GroupPolicy> {
        let machines: Vec<Option<String>> =
            self.registry.all().into_iter().filter(|row| row.exclusion().is_none()).map(|row| row.group).collect();
        let mut groups: BTreeSet<Option<String>> = self.cache.groups().into_iter().map(Some).collect();
        groups.extend(machines.iter().cloned());
        groups.insert(None);
        let entry = |group: Option<String>| GroupPolicy {
            own: self.cache.has_own(group.as_deref()),
            policy: self.of(group.as_deref()),
            machines: machines.iter().filter(|of| **of == group).count(),
            group,
        };
        groups.into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(group: Option<&str>, number: u64, upload: Option<u64>) -> PolicyRow {
        let policy = upload.map(|upload| Policy { upload: Some(upload), ..Policy::default() });
        PolicyRow { group: group.map(str::to_owned), number, at: UnixSeconds(number), policy }
    }

    #[test]
    fn a_groups_own_policy_goes_first_and_every_change_has_a_higher_number() {
        let cache = PolicyCache::default();
        let of = |group: Option<&str>| (cache.of(group).upload, cache.of(group).number);
        assert_eq!((of(None), of(Some("lab"))), ((None, 0), (None, 0)));
        cache.insert(row(None, 1, Some(10)));
        assert_eq!((of(None), of(Some("lab"))), ((Some(10), 1), (Some(10), 1)));
        cache.insert(row(Some("lab"), 2, Some(20)));
        assert_eq!((of(None), of(Some("lab"))), ((Some(10), 1), (Some(20), 2)));
        cache.insert(row(Some("lab"), 3, None));
        assert_eq!(of(Some("lab")), (Some(10), 3), "removed");
        cache.insert(row(None, 4, None));
        assert_eq!((of(None), of(Some("lab")), of(Some("other"))), ((None, 4), (None, 4), (None, 4)));
    }
}
