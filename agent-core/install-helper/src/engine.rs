//! The state machine of an install. Each step can be the last one before the machine loses power.
//!
//! ```text
//! Recover ─▶ Detect ─▶ CheckSpace ─▶ Stage ─▶ Inspect ─▶ WriteIntent ─▶ Apply… ─▶ Probe ─▶ CleanUp ─▶ Finished
//!    │          └ installed already: ─▶ Finished               │          │                    (Installed)
//!    └ journal: ─▶ Probe / Apply / Undo                        └──────────┴─▶ RecordFailure ─▶ Undo… ─▶ Finished
//!                                                                                                      (Failed)
//! ```
//!
//! `WriteIntent` writes the journal before the first change outside the install helper's own folder. `RecordFailure`
//! adds the reason why the release must be undone, so that a failed release is not tried again after a crash. The
//! journal is cleared last.
//!
//! A publisher's program can end the install helper. So the journal counts the beginnings of `Apply`, `Probe` and `Undo`
//! (`interrupted_steps`). A step that began three times without an end is not run again: the release is undone, and an
//! undo is given up.
//!
//! When the probe of an installed archive fails, its files may be damaged. It is then installed again beside itself.

use crate::{
    command::{ExternalCommand, OutputLog},
    error::{InstallError, is_temporary},
    interrupted_steps::{MAX_BEGINNINGS, StepCounts, ended_while},
    methods::{
        install_method::{Inspection, InstallMethod, InstallStatus, StepResult},
        install_method_for, refuse_other_kind,
    },
    probe,
    protocol::{InstallJob, Outcome},
    storage::{
        files::remove_path,
        free_space::{self, FreeSpace, RoomNeed},
        journal::{self, BegunSteps, InstallIntent, Phase, UndoCause},
        layout::{HelperFolders, Layout},
        places, staging,
    },
    verification::{AdmittedJob, trust_record::TrustRecord},
};
use banyan_proto::{Reason, UnixSeconds, platform::platform};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// The state of an install. Each step takes one state and returns the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InstallState {
    /// Check for an unfinished earlier run.
    Recover,
    /// Check whether the release is already installed.
    Detect,
    /// Check for disk space for the artifact.
    CheckSpace,
    /// Copy and verify the artifact.
    Stage,
    /// Read the copy from end to end and plan the install.
    Inspect,
    /// Write the plan to the journal.
    WriteIntent(InstallIntent),
    /// Change the machine, step by step.
    Apply(InstallIntent, u8),
    /// Check that the new version works.
    Probe(InstallIntent),
    /// The probe passed: clean up.
    CleanUp(InstallIntent),
    /// The install or the probe failed: write to the journal why it must be undone.
    RecordFailure(InstallIntent, UndoCause),
    /// Restore everything, step by step. Without a cause the install was only interrupted and starts over afterwards.
    Undo(InstallIntent, Option<UndoCause>, u8),
    /// InstallResult.
    Finished(Outcome),
}

/// A running job. Holds the lock, which is released when the process dies.
pub(crate) struct InstallEngine<'a> {
    job: AdmittedJob,
    artifact: File,
    layout: Layout,
    disks: &'a dyn FreeSpace,
    /// The output of all programs.
    pub(crate) log: OutputLog,
    /// The lock that keeps other programs from changing the machine's packages, once it was needed.
    machine_lock: Option<File>,
    /// How often the steps of the install in the journal began.
    counts: StepCounts,
    /// Why the release is installed again although it is in place: its files do not work.
    repaired: Option<String>,
    _lock: File,
}

impl<'a> InstallEngine<'a> {
    /// Takes the lock and verifies the job. Saves what was learned from the job before anything else happens.
    ///
    /// # Errors
    /// When the job fails verification, or another install helper is running.
    pub(crate) fn open(
        folders: &HelperFolders,
        job: &InstallJob,
        artifact: File,
        now: UnixSeconds,
        disks: &'a dyn FreeSpace,
    ) -> Result<Self, InstallError> {
        let layout = Layout::open(folders)?;
        let record = layout.lock_record()?;
        let (job, learned) = TrustRecord::load(&layout)?.admit(job, &platform(), now)?;
        learned.save(&layout)?;
        let layout = layout.for_kind(job.release.spec.kind);
        // Taken while the record is locked, so that an older order cannot be admitted first and run last.
        let lane = layout.lock_lane()?;
        drop(record);
        Ok(Self::new(layout, lane, job, artifact, disks))
    }
    /// Starts with a job that was admitted under this lock.
    pub(crate) fn new(layout: Layout, lock: File, job: AdmittedJob, artifact: File, disks: &'a dyn FreeSpace) -> Self {
        Self {
            job,
            artifact,
            layout,
            disks,
            log: OutputLog::default(),
            machine_lock: None,
            counts: StepCounts::default(),
            repaired: None,
            _lock: lock,
        }
    }

