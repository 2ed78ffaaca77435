//! The administrators' policies for the people at their machines. They are stored, cached in memory, and signed for a
//! machine whose version is older when it checks in.
//!
//! A group's own policy replaces the one for all machines as a whole, so that one text has everything that applies to a
//! machine. Of several groups with a policy, the one with the highest rank applies; of equal ranks, the one whose name
//! comes first. Numbers rise across all groups, a removed policy keeps its number, and a change of a machine's groups
//! that puts another policy in force takes a number, too. So for every machine, each change has a higher number than
//! the one before.

use crate::{
    identity::{enrolment::check_name, registry::Registry, secrets::Secrets},
    net::{peer_node::PeerNode, wake_ups::WakeUps},
    refusal::Refusal,
    store::{Assigned, PolicyChange, PolicyRow, Store, is_same_name},
};
use banyan_proto::{
    MachineId, Signed, UnixSeconds,
    admin::{GroupPolicy, SetPolicy},
    schedule::Policy,
};
use banyan_wire::node::NodeHandle;
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};
use tokio::sync::{Mutex, MutexGuard};
use tracing::info;

/// Policies by group. The entry `None` is the policy for all machines.
#[derive(Default)]
pub(crate) struct PolicyCache(RwLock<BTreeMap<Option<String>, PolicyRow>>);

