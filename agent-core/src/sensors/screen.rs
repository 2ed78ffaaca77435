//! Desktop programs' reports whether a program fills the screen. Only a program in the user's session can see this, so
//! it reports it over the local API. The report counts while its connection lives and its user's session is in front.
//! It can do little harm: it only delays installs for a while.

use super::reading::Reading;
use crate::change_notifier::ChangeNotifier;
use banyan_local_api::{Caller, Sessions};
use banyan_proto::local::Mode;
use banyan_schedule::Moment;
use banyan_wire::lock::lock;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

/// The reports of all desktop programs.
#[derive(Debug)]
pub(crate) struct ScreenReports {
    table: Mutex<ReportTable>,
    /// Whose reports count; until it is set, none do.
    audience: OnceLock<Audience>,
    notifier: Arc<ChangeNotifier>,
}

/// The mode and sessions that decide whose reports count.
#[derive(Debug)]
struct Audience {
    mode: Mode,
    sessions: Sessions,
}

#[derive(Debug, Default)]
struct ReportTable {
    last_number: u64,
    reports: BTreeMap<u64, ScreenReport>,
}

#[derive(Debug)]
struct ScreenReport {
    caller: Caller,
    full_screen: Reading<bool>,
}

/// Keeps one report: it counts until this is dropped.
struct ReportGuard {
    reports: Arc<ScreenReports>,
    number: u64,
}

impl Drop for ReportGuard {
    fn drop(&mut self) {
        lock(&self.reports.table).reports.remove(&self.number);
        self.reports.notifier.notify_scheduler();
    }
}

impl ScreenReports {
    /// Creates an empty collection.
    pub(crate) fn new(notifier: Arc<ChangeNotifier>) -> Self {
        Self { table: Mutex::default(), audience: OnceLock::new(), notifier }
    }
    /// Sets whose reports count.
    pub(crate) fn set_audience(&self, mode: Mode, sessions: Sessions) {
        drop(self.audience.set(Audience { mode, sessions }));
    }
    /// Returns the result of the reports that count: full screen if any user in front reports it.
    pub(super) fn reading(&self) -> Option<Reading<bool>> {
        let table = lock(&self.table);
        let counted = table.reports.values().filter(|report| self.counts(report.caller));
        counted.map(|report| report.full_screen).max_by_key(|reading| (reading.value, reading.at.mono))
    }
    fn counts(&self, caller: Caller) -> bool {
        match self.audience.get() {
            // A personal agent answers only its own user.
            Some(Audience { mode: Mode::User, .. }) => true,
            Some(Audience { mode: Mode::System, sessions }) => caller.user.is_some_and(|user| sessions.is_active(user)),
            None => false,
        }
    }
    /// Stores a desktop program's report; `None` means that it cannot tell. It counts until the returned value is
    /// dropped.
    pub(crate) fn add(
        self: &Arc<Self>,
        caller: Caller,
        full_screen: Option<bool>,
        now: Moment,
    ) -> Box<dyn Send + Sync> {
        let Some(value) = full_screen else { return Box::new(()) };
        let number = {
            let mut table = lock(&self.table);
            table.last_number += 1;
            let number = table.last_number;
            table.reports.insert(number, ScreenReport { caller, full_screen: Reading::reported(value, now) });
            number
        };
        self.notifier.notify_scheduler();
        Box::new(ReportGuard { reports: Arc::clone(self), number })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use banyan_proto::UnixSeconds;
    use std::{fs, path::Path, time::Duration};

    fn reports(folder: &Path, mode: Mode) -> Arc<ScreenReports> {
        let reports = Arc::new(ScreenReports::new(Arc::default()));
        reports.set_audience(mode, Sessions::in_folder(&folder.join("sessions")));
        reports
    }

    fn session(folder: &Path, user: u32, active: u8) {
        fs::create_dir_all(folder.join("sessions")).unwrap();
        let text = format!("UID={user}\nACTIVE={active}\nSTATE=online\nREMOTE=0\nCLASS=user\n");
        fs::write(folder.join(format!("sessions/{user}")), text).unwrap();
    }

    fn add(reports: &Arc<ScreenReports>, user: u32, full_screen: Option<bool>) -> Box<dyn Send + Sync> {
        let now = Moment { wall: UnixSeconds::now(), mono: Duration::ZERO };
        reports.add(Caller { user: Some(user) }, full_screen, now)
    }

    fn seen(reports: &ScreenReports) -> Option<bool> {
        reports.reading().map(|reading| reading.value)
    }

    #[test]
    fn a_report_counts_as_long_as_it_is_kept_and_its_user_is_in_front() {
        let folder = tempfile::tempdir().unwrap();
        let reports = reports(folder.path(), Mode::System);
        let (mia, tom) = (1000, 1001);
        session(folder.path(), mia, 1);
        session(folder.path(), tom, 0);
        let mias = add(&reports, mia, Some(false));
        let toms = add(&reports, tom, Some(true));
        assert_eq!(seen(&reports), Some(false), "a session that is not in front does not count");
        session(folder.path(), mia, 0);
        session(folder.path(), tom, 1);
        assert_eq!(seen(&reports), Some(true), "the other user's session is now in front");
        drop(toms);
        assert_eq!(seen(&reports), None);
        session(folder.path(), mia, 1);
        assert_eq!(seen(&reports), Some(false));
        // A second program of the same user detects more than the first.
        let more = add(&reports, mia, Some(true));
        assert_eq!(seen(&reports), Some(true));
        drop(add(&reports, mia, None));
        drop(more);
        assert_eq!(seen(&reports), Some(false));
        drop(mias);
        assert_eq!(seen(&reports), None);
    }

    #[test]
    fn at_a_personal_agent_its_users_reports_count() {
        let folder = tempfile::tempdir().unwrap();
        let reports = reports(folder.path(), Mode::User);
        let _report = add(&reports, 1000, Some(true));
        assert_eq!(seen(&reports), Some(true));
    }
}