    /// Runs all steps to the end.
    pub(crate) fn run(&mut self) -> Outcome {
        let mut state = InstallState::Recover;
        loop {
            match self.step(state) {
                InstallState::Finished(outcome) => return outcome,
                next => state = next,
            }
        }
    }

    /// Runs one step.
    pub(crate) fn step(&mut self, state: InstallState) -> InstallState {
        let next = self.require_place(&state).and_then(|()| match state {
            InstallState::Recover => self.recover(),
            InstallState::Detect => self.detect(),
            InstallState::CheckSpace => self.check_space(),
            InstallState::Stage => self.stage(),
            InstallState::Inspect => self.inspect(),
            InstallState::WriteIntent(intent) => {
                journal::write(&self.layout, &intent, &Phase::Applying, self.counts.to_record())
                    .map(|()| InstallState::Apply(intent, 0))
            }
            InstallState::Apply(intent, step) => self.apply(intent, step),
            InstallState::Probe(intent) => self.probe(intent),
            InstallState::CleanUp(intent) => self.clean_up(&intent),
            InstallState::RecordFailure(intent, cause) => {
                let phase = Phase::Undoing { cause: cause.clone() };
                journal::write(&self.layout, &intent, &phase, self.counts.to_record())
                    .map(|()| InstallState::Undo(intent, Some(cause), 0))
            }
            InstallState::Undo(intent, cause, step) => self.undo(intent, cause, step),
            InstallState::Finished(_) => Ok(state),
        });
        // A place that went missing meanwhile explains every other error.
        let next = next.or_else(|error| places::require(&self.layout).and(Err(error)));
        // An error here means that nothing was changed, or that the journal could not be written. In the second case
        // the journal still contains the intent, and the next start resumes from there.
        next.unwrap_or_else(|error| {
            let changed = self.layout.journal().exists();
            if let Some(left) = self.counts.without_own()
                && let Err(error) = journal::set_begun(&self.layout, left)
            {
                self.log.append_line(&error.to_string());
            }
            InstallState::Finished(error.to_outcome(!changed))
        })
    }

    /// Verifies that the packages' place is there, before every step that depends on it.
    fn require_place(&self, state: &InstallState) -> Result<(), InstallError> {
        match state {
            // The new version works, or nothing more is done.
            InstallState::CleanUp(_) | InstallState::Finished(_) => Ok(()),
            InstallState::WriteIntent(intent)
            | InstallState::Apply(intent, _)
            | InstallState::Probe(intent)
            | InstallState::RecordFailure(intent, _)
            | InstallState::Undo(intent, ..) => places::require(&self.layout.with_root(&intent.install_root)),
            InstallState::Recover
            | InstallState::Detect
            | InstallState::CheckSpace
            | InstallState::Stage
            | InstallState::Inspect => places::require(&self.layout),
        }
    }

    fn method(&self) -> Result<Box<dyn InstallMethod>, InstallError> {
        install_method_for(self.job.release.spec.kind, &self.layout)
    }
    fn method_for(&self, intent: &InstallIntent) -> Result<Box<dyn InstallMethod>, InstallError> {
        install_method_for(intent.release.spec.kind, &self.layout.with_root(&intent.install_root))
    }

