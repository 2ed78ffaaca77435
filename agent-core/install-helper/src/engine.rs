//! The state machine of an install. Each step can be the last one before the machine loses power.
//!
//! ```text
//! Recover ─▶ Detect ─▶ Room ─▶ Stage ─▶ Inspect ─▶ Intend ─▶ Apply… ─▶ Probe ─▶ Settle ─▶ Ended(Installed)
//!    │          └ there: ─▶ Ended(Installed already)          │          │
//!    └ journal: ─▶ Probe / Apply / Undo                       └──────────┴─▶ Condemn ─▶ Undo… ─▶ Ended(Failed)
//! ```
//!
//! `Intend` writes the journal before the first change outside the installer's own folder. `Condemn` adds the verdict
//! that the release must be undone, so that a failed release is not tried again after a crash. The journal is cleared
//! last.

use crate::{
    command::{Line, Talk},
    error::{Trouble, passes},
    methods::{
        install_method::{Found, Method, Progress},
        method,
    },
    protocol::{Job, Outcome},
    release::Release,
    storage::{
        free_space::{self, FreeSpace},
        journal::{self, Intent, Phase, Verdict},
        layout::{Folders, Layout, remove},
        staging,
    },
    verification::{AdmittedJob, trust_record::Record},
};
use banyan_proto::{Reason, UnixSeconds, manifest::CommandSpec, platform::platform};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// The state of an install. Each step takes one state and returns the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Check for an unfinished earlier run.
    Recover,
    /// Check whether the release is already installed.
    Detect,
    /// Check for disk space for the artifact.
    Room,
    /// Copy and verify the artifact.
    Stage,
    /// Read the copy from end to end and plan the install.
    Inspect,
    /// Write the plan to the journal.
    Intend(Intent),
    /// Change the machine, step by step.
    Apply(Intent, u8),
    /// Check that the new version works.
    Probe(Intent),
    /// The probe passed: clean up.
    Settle(Intent),
    /// The probe failed: write the verdict to the journal.
    Condemn(Intent, Verdict),
    /// Restore everything, step by step. Without a verdict the install was only interrupted and starts over afterwards.
    Undo(Intent, Option<Verdict>, u8),
    /// Finished.
    Ended(Outcome),
}

/// A running job. Holds the lock, which is released when the process dies.
pub(crate) struct Engine<'a> {
    job: AdmittedJob,
    artifact: File,
    layout: Layout,
    disks: &'a dyn FreeSpace,
    /// The output of all programs.
    pub(crate) talk: Talk,
    _lock: File,
}

impl<'a> Engine<'a> {
    /// Takes the lock and verifies the job. Saves what was learned from the job before anything else happens.
    ///
    /// # Errors
    /// When the job fails verification, or another installer is running.
    pub(crate) fn open(
        folders: &Folders,
        job: &Job,
        artifact: File,
        now: UnixSeconds,
        disks: &'a dyn FreeSpace,
    ) -> Result<Self, Trouble> {
        let layout = Layout::open(folders)?;
        let lock = layout.exclusively()?;
        let (job, learned) = Record::load(&layout)?.admit(job, &platform(), now)?;
        learned.save(&layout)?;
        Ok(Self::begin(layout, lock, job, artifact, disks))
    }
    /// Starts with a job that was admitted under this lock.
    pub(crate) fn begin(
        layout: Layout,
        lock: File,
        job: AdmittedJob,
        artifact: File,
        disks: &'a dyn FreeSpace,
    ) -> Self {
        Self { job, artifact, layout, disks, talk: Talk::default(), _lock: lock }
    }

    /// Runs all steps to the end.
    pub(crate) fn run(&mut self) -> Outcome {
        let mut state = State::Recover;
        loop {
            match self.step(state) {
                State::Ended(outcome) => return outcome,
                next => state = next,
            }
        }
    }

