//! The users at this machine: their preferences, their wishes about updates, the history shown to them, the
//! administrator's policy that bounds what they may choose, and the amounts transferred. Everything a user chooses is
//! stored in the database before it takes effect.

pub(crate) mod history;
pub(crate) mod installed_versions;
pub(crate) mod order_notes;
pub(crate) mod policy;
pub(crate) mod preferences;
mod upload_quota;

use crate::{
    change_notifier::ChangeNotifier,
    database::{Database, DatabaseError},
    local_zone::LocalZone,
};
use banyan_proto::{
    UnixSeconds,
    local::{Later, When},
};
use banyan_schedule::{tomorrow, upload_quota::QuotaRefusal};
use history::History;
use installed_versions::InstalledVersions;
use policy::AdminPolicy;
use preferences::Preferences;
use std::sync::Arc;
use upload_quota::UploadQuota;

/// Settings, history and usage of the users at this machine.
pub(crate) struct User {
    /// The time zone of this machine's clock.
    pub(crate) zone: Arc<LocalZone>,
    /// The administrator's policy.
    pub(crate) policy: Arc<AdminPolicy>,
    /// What a user has chosen.
    pub(crate) preferences: Preferences,
    /// What has happened to each order.
    pub(crate) history: History,
    /// What Banyan has installed.
    pub(crate) installed: InstalledVersions,
    /// Usage history and upload quota.
    pub(crate) upload_quota: Arc<UploadQuota>,
    notifier: Arc<ChangeNotifier>,
}

impl User {
    /// Loads the records of earlier runs.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub(crate) fn open(database: &Arc<Database>, notifier: Arc<ChangeNotifier>) -> Result<Self, DatabaseError> {
        let zone = Arc::new(LocalZone::of_system());
        let policy = Arc::new(AdminPolicy::open(Arc::clone(database), Arc::clone(&notifier))?);
        Ok(Self {
            preferences: Preferences::open(Arc::clone(database), Arc::clone(&policy), Arc::clone(&notifier))?,
            policy,
            history: History::open(Arc::clone(database), Arc::clone(&notifier))?,
            installed: InstalledVersions::open(Arc::clone(database))?,
            upload_quota: Arc::new(UploadQuota::open(Arc::clone(database), Arc::clone(&zone))?),
            zone,
            notifier,
        })
    }
    /// Returns the daily upload quota (bytes), if there is one.
    pub(crate) fn daily_quota(&self) -> Option<u64> {
        banyan_schedule::effective_quota(self.preferences.choice().as_ref(), &self.policy.current())
    }
    /// Returns whether a chunk may be forwarded now, and counts it if so. `to_receive` is what this machine still has
    /// to receive (bytes).
    pub(crate) async fn may_upload(&self, bytes: u64, to_receive: u64) -> bool {
        loop {
            match self.upload_quota.take(bytes, self.daily_quota(), to_receive) {
                Ok(()) => return true,
                Err(QuotaRefusal::WriteFirst) => {
                    let quota = Arc::clone(&self.upload_quota);
                    match tokio::task::spawn_blocking(move || quota.store_ahead()).await {
                        Ok(Ok(())) => {}
                        // Forward nothing that might escape the quota after a crash.
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "failed to store the usage history; forwarding refused");
                            return false;
                        }
                        Err(_) => return false,
                    }
                }
                Err(QuotaRefusal::Quota) => {
                    self.notifier.notify_scheduler();
                    return false;
                }
            }
        }
    }
    /// Returns the times before `until` to which an install may be postponed: in an hour, tonight, or 06:00 tomorrow.
    pub(crate) fn postponements(&self, until: Option<UnixSeconds>) -> Vec<Later> {
        // Round to the minute, so that the offered times stay the same between two snapshots.
        let now = UnixSeconds(UnixSeconds::now().0 / 60 * 60);
        let zone = self.zone.current();
        let night = self.preferences.choice().map_or(self.policy.current().night, |choice| choice.night);
        let all = [
            (When::InAnHour, now.plus(3600)),
            (When::Tonight, banyan_schedule::tonight(now, &zone, night)),
            (When::Tomorrow, tomorrow(now, &zone)),
        ];
        let fits = |at: UnixSeconds| at > now && until.is_none_or(|until| at < until);
        all.into_iter().filter(|(_, at)| fits(*at)).map(|(when, at)| Later { when, at }).collect()
    }
}