impl PolicyCache {
    pub(crate) fn new(rows: Vec<PolicyRow>) -> Self {
        Self(RwLock::new(rows.into_iter().map(|row| (row.group.clone(), row)).collect()))
    }
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Option<String>, PolicyRow>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn insert(&self, row: PolicyRow) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(row.group.clone(), row);
    }
    /// Returns the row of a group, or of all machines. Where two differ in upper and lower case only, the exact one.
    fn row(&self, group: Option<&str>) -> Option<PolicyRow> {
        let rows = self.read();
        let same = |row: &&PolicyRow| match (&row.group, group) {
            (Some(own), Some(group)) => is_same_name(own, group),
            (own, group) => own.is_none() && group.is_none(),
        };
        rows.get(&group.map(str::to_owned)).or_else(|| rows.values().find(same)).cloned()
    }
    /// Returns the groups that have a policy of their own, and its rank.
    fn ranks(&self) -> BTreeMap<String, i32> {
        let rows = self.read();
        let own = rows.values().filter(|row| row.policy.is_some());
        own.filter_map(|row| Some((row.group.clone()?, row.rank))).collect()
    }
    /// Returns the row whose policy applies to a machine of these groups: of those with a policy, the one with the
    /// highest rank; of equal ranks, the group whose name comes first; without one, that for all machines.
    fn deciding(&self, groups: &[String]) -> Option<PolicyRow> {
        let own = groups.iter().filter_map(|group| self.row(Some(group))).filter(|row| row.policy.is_some());
        let order =
            |row: &PolicyRow| (Reverse(row.rank), row.group.as_deref().map(str::to_lowercase), row.group.clone());
        let first = own.min_by_key(order);
        first.or_else(|| self.row(None).filter(|row| row.policy.is_some()))
    }
    /// Returns the policy that applies to a machine of these groups, which changed last at `changed`.
    fn of(&self, groups: &[String], changed: PolicyChange) -> Policy {
        let rows = groups.iter().map(|group| Some(group.as_str())).chain([None]).filter_map(|group| self.row(group));
        let changes = rows.map(|row| PolicyChange { number: row.number, at: row.at }).chain([changed]);
        let newest = changes.max_by_key(|change| change.number).unwrap_or_default();
        Policy {
            number: newest.number,
            issued: newest.at,
            ..self.deciding(groups).and_then(|row| row.policy).unwrap_or_default()
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
    /// Held while a change puts other policies in force.
    pub(crate) changing: Mutex<()>,
}

impl GroupPolicies {
    /// Returns the policy that applies to a machine.
    pub(crate) fn of(&self, machine: &Assigned) -> Policy {
        self.cache.of(&machine.groups, machine.policy)
    }
    /// Returns whether the policy of a machine lets it forward.
    pub(crate) fn lets_forward(&self, machine: &Assigned) -> bool {
        let policy = self.of(machine);
        policy.forward && policy.upload != Some(0) && policy.daily_upload != Some(0)
    }
    /// Returns the signed policy for a machine, if it is newer than the one the machine has.
    pub(crate) fn newer_than(&self, machine: &Assigned, known: Option<u64>) -> Option<Signed<Policy>> {
        let policy = self.of(machine);
        // An agent that does not report a policy number does not support policies.
        (policy.number > known?).then(|| self.secrets.orders.sign(&policy))
    }
    /// Waits until no other change puts policies in force. None does while the guard lives.
    pub(crate) async fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }
    /// Returns whether another policy applies to a machine when its groups change like this.
    pub(crate) fn differ(&self, before: &[String], after: &[String]) -> bool {
        let deciding = |groups| self.cache.deciding(groups).and_then(|row| row.group);
        deciding(before) != deciding(after)
    }
    /// Returns the groups that have a policy of their own, and its rank.
    pub(crate) fn ranks(&self) -> BTreeMap<String, i32> {
        self.cache.ranks()
    }
    /// Tells these machines that another policy may apply to them.
    pub(crate) fn announce(&self, machines: impl IntoIterator<Item = MachineId>) {
        machines.into_iter().for_each(|machine| self.wake_ups.wake(machine));
        self.node.get().into_iter().for_each(NodeHandle::update_effort);
    }
    /// Sets or removes a policy. Every connected machine is told at once.
    pub(crate) async fn set(&self, request: &SetPolicy) -> Result<(), Refusal> {
        if let Some(group) = &request.group {
            check_name("group", group)?;
        }
        if let Some(policy) = &request.policy {
            policy.check().map_err(Refusal::bad)?;
        }
        if request.group.is_none() && request.rank.is_some() {
            return Err(Refusal::bad(
                "the policy for all machines has no rank: it applies where no group of a machine has a policy",
            ));
        }
        let _changing = self.changing.lock().await;
        let present = self.cache.row(request.group.as_deref());
        // A policy that is set again later does not get the rank of one that was removed.
        let present_rank = present.as_ref().filter(|_| request.policy.is_some()).map(|row| row.rank);
        let rank = request.rank.or(present_rank).unwrap_or_default();
        // The spelling that is in use.
        let group = present.map_or_else(|| request.group.clone(), |row| row.group);
        let row = self.store.set_policy(group.as_deref(), request.policy.as_ref(), rank, UnixSeconds::now()).await?;
        let (group, number) = (group.as_deref().unwrap_or("all machines"), row.number);
        info!(group, number, rank, set = row.policy.is_some(), "policy changed");
        self.cache.insert(row);
        self.wake_ups.wake_all();
        self.node.get().into_iter().for_each(NodeHandle::update_effort);
        Ok(())
    }
    /// Returns the policies in force: for all machines, then for each group that has machines or its own policy.
    pub(crate) fn all(&self) -> Vec<GroupPolicy> {
        let machines: Vec<Vec<String>> = self
            .registry
            .all()
            .into_iter()
            .filter(|row| row.exclusion().is_none())
            .map(|row| row.assigned.groups)
            .collect();
        let mut applies = BTreeMap::<Option<String>, usize>::new();
        for groups in &machines {
            *applies.entry(self.cache.deciding(groups).and_then(|row| row.group)).or_default() += 1;
        }
        let mut members = BTreeMap::<Option<String>, usize>::from([(None, 0)]);
        for groups in &machines {
            match groups.as_slice() {
                [] => *members.entry(None).or_default() += 1,
                groups => groups.iter().for_each(|group| *members.entry(Some(group.clone())).or_default() += 1),
            }
        }
        let ranks = self.ranks();
        for group in ranks.keys() {
            if !members.keys().flatten().any(|known| is_same_name(known, group)) {
                members.insert(Some(group.clone()), 0);
            }
        }
        let entry = |(group, machines): (Option<String>, usize)| {
            let own = self.cache.row(group.as_deref()).filter(|row| row.policy.is_some());
            GroupPolicy {
                own: own.is_some(),
                version: None,
                rank: own.as_ref().map_or(0, |row| row.rank),
                applies_to: Some(match (&own, &group) {
                    (Some(row), _) => applies.get(&row.group).copied().unwrap_or_default(),
                    (None, None) => applies.get(&None).copied().unwrap_or_default(),
                    (None, Some(_)) => 0,
                }),
                policy: self.cache.of(group.as_slice(), PolicyChange::default()),
                machines,
                group,
            }
        };
        members.into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(group: Option<&str>, number: u64, upload: Option<u64>) -> PolicyRow {
        let policy = upload.map(|upload| Policy { upload: Some(upload), ..Policy::default() });
        PolicyRow { group: group.map(str::to_owned), number, at: UnixSeconds(number), policy, rank: 0 }
    }
    fn groups(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_groups_own_policy_goes_first_and_every_change_has_a_higher_number() {
        let cache = PolicyCache::default();
        let of = |names: &[&str]| {
            let policy = cache.of(&groups(names), PolicyChange::default());
            (policy.upload, policy.number)
        };
        assert_eq!((of(&[]), of(&["lab"])), ((None, 0), (None, 0)));
        cache.insert(row(None, 1, Some(10)));
        assert_eq!((of(&[]), of(&["lab"])), ((Some(10), 1), (Some(10), 1)));
        cache.insert(row(Some("lab"), 2, Some(20)));
        assert_eq!((of(&[]), of(&["lab"])), ((Some(10), 1), (Some(20), 2)));
        cache.insert(row(Some("lab"), 3, None));
        assert_eq!(of(&["lab"]), (Some(10), 3), "removed");
        cache.insert(row(None, 4, None));
        assert_eq!((of(&[]), of(&["lab"]), of(&["other"])), ((None, 4), (None, 4), (None, 4)));
    }

    #[test]
    fn of_several_groups_the_highest_rank_decides_and_then_the_name() {
        let cache = PolicyCache::default();
        cache.insert(row(None, 1, Some(1)));
        for (group, number, rank) in [("kiosk", 2, 0), ("lab", 3, 0), ("Servers", 4, 5), ("low", 5, -1)] {
            cache.insert(PolicyRow { rank, ..row(Some(group), number, Some(number)) });
        }
        let of = |names: &[&str]| cache.of(&groups(names), PolicyChange::default());
        for (names, upload) in [
            (&["lab", "kiosk"][..], 2),
            (&["kiosk", "lab", "servers"], 4),
            (&["low", "lab"], 3),
            (&["low", "none"], 5),
            (&["none"], 1),
            (&[], 1),
        ] {
            assert_eq!(of(names).upload, Some(upload), "{names:?}");
        }
        // The number is that of the newest change which could have decided.
        assert_eq!((of(&["low", "lab"]).number, of(&["kiosk"]).number), (5, 2));
        let moved = cache.of(&groups(&["kiosk"]), PolicyChange { number: 9, at: UnixSeconds(8) });
        assert_eq!((moved.number, moved.issued, moved.upload), (9, UnixSeconds(8), Some(2)));
        cache.insert(PolicyRow { rank: 7, ..row(Some("lab"), 6, None) });
        assert_eq!(of(&["lab", "kiosk"]).upload, Some(2), "a removed policy does not count");
    }
}
