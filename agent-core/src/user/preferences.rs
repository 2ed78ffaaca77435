//! What a user has chosen: when and how fast this machine may transfer and install.

use crate::{
    change_notifier::ChangeNotifier,
    database::{Database, DatabaseError},
    user::policy::AdminPolicy,
};
use banyan_proto::{
    Reason, UnixSeconds,
    api::ApiError,
    local::{Overruled, PauseFor, Request},
    schedule::{Choice, Pause},
};
use banyan_schedule::check_choice;
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
    ApiError { reason: Reason::DiskFailed, detail: format!("nothing was changed: {error}") }
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

    /// Changes the choice, within the policy.
    fn choose(&self, change: impl FnOnce(&mut Choice)) -> Result<(), ApiError> {
        let policy = self.policy.current();
        let mut choice = lock(&self.choice);
        let mut chosen = choice.clone().unwrap_or_else(|| policy.defaults.clone());
        change(&mut chosen);
        check_choice(&chosen, &policy.bounds)
            .map_err(|error| ApiError { reason: Reason::NotAllowed, detail: error.to_string() })?;
        self.database.store(KEY, &Some(&chosen)).map_err(|error| not_stored(&error))?;
        *choice = Some(chosen);
        drop(choice);
        self.notifier.notify_scheduler();
        Ok(())
    }

    /// Carries out a request about the choice; refuses all others.
    pub(crate) fn carry_out(&self, request: Request) -> Result<(), ApiError> {
        let asked = UnixSeconds::now();
        match request {
            Request::SetWindow { window, night } => self.choose(|choice| {
                choice.window = window;
                choice.night = night.unwrap_or(choice.night);
            }),
            Request::SetInstallWindow { window } => self.choose(|choice| choice.install = window),
            Request::SetLimits { download, upload, daily_upload, forward, free_disk } => self.choose(|choice| {
                (choice.download, choice.upload, choice.daily_upload) = (download, upload, daily_upload);
                (choice.forward, choice.free_disk) = (forward, free_disk);
            }),
            Request::SetGiveWay { give_way } => self.choose(|choice| choice.give_way = give_way),
            Request::Pause { until } => self.choose(|choice| {
                choice.pause = Some(match until {
                    PauseFor::Seconds(seconds) => Pause::For { asked, seconds },
                    PauseFor::UntilTomorrow => Pause::UntilTomorrow { asked },
                    PauseFor::UntilResumed => Pause::UntilResumed { asked },
                });
            }),
            Request::Resume => self.choose(|choice| choice.pause = None),
            Request::Overrule { signal, on } => self.choose(|choice| {
                let over = &mut choice.overrule;
                match signal {
                    Overruled::Metered(network) if on => drop(over.metered.insert(network)),
                    Overruled::Metered(network) => drop(over.metered.remove(&network)),
                    Overruled::Battery => over.battery = on,
                    Overruled::FullScreen => over.full_screen = on,
                    Overruled::Processor => over.processor = on,
                    Overruled::Presence => over.presence = on,
                }
            }),
            Request::ForgetChoice => {
                let mut choice = lock(&self.choice);
                self.database.store(KEY, &None::<Choice>).map_err(|error| not_stored(&error))?;
                *choice = None;
                drop(choice);
                self.notifier.notify_scheduler();
                Ok(())
            }
            other @ (Request::Hello { .. }
            | Request::Status
            | Request::Subscribe
            | Request::Wish { .. }
            | Request::Report { .. }
            | Request::OpenPackage { .. }
            | Request::InstallPackage { .. }
            | Request::ForgetSigner { .. }
            | Request::Catalogue
            | Request::GetFromCatalogue { .. }
            | Request::Enrol { .. }) => {
                let detail = format!("this agent does not support the request {other:?}");
                Err(ApiError { reason: Reason::BadRequest, detail })
            }
        }
    }
}
