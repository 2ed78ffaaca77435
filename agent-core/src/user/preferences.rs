//! What a user has chosen: when and how fast this machine may transfer and install.

use crate::{
    change_notifier::ChangeNotifier,
    database::{Database, DatabaseError},
    user::policy::AdminPolicy,
};
use banyan_proto::{UnixSeconds, api::ApiError, local::Request, schedule::Choice};
use banyan_schedule::apply_to_choice;
use banyan_wire::lock::lock;
use std::sync::{Arc, Mutex};

/// Database key of the choice.
const KEY: &str = "choice";

/// A user's choice, within the administrator's policy.
pub(crate) struct Preferences {
    database: Arc<Database>,
    policy: Arc<AdminPolicy>,
    choice: Mutex<Option<Choice>>,
    notifier: Arc<ChangeNotifier>,
}

pub(super) fn not_stored(error: &DatabaseError) -> ApiError {
    ApiError { reason: error.reason(), detail: format!("nothing was changed: {error}") }
}

impl Preferences {
    /// Loads the choice of an earlier run.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub(super) fn open(
        database: Arc<Database>,
        policy: Arc<AdminPolicy>,
        notifier: Arc<ChangeNotifier>,
    ) -> Result<Self, DatabaseError> {
        let mut choice: Option<Choice> = database.load(KEY)?;
        if let Some(chosen) = &mut choice
            && banyan_schedule::adjust_to_clock_step(chosen, UnixSeconds::now(), 0)
        {
            database.store(KEY, &choice)?;
        }
        Ok(Self { database, policy, choice: Mutex::new(choice), notifier })
    }
    /// Returns the user's choice; `None` until a user has chosen.
    pub(crate) fn choice(&self) -> Option<Choice> {
        lock(&self.choice).clone()
    }
    /// Adjusts the choice after the wall clock was stepped by this many seconds.
    pub(crate) fn adjust_to_clock_step(&self, by: i64) {
        let mut choice = lock(&self.choice);
        let Some(chosen) = choice.as_mut() else { return };
        if banyan_schedule::adjust_to_clock_step(chosen, UnixSeconds::now(), by)
            && let Err(error) = self.database.store(KEY, &*choice)
        {
            tracing::warn!(%error, "failed to store the adjusted choice after a clock step");
        }
    }

    /// Carries out a request about the choice; refuses all others.
    pub(crate) fn carry_out(&self, request: &Request) -> Result<(), ApiError> {
        let policy = self.policy.current();
        let mut choice = lock(&self.choice);
        let changed = apply_to_choice(request, choice.as_ref(), &policy, UnixSeconds::now())
            .map_err(|error| error.to_api_error())?;
        self.database.store(KEY, &changed).map_err(|error| not_stored(&error))?;
        *choice = changed;
        drop(choice);
        self.notifier.notify_scheduler();
        Ok(())
    }
}