    fn recover(&mut self) -> Result<InstallState, InstallError> {
        let Some((intent, phase, begun)) = journal::read(&self.layout)? else {
            // Without a journal, no staged copy belongs to an install.
            self.layout.clear_staging()?;
            let remembered = journal::recorded_failure(&self.layout, self.job.order, self.job.attempt)?;
            return Ok(remembered.map_or(InstallState::Detect, InstallState::Finished));
        };
        self.counts = StepCounts::resume(begun);
        self.log.append_line(&format!(
            "found an unfinished install of {} {}",
            intent.release.package, intent.release.version
        ));
        let method = self.method_for(&intent)?;
        self.lock_machine(&*method)?;
        if let Phase::Undoing { cause } = phase {
            return Ok(InstallState::Undo(intent, Some(cause), 0));
        }
        Ok(match method.status(&intent)? {
            InstallStatus::Complete => InstallState::Probe(intent),
            InstallStatus::Resumable => InstallState::Apply(intent, 0),
            // Even if nothing was changed, the journal and the copy must be removed.
            InstallStatus::Untouched | InstallStatus::Partial => InstallState::Undo(intent, None, 0),
        })
    }

    /// Counts in the journal that a step begins. Returns `false` when it began too often without an end.
    fn begin(
        &mut self,
        intent: &InstallIntent,
        cause: Option<&UndoCause>,
        step: fn(&mut BegunSteps) -> &mut u8,
    ) -> Result<bool, InstallError> {
        if !self.counts.begin(step) {
            return Ok(false);
        }
        let phase = cause.map_or(Phase::Applying, |cause| Phase::Undoing { cause: cause.clone() });
        match journal::write(&self.layout, intent, &phase, self.counts.to_record()) {
            // An undo makes room on a full disk.
            Err(error) if is_temporary(error.reason()) => self.log.append_line(&error.to_string()),
            written => written?,
        }
        Ok(true)
    }

    fn lock_machine(&mut self, method: &dyn InstallMethod) -> Result<(), InstallError> {
        if self.machine_lock.is_none() {
            self.machine_lock = method.lock_machine()?;
        }
        Ok(())
    }

    fn detect(&mut self) -> Result<InstallState, InstallError> {
        let method = self.method()?;
        refuse_other_kind(&self.job.release, &self.layout)?;
        let folder = method.installed_folder(&self.job.release)?;
        let is_installed = match &self.job.release.spec.detect {
            None => method.is_installed(&self.job.release)?,
            Some(_) if method.has_other_content(&self.job.release)? => false,
            Some(command) => match probe::detect_folder(command, folder.as_deref(), self.layout.data()) {
                None => false,
                Some(place) => ExternalCommand::from_manifest(command, &place).run(&mut self.log)?.is_success(),
            },
        };
        if !is_installed {
            return Ok(InstallState::CheckSpace);
        }
        match self.probe_installed(folder.as_deref())? {
            Err(UndoCause { reason: Reason::ProbeFailed, detail }) if method.can_repair(&self.job.release)? => {
                self.log.append_line(&format!("the installed files do not work: {detail}; unpacking them again"));
                self.repaired = Some(detail);
                Ok(InstallState::CheckSpace)
            }
            probed => Ok(Self::finish_installed(probed)),
        }
    }

    /// Remembers where the packages are. The install succeeded, whether or not this does.
    fn record_place(&mut self, layout: &Layout) {
        if let Err(error) = places::record(layout) {
            self.log.append_line(&format!("the place of the packages was not recorded: {error}"));
        }
    }

    /// Runs the probe of a release that was installed before. Its beginnings are counted, too.
    fn probe_installed(&mut self, folder: Option<&Path>) -> Result<Result<(), UndoCause>, InstallError> {
        self.record_place(&self.layout.clone());
        let Some(_) = &self.job.release.spec.probe else { return Ok(Ok(())) };
        if !journal::begin_check(&self.layout, self.job.order, self.job.attempt, MAX_BEGINNINGS)? {
            return Ok(Err(UndoCause::probe(ended_while("the probe ran"))));
        }
        let folder = folder.unwrap_or(self.layout.data()).to_owned();
        let probed = probe::run(&self.job.release, &folder, &mut self.log);
        journal::end_check(&self.layout)?;
        Ok(probed)
    }

    /// Ends a job whose release was installed before.
    fn finish_installed(probed: Result<(), UndoCause>) -> InstallState {
        InstallState::Finished(match probed {
            Ok(()) => Outcome::Installed { already: true, remark: None },
            Err(UndoCause { reason, detail }) if is_temporary(reason) => Outcome::Waits { reason, detail },
            Err(UndoCause { reason, detail: why }) => Outcome::Failed {
                reason,
                detail: format!("the release was already installed but does not work: {why}; nothing was changed"),
                restored: true,
            },
        })
    }

