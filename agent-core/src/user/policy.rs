//! The administrator's policy for this machine: the newest one that the server has signed, stored before it takes
//! effect.

use crate::{
    change_notifier::ChangeNotifier,
    database::{Database, DatabaseError},
};
use banyan_proto::schedule::Policy;
use std::sync::{Arc, PoisonError, RwLock};

/// Database key of the policy.
const KEY: &str = "policy";

/// The policy in force.
pub(crate) struct AdminPolicy {
    database: Arc<Database>,
    current: RwLock<Arc<Policy>>,
    notifier: Arc<ChangeNotifier>,
}

impl AdminPolicy {
    /// Loads the policy that an earlier run has stored.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub(super) fn open(database: Arc<Database>, notifier: Arc<ChangeNotifier>) -> Result<Self, DatabaseError> {
        let policy: Policy = database.load(KEY)?.unwrap_or_default();
        Ok(Self { database, current: RwLock::new(Arc::new(policy)), notifier })
    }
    /// Returns the policy in force.
    pub(crate) fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Stores a verified policy and applies it. An older one changes nothing.
    ///
    /// # Errors
    /// When the database fails; the previous policy stays in force then.
    pub(crate) fn replace(&self, policy: Policy) -> Result<(), DatabaseError> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if policy.number <= current.number {
            return Ok(());
        }
        self.database.store(KEY, &policy)?;
        tracing::info!(number = policy.number, "administrator's policy changed");
        *current = Arc::new(policy);
        drop(current);
        self.notifier.notify_scheduler();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_policy_applies_after_a_restart_too_and_an_older_one_never_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("agent.redb")).unwrap());
        let open = || AdminPolicy::open(Arc::clone(&database), Arc::default()).unwrap();
        let in_force = open();
        assert_eq!(*in_force.current(), Policy::default());
        let policy = |number, upload| Policy { number, upload: Some(upload), ..Policy::default() };
        for (number, upload) in [(3, 30), (2, 20), (3, 31)] {
            in_force.replace(policy(number, upload)).unwrap();
            assert_eq!(*in_force.current(), policy(3, 30));
        }
        assert_eq!(*open().current(), policy(3, 30));
    }
}