    /// Runs one step.
    pub(crate) fn step(&mut self, state: State) -> State {
        let next = match state {
            State::Recover => self.recover(),
            State::Detect => self.detect(),
            State::Room => self.room(),
            State::Stage => self.stage(),
            State::Inspect => self.inspect(),
            State::Intend(intent) => {
                journal::write(&self.layout, &intent, &Phase::Applying).map(|()| State::Apply(intent, 0))
            }
            State::Apply(intent, step) => self.apply(intent, step),
            State::Probe(intent) => self.probe(intent),
            State::Settle(intent) => self.settle(&intent),
            State::Condemn(intent, verdict) => {
                let phase = Phase::Undoing { verdict: verdict.clone() };
                journal::write(&self.layout, &intent, &phase).map(|()| State::Undo(intent, Some(verdict), 0))
            }
            State::Undo(intent, verdict, step) => self.undo(intent, verdict, step),
            State::Ended(_) => Ok(state),
        };
        // An error here means that nothing was changed, or that the journal could not be written. In the second case
        // the journal still contains the intent, and the next start resumes from there.
        next.unwrap_or_else(|trouble| {
            let changed = self.layout.journal().exists();
            State::Ended(trouble.to_outcome(!changed))
        })
    }

    fn method(&self) -> Box<dyn Method> {
        method(self.job.release.spec.kind, &self.layout)
    }
    fn method_for(&self, intent: &Intent) -> Box<dyn Method> {
        method(intent.release.spec.kind, &self.layout.with_root(&intent.install_root))
    }

    fn recover(&mut self) -> Result<State, Trouble> {
        let Some((intent, phase)) = journal::read(&self.layout)? else {
            // Without a journal, no staged copy belongs to an install.
            self.layout.clear_staging()?;
            let remembered = journal::remembered(&self.layout, self.job.order, self.job.attempt)?;
            return Ok(remembered.map_or(State::Detect, State::Ended));
        };
        self.talk
            .line(&format!("found an unfinished install of {} {}", intent.release.package, intent.release.version));
        if let Phase::Undoing { verdict } = phase {
            return Ok(State::Undo(intent, Some(verdict), 0));
        }
        Ok(match self.method_for(&intent).found(&intent)? {
            Found::Complete => State::Probe(intent),
            Found::Resumable => State::Apply(intent, 0),
            // Even if nothing was changed, the journal and the copy must be removed.
            Found::Untouched | Found::Half => State::Undo(intent, None, 0),
        })
    }

    fn detect(&mut self) -> Result<State, Trouble> {
        let method = self.method();
        let folder = method.folder_of(&self.job.release)?;
        let there = match &self.job.release.spec.detect {
            None => method.is_there(&self.job.release)?,
            Some(command) => match place_for(command, folder.as_deref(), self.layout.data()) {
                None => false,
                Some(place) => Line::publishers(command, &place).run(&mut self.talk)?.succeeded(),
            },
        };
        if !there {
            return Ok(State::Room);
        }
        let folder = folder.unwrap_or_else(|| self.layout.data().to_owned());
        let release = self.job.release.clone();
        Ok(State::Ended(match self.ask_probe(&release, &folder) {
            Ok(()) => Outcome::Installed { already: true },
            Err(why) => Outcome::Failed {
                reason: Reason::ProbeFailed,
                detail: format!("the release was already installed but does not work: {why}"),
                restored: true,
            },
        }))
    }

    fn room(&self) -> Result<State, Trouble> {
        free_space::check(
            self.disks,
            self.layout.data(),
            self.job.release.size,
            "the installer's copy of the artifact",
        )?;
        free_space::check(self.disks, &self.method().target(), self.job.release.spec.needs_bytes, "the release")?;
        Ok(State::Stage)
    }

    fn staged(&self) -> PathBuf {
        self.layout.staged(self.job.order, self.job.release.spec.kind)
    }

    fn stage(&mut self) -> Result<State, Trouble> {
        let to = self.staged();
        staging::copy_checked(&self.artifact, &to, self.job.release.size, self.job.release.artifact)?;
        Ok(State::Inspect)
    }

    fn inspect(&mut self) -> Result<State, Trouble> {
        let (staged, method) = (self.staged(), self.method());
        let inspected = method.inspect(&self.job, &self.job.release, &staged, &mut self.talk).and_then(|inspected| {
            let bytes = inspected.bytes.saturating_add(self.job.release.spec.needs_bytes);
            free_space::check(self.disks, &method.target(), bytes, "the unpacked release").map(|()| inspected)
        });
        match inspected {
            Err(trouble) => remove(&staged).and(Err(trouble)),
            Ok(inspected) => Ok(State::Intend(Intent {
                order: self.job.order,
                attempt: self.job.attempt,
                install_root: self.layout.root().to_owned(),
                staged,
                release: self.job.release.clone(),
                plan: inspected.plan,
            })),
        }
    }

