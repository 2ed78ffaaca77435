//! The steps of an install, in order, each of which can be the last one before the machine loses power.
//!
//! ```text
//! Recover ─▶ Detect ─▶ Room ─▶ Stage ─▶ Inspect ─▶ Intend ─▶ Apply… ─▶ Probe ─▶ Settle ─▶ Ended(Installed)
//!    │          └ there: ─▶ Ended(Installed already)          │          │
//!    └ journal: ─▶ Probe / Apply / Undo                       └──────────┴─▶ Condemn ─▶ Undo… ─▶ Ended(Failed)
//! ```
//!
//! `Intend` writes the journal before the first change outside the installer's own folder; `Condemn` writes into it that
//! the release is taken back, so that a failed one is not tried again after a crash. The journal is cleared last.

use super::{
    check::AdmittedJob,
    command::{Line, Talk},
    job::{Job, Outcome, Release, outcome_of},
    journal::{self, Intent, Phase, Verdict},
    layout::{Folders, Layout, remove},
    method::{Found, Method, Progress, method},
    record::Record,
    room::{self, FreeSpace},
    staging,
    trouble::{Trouble, passes},
};
use crate::identity::platform;
use banyan_proto::{Reason, UnixSeconds, manifest::CommandSpec};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Where an install stands. Each step takes one and gives the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// Look what an earlier run left.
    Recover,
    /// Is the release there already?
    Detect,
    /// Is there room for the artifact?
    Room,
    /// Copy and check the artifact.
    Stage,
    /// Read it from end to end and plan.
    Inspect,
    /// Write the plan down.
    Intend(Intent),
    /// Change the machine, step by step.
    Apply(Intent, u8),
    /// Does the new version run?
    Probe(Intent),
    /// It does.
    Settle(Intent),
    /// It does not: write that down.
    Condemn(Intent, Verdict),
    /// Put everything back, step by step. Without a verdict it was only interrupted, and begins anew afterwards.
    Undo(Intent, Option<Verdict>, u8),
    /// Over.
    Ended(Outcome),
}

/// One job being carried out. Holds the lock; dying lets it go.
pub(super) struct Engine<'a> {
    job: AdmittedJob,
    artifact: File,
    layout: Layout,
    disks: &'a dyn FreeSpace,
    /// What programs printed.
    pub(super) talk: Talk,
    _lock: File,
}

impl<'a> Engine<'a> {
    /// Takes the lock and checks the job; what was learned from it is on the disk before anything else happens.
    ///
    /// # Errors
    /// When the job is not to be believed, or another installer is working.
    pub(super) fn open(
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
    /// With a job that was admitted under this lock.
    pub(super) fn begin(
        layout: Layout,
        lock: File,
        job: AdmittedJob,
        artifact: File,
        disks: &'a dyn FreeSpace,
    ) -> Self {
        Self { job, artifact, layout, disks, talk: Talk::default(), _lock: lock }
    }

    /// All steps to the end.
    pub(super) fn run(&mut self) -> Outcome {
        let mut state = State::Recover;
        loop {
            match self.step(state) {
                State::Ended(outcome) => return outcome,
                next => state = next,
            }
        }
    }

    /// One step.
    pub(super) fn step(&mut self, state: State) -> State {
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
        // Whatever arrives here went wrong where nothing had been changed, or could not be written down: in the second
        // case the journal still holds the intent, and the next start goes on from there.
        next.unwrap_or_else(|trouble| {
            let changed = self.layout.journal().exists();
            State::Ended(outcome_of(&trouble, !changed))
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
            // No journal: no copy is anybody's any more.
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
            // Nothing to undo, but the journal and the copy are to be cleared.
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
                detail: format!("it was there already and does not run: {why}"),
                restored: true,
            },
        }))
    }

    fn room(&self) -> Result<State, Trouble> {
        room::check(self.disks, self.layout.data(), self.job.release.size, "the installer's copy of the artifact")?;
        room::check(self.disks, &self.method().target(), self.job.release.spec.needs_bytes, "the release")?;
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
            room::check(self.disks, &method.target(), bytes, "the unpacked release").map(|()| inspected)
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
            // dpkg did not begin. What an earlier run left half done stays in the journal until the lock is free.
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
            _ => Err("it is not in place any more".into()),
        };
        Ok(match asked {
            Ok(()) => State::Settle(intent),
            Err(detail) => State::Condemn(intent, Verdict { reason: Reason::ProbeFailed, detail }),
        })
    }

    /// Whether the probe passes; without one, being in place is all that is known. `Err` says in words why not.
    fn ask_probe(&mut self, release: &Release, folder: &Path) -> Result<(), String> {
        let Some(probe) = &release.spec.probe else { return Ok(()) };
        match Line::publishers(probe, folder).run(&mut self.talk) {
            Ok(ran) if ran.succeeded() => Ok(()),
            Ok(ran) => Err(format!("the probe {}", ran.words())),
            Err(trouble) => Err(format!("the probe could not be started: {trouble}")),
        }
    }

    fn settle(&mut self, intent: &Intent) -> Result<State, Trouble> {
        // The new version runs; that a file could not be tidied away does not change it.
        if let Err(trouble) = self.method_for(intent).settle(intent) {
            self.talk.line(&format!("tidying up: {trouble}"));
        }
        self.conclude(intent, Outcome::Installed { already: false })
    }

    fn undo(&mut self, intent: Intent, verdict: Option<Verdict>, step: u8) -> Result<State, Trouble> {
        let why = verdict.as_ref().map_or("it was interrupted", |verdict| verdict.detail.as_str()).to_owned();
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
        let detail = format!("{why}; going back: {trouble}");
        self.conclude(&intent, Outcome::Failed { reason: Reason::UndoFailed, detail, restored: false })
    }

    /// The install that the journal is about has ended. If it is another job's, this one's turn has come.
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

/// Where a detect command runs: in the release's folder; elsewhere when it does not name that folder. Not at all when it
/// names a folder that is not there.
fn place_for(command: &CommandSpec, folder: Option<&Path>, elsewhere: &Path) -> Option<PathBuf> {
    let named = command.argv.iter().any(|word| word.contains("{dir}"));
    match folder {
        Some(folder) => Some(folder.to_owned()),
        None if named => None,
        None => Some(elsewhere.to_owned()),
    }
}