    fn check_space(&self) -> Result<InstallState, InstallError> {
        let of = |folder: &Path, bytes, files| [RoomNeed { folder: folder.to_owned(), bytes, files }];
        let copy = of(self.layout.data(), self.job.release.size, free_space::OWN_FILES);
        free_space::require_all(self.disks, &copy, "the install helper's copy of the artifact")?;
        let unpacked = of(&self.method()?.target_folder(), self.job.release.spec.needs_bytes, 0);
        free_space::require_all(self.disks, &unpacked, "the release")?;
        probe::check_place(&self.job.release, &self.method()?.target_folder())?;
        Ok(InstallState::Stage)
    }

    fn staged_path(&self) -> PathBuf {
        self.layout.staged_artifact(self.job.order, self.job.release.spec.kind)
    }

    fn stage(&mut self) -> Result<InstallState, InstallError> {
        let to = self.staged_path();
        staging::copy_verified(&self.artifact, &to, self.job.release.size, self.job.release.artifact)?;
        if self.method()?.needs_copy_after_crash() {
            staging::sync(&to)?;
        }
        Ok(InstallState::Inspect)
    }

    fn inspect(&mut self) -> Result<InstallState, InstallError> {
        let (staged, method) = (self.staged_path(), self.method()?);
        let inspected = self
            .lock_machine(&*method)
            .and_then(|()| method.inspect(&self.job, &self.job.release, &staged, &mut self.log))
            .and_then(|inspected| match inspected {
                Inspection::InPlace => Ok(None),
                Inspection::Planned(plan, mut needs) => {
                    let (folder, bytes) = (method.target_folder(), self.job.release.spec.needs_bytes);
                    needs.push(RoomNeed { folder, bytes, files: 0 });
                    free_space::require_all(self.disks, &needs, "the unpacked release").map(|()| Some(plan))
                }
            });
        match inspected {
            Err(error) => self.layout.clear_staging().and(Err(error)),
            Ok(None) => {
                remove_path(&staged)?;
                let folder = method.installed_folder(&self.job.release)?;
                let probed = self.probe_installed(folder.as_deref())?;
                Ok(Self::finish_installed(probed))
            }
            Ok(Some(plan)) => Ok(InstallState::WriteIntent(InstallIntent {
                order: self.job.order,
                attempt: self.job.attempt,
                install_root: self.layout.root().to_owned(),
                staged,
                release: self.job.release.clone(),
                plan: *plan,
            })),
        }
    }

    fn apply(&mut self, intent: InstallIntent, step: u8) -> Result<InstallState, InstallError> {
        let method = self.method_for(&intent)?;
        if step == 0 && !self.begin(&intent, None, |begun| &mut begun.apply)? {
            let detail = ended_while("it installed the release");
            return Ok(InstallState::RecordFailure(intent, UndoCause { reason: Reason::InstallFailed, detail }));
        }
        let error = match method.apply(&intent, step, &mut self.log) {
            Ok(StepResult::More) => return Ok(InstallState::Apply(intent, step + 1)),
            Ok(StepResult::Done) => return Ok(InstallState::Probe(intent)),
            Err(error) => error,
        };
        if error.reason() == Reason::PackageManagerBusy {
            // dpkg did not begin. A half-finished earlier run stays in the journal until the lock is free.
            if method.status(&intent)? == InstallStatus::Untouched {
                journal::clear(&self.layout)?;
                self.layout.clear_staging()?;
            }
            return Err(error);
        }
        let cause = UndoCause { reason: error.reason(), detail: error.to_string() };
        Ok(InstallState::RecordFailure(intent, cause))
    }

    fn probe(&mut self, intent: InstallIntent) -> Result<InstallState, InstallError> {
        let method = self.method_for(&intent)?;
        if !self.begin(&intent, None, |begun| &mut begun.probe)? {
            return Ok(InstallState::RecordFailure(intent, UndoCause::probe(ended_while("the probe ran"))));
        }
        let probed = match method.status(&intent)? {
            InstallStatus::Complete => probe::run(&intent.release, &method.release_folder(&intent)?, &mut self.log),
            _ => Err(UndoCause::probe("the release is no longer in place".into())),
        };
        Ok(match probed {
            Ok(()) => InstallState::CleanUp(intent),
            Err(UndoCause { reason, detail }) if self.repaired.is_some() && self.is_of_this_job(&intent) => {
                let detail = format!("{detail}, also after the release was unpacked again");
                InstallState::RecordFailure(intent, UndoCause { reason, detail })
            }
            Err(cause) => InstallState::RecordFailure(intent, cause),
        })
    }

