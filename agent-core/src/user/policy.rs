//! The administrator's policy for this machine: the newest one that the server has signed, stored before it takes
//! effect.

use crate::database::StateError;
use crate::user::People;
use banyan_proto::schedule::Policy;
use std::sync::{Arc, PoisonError};

impl People {
    /// Returns the administrator's policy.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }
    /// Stores a verified policy and applies it. An older one changes nothing.
    pub(crate) fn take_policy(&self, policy: Policy) -> Result<(), StateError> {
        let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
        if policy.number <= current.number {
            return Ok(());
        }
        self.state.keep("policy", &policy)?;
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
    use crate::database::State;
    use std::path::PathBuf;

    #[test]
    fn the_newest_policy_holds_and_is_kept_and_none_before_it_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State::open(&folder.path().join("agent.redb")).unwrap());
        let people = People::open(Arc::clone(&state), PathBuf::new()).unwrap();
        assert_eq!(*people.policy(), Policy::default());
        let policy = |number, upload| Policy { number, upload: Some(upload), ..Policy::default() };
        for (number, upload) in [(3, 30), (2, 20), (3, 31)] {
            people.take_policy(policy(number, upload)).unwrap();
            assert_eq!(*people.policy(), policy(3, 30));
        }
        assert_eq!(*People::open(state, PathBuf::new()).unwrap().policy(), policy(3, 30));
    }
}
