//! The administrator's policy for this machine: the newest one that the server has signed, stored before it takes
//! effect.

use crate::database::DatabaseError;
use crate::user::User;
use banyan_proto::schedule::Policy;
use std::sync::{Arc, PoisonError};

impl User {
    /// Returns the administrator's policy.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Stores a verified policy and applies it. An older one changes nothing.
    pub(crate) fn take_policy(&self, policy: Policy) -> Result<(), DatabaseError> {
        let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        if policy.number <= current.number {
            return Ok(());
        }
        self.database.store("policy", &policy)?;
        tracing::info!(number = policy.number, "administrator's policy changed");
        *current = Arc::new(policy);
        drop(current);
        self.replan();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;
    use std::path::PathBuf;

    #[test]
    fn the_newest_policy_holds_and_is_kept_and_none_before_it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("agent.redb")).unwrap());
        let user = User::open(Arc::clone(&database), PathBuf::new()).unwrap();
        assert_eq!(*user.policy(), Policy::default());
        let policy = |number, upload| Policy { number, upload: Some(upload), ..Policy::default() };
        for (number, upload) in [(3, 30), (2, 20), (3, 31)] {
            user.take_policy(policy(number, upload)).unwrap();
            assert_eq!(*user.policy(), policy(3, 30));
        }
        assert_eq!(*User::open(database, PathBuf::new()).unwrap().policy(), policy(3, 30));
    }
}