    fn apply(&mut self, intent: Intent, step: u8) -> Result<State, Trouble> {
        let method = self.method_for(&intent);
        let trouble = match method.apply(&intent, step, &mut self.talk) {
            Ok(Progress::More) => return Ok(State::Apply(intent, step + 1)),
            Ok(Progress::Done) => return Ok(State::Probe(intent)),
            Err(trouble) => trouble,
        };
        if trouble.reason() == Reason::PackageManagerBusy {
            // dpkg did not begin. A half-finished earlier run stays in the journal until the lock is free.
            if method.found(&intent)? == Found::Untouched {
                journal::clear(&self.layout)?;
                remove(&intent.staged)?;
            }
            return Err(trouble);
        }
        let verdict = Verdict { reason: trouble.reason(), detail: trouble.to_string() };
        Ok(State::Condemn(intent, verdict))
    }

    fn probe(&mut self, intent: Intent) -> Result<State, Trouble> {
        let method = self.method_for(&intent);
        let asked = match method.found(&intent)? {
            Found::Complete => self.ask_probe(&intent.release, &method.folder(&intent)?),
            _ => Err("the release is no longer in place".into()),
        };
        Ok(match asked {
            Ok(()) => State::Settle(intent),
            Err(detail) => State::Condemn(intent, Verdict { reason: Reason::ProbeFailed, detail }),
        })
    }

    /// Runs the probe; without one, being in place is enough. `Err` explains why it failed.
    fn ask_probe(&mut self, release: &Release, folder: &Path) -> Result<(), String> {
        let Some(probe) = &release.spec.probe else { return Ok(()) };
        match Line::publishers(probe, folder).run(&mut self.talk) {
            Ok(ran) if ran.succeeded() => Ok(()),
            Ok(ran) => Err(format!("the probe {}", ran.words())),
            Err(trouble) => Err(format!("the probe could not be started: {trouble}")),
        }
    }

    fn settle(&mut self, intent: &Intent) -> Result<State, Trouble> {
        // The new version works. A failed clean-up does not change that.
        if let Err(trouble) = self.method_for(intent).settle(intent) {
            self.talk.line(&format!("clean-up failed: {trouble}"));
        }
        self.conclude(intent, Outcome::Installed { already: false })
    }

    fn undo(&mut self, intent: Intent, verdict: Option<Verdict>, step: u8) -> Result<State, Trouble> {
        let why = verdict.as_ref().map_or("the install was interrupted", |verdict| verdict.detail.as_str()).to_owned();
        let trouble = match self.method_for(&intent).undo(&intent, step, &mut self.talk) {
            Ok(Progress::More) => return Ok(State::Undo(intent, verdict, step + 1)),
            Ok(Progress::Done) => {
                return match verdict {
                    None => {
                        journal::clear(&self.layout)?;
                        remove(&intent.staged)?;
                        Ok(State::Detect)
                    }
                    Some(Verdict { reason, detail }) if passes(reason) => {
                        self.conclude(&intent, Outcome::Waits { reason, detail })
                    }
                    Some(Verdict { reason, detail }) => {
                        self.conclude(&intent, Outcome::Failed { reason, detail, restored: true })
                    }
                };
            }
            Err(trouble) => trouble,
        };
        if passes(trouble.reason()) {
            return Err(trouble);
        }
        let detail = format!("{why}; restoring failed: {trouble}");
        self.conclude(&intent, Outcome::Failed { reason: Reason::UndoFailed, detail, restored: false })
    }

    /// Finishes the install in the journal. If it was another job's, this job starts now.
    fn conclude(&mut self, intent: &Intent, outcome: Outcome) -> Result<State, Trouble> {
        if matches!(outcome, Outcome::Failed { .. }) {
            journal::remember(&self.layout, intent, &outcome)?;
        }
        remove(&intent.staged)?;
        journal::clear(&self.layout)?;
        if (intent.order, intent.attempt) == (self.job.order, self.job.attempt) {
            return Ok(State::Ended(outcome));
        }
        self.talk.line(&format!("the unfinished install ended: {outcome:?}"));
        Ok(State::Detect)
    }
}

/// Returns the folder in which a detect command runs: the release's folder, or `elsewhere` when the command does not
/// name it. Returns `None` when the command names a folder that does not exist.
fn place_for(command: &CommandSpec, folder: Option<&Path>, elsewhere: &Path) -> Option<PathBuf> {
    let named = command.argv.iter().any(|word| word.contains("{dir}"));
    match folder {
        Some(folder) => Some(folder.to_owned()),
        None if named => None,
        None => Some(elsewhere.to_owned()),
    }
}