    fn clean_up(&mut self, intent: &InstallIntent) -> Result<InstallState, InstallError> {
        // The new version works. A failed clean-up does not change that.
        let method = self.method_for(intent)?;
        let mut remark = method.remark(intent).unwrap_or_else(|error| Some(error.to_string()));
        if let Some(why) = self.repaired.take_if(|_| self.job.order == intent.order) {
            remark = Some(format!("the installed files did not work ({why}), so they were unpacked again"));
        }
        if let Err(error) = method.clean_up(intent) {
            self.log.append_line(&format!("clean-up failed: {error}"));
        }
        self.record_place(&self.layout.with_root(&intent.install_root));
        self.finish(intent, Outcome::Installed { already: false, remark })
    }

    fn undo(
        &mut self,
        intent: InstallIntent,
        cause: Option<UndoCause>,
        step: u8,
    ) -> Result<InstallState, InstallError> {
        let why = cause.as_ref().map_or("the install was interrupted", |cause| cause.detail.as_str()).to_owned();
        let method = self.method_for(&intent)?;
        if step == 0 && !self.begin(&intent, cause.as_ref(), |begun| &mut begun.undo)? {
            return self.give_up_undo(&intent, &why);
        }
        let undone = self.lock_machine(&*method).and_then(|()| method.undo(&intent, step, &mut self.log));
        let error = match undone {
            Ok(StepResult::More) => return Ok(InstallState::Undo(intent, cause, step + 1)),
            Ok(StepResult::Done) => {
                return match cause {
                    None => {
                        journal::clear(&self.layout)?;
                        self.layout.clear_staging()?;
                        // This job begins again, and what it began before counts.
                        if self.is_of_this_job(&intent) {
                            self.counts.end_undo();
                        } else {
                            self.counts = StepCounts::default();
                        }
                        Ok(InstallState::Detect)
                    }
                    Some(UndoCause { reason, detail }) if is_temporary(reason) => {
                        self.finish(&intent, Outcome::Waits { reason, detail })
                    }
                    Some(UndoCause { reason, detail }) => {
                        let detail = format!("{detail}; {}", method.describe_restored(&intent));
                        self.finish(&intent, Outcome::Failed { reason, detail, restored: true })
                    }
                };
            }
            Err(error) => error,
        };
        if is_temporary(error.reason()) {
            return Err(error);
        }
        let detail = format!("{why}; restoring failed: {error}");
        self.finish(&intent, Outcome::Failed { reason: Reason::UndoFailed, detail, restored: false })
    }

    /// Ends an install whose undo ended the install helper too often. What is installed then stays as it is.
    fn give_up_undo(&mut self, intent: &InstallIntent, why: &str) -> Result<InstallState, InstallError> {
        let aside = journal::set_aside(&self.layout)?;
        let detail = format!(
            "{why}; restoring failed: {}; what it was to restore is in {}",
            ended_while("it restored the machine"),
            aside.display()
        );
        self.finish(intent, Outcome::Failed { reason: Reason::UndoFailed, detail, restored: false })
    }

    fn is_of_this_job(&self, intent: &InstallIntent) -> bool {
        (intent.order, intent.attempt) == (self.job.order, self.job.attempt)
    }

    /// Finishes the install in the journal. If it was another job's, this job starts now.
    fn finish(&mut self, intent: &InstallIntent, outcome: Outcome) -> Result<InstallState, InstallError> {
        if matches!(outcome, Outcome::Failed { .. }) {
            journal::record_failure(&self.layout, intent, &outcome)?;
        }
        self.layout.clear_staging()?;
        journal::clear(&self.layout)?;
        self.counts = StepCounts::default();
        if self.is_of_this_job(intent) {
            return Ok(InstallState::Finished(outcome));
        }
        self.log.append_line(&format!("the unfinished install ended: {outcome}"));
        Ok(InstallState::Detect)
    }
}
