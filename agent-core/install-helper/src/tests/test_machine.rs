//! The machine of one test: the install helper's folder, a root, generated packages, and all signers.

use crate::tests::signed_documents::{SignedDocuments, TestSigners};
use crate::{
    engine::{InstallEngine, InstallState},
    error::InstallError,
    protocol::{InstallJob, InstallResult, Outcome},
    storage::{
        free_space::FreeSpace,
        layout::{HelperFolders, Layout},
    },
    verification::trust_record,
};
use banyan_archive::fixture::Tar;
use banyan_proto::platform::platform;
use banyan_proto::{
    Artifact, Digest, Manifest, OrderId, Reason, UnixSeconds,
    format::Format as _,
    manifest::{ChunkHashes, CommandSpec, InstallSpec, Kind},
    order::Allowance,
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// A disk with this much free space (bytes).
pub(crate) struct FreeBytes(pub(super) u64);

impl FreeSpace for FreeBytes {
    fn free_bytes(&self, _at: &Path) -> io::Result<u64> {
        Ok(self.0)
    }
}

/// A disk that always reports enough space.
pub(crate) const UNLIMITED_SPACE: FreeBytes = FreeBytes(u64::MAX);

pub(crate) struct TestMachine {
    dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) signers: TestSigners,
}

impl TestMachine {
    /// Creates a machine with a root of its own, whose install helper has a trust record.
    pub(crate) fn new() -> Self {
        Self::before_enrolment().enrolled()
    }
    /// Gives the install helper a trust record.
    pub(crate) fn enrolled(self) -> Self {
        let machine = self;
        let layout = Layout::open(&machine.folders()).map_err(|error| error.to_string()).unwrap();
        trust_record::set_trust(&layout, &machine.signers.identity()).map_err(|error| error.to_string()).unwrap();
        // Another test's child process may hold a copy of the lock's handle until it executes its program.
        let lock = File::open(machine.data().join("lock")).unwrap();
        lock.lock().and_then(|()| lock.unlock()).unwrap();
        machine
    }
    /// Creates a machine whose install helper has never been started.
    pub(crate) fn before_enrolment() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        Self { dir, root, signers: TestSigners::new() }
    }
    pub(crate) fn folders(&self) -> HelperFolders {
        HelperFolders { data: self.data(), root: self.root.clone() }
    }
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }
    /// Returns the folder of a package below the root.
    pub(crate) fn package(&self, name: &str) -> PathBuf {
        self.root.join("opt/banyan/packages").join(name)
    }
    /// Returns the names in a folder, sorted; empty if the folder does not exist.
    pub(crate) fn names(folder: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
    pub(crate) fn versions(&self, name: &str) -> Vec<String> {
        Self::names(&self.package(name).join("versions"))
    }
    /// Returns the target of `current`.
    pub(crate) fn current(&self, name: &str) -> Option<String> {
        crate::sys::read_current(&self.package(name)).unwrap()
    }
    /// Returns a valid job with a newer order than all before and a fresh install permit.
    pub(crate) fn job(&self, release: &TestRelease) -> InstallJob {
        self.documents(release).job(&self.signers)
    }
    /// Returns the documents of such a job, to be changed before signing.
    pub(crate) fn documents(&self, release: &TestRelease) -> SignedDocuments {
        self.signers.documents(release)
    }
    /// Returns the artifact as an open file.
    pub(crate) fn artifact(&self, release: &TestRelease) -> File {
        let path = self.path("artifact");
        fs::write(&path, &release.content).unwrap();
        File::open(path).unwrap()
    }
    /// Opens the engine. A dead install helper's lock is free at once, but another test's child process may hold a copy
    /// of this process's handle until it executes its program, so this retries.
    pub(crate) fn engine<'a>(
        &self,
        job: &InstallJob,
        release: &TestRelease,
        disks: &'a dyn FreeSpace,
    ) -> InstallEngine<'a> {
        self.engine_in(&self.folders(), job, release, disks)
    }
    fn engine_in<'a>(
        &self,
        folders: &HelperFolders,
        job: &InstallJob,
        release: &TestRelease,
        disks: &'a dyn FreeSpace,
    ) -> InstallEngine<'a> {
        loop {
            match InstallEngine::open(folders, job, self.artifact(release), UnixSeconds::now(), disks) {
                Err(error) if error.reason() == Reason::PackageManagerBusy => {
                    for name in ["lock", "lock-archive", "lock-deb"] {
                        File::options().append(true).create(true).open(self.data().join(name)).unwrap().lock().unwrap();
                    }
                }
                opened => return opened.map_err(|error| error.to_string()).unwrap(),
            }
        }
    }
    /// Returns the error of a job that is refused before it begins.
    #[track_caller]
    pub(crate) fn refused(&self, job: &InstallJob, release: &TestRelease) -> InstallError {
        let opened =
            InstallEngine::open(&self.folders(), job, self.artifact(release), UnixSeconds::now(), &UNLIMITED_SPACE);
        opened.err().expect("the job was accepted")
    }
    /// Runs the whole job, with an order that allows something.
    pub(crate) fn install_allowing(&self, release: &TestRelease, allow: &[Allowance]) -> InstallResult {
        let mut documents = self.documents(release);
        documents.order.allow = allow.to_vec();
        self.run(&documents.job(&self.signers), release, &UNLIMITED_SPACE)
    }
    /// Runs the whole job.
    pub(crate) fn install(&self, release: &TestRelease) -> InstallResult {
        self.run(&self.job(release), release, &UNLIMITED_SPACE)
    }
    pub(crate) fn run(&self, job: &InstallJob, release: &TestRelease, disks: &dyn FreeSpace) -> InstallResult {
        self.run_in(&self.folders(), job, release, disks)
    }
    pub(crate) fn run_in(
        &self,
        folders: &HelperFolders,
        job: &InstallJob,
        release: &TestRelease,
        disks: &dyn FreeSpace,
    ) -> InstallResult {
        let mut engine = self.engine_in(folders, job, release, disks);
        let outcome = engine.run();
        InstallResult { outcome, output: engine.log.tail() }
    }
    /// Runs this many steps of the job and stops, as if the process were killed. Returns the outcome if the job
    /// finished.
    pub(crate) fn stop_after(&self, steps: usize, release: &TestRelease) -> Option<Outcome> {
        let mut engine = self.engine(&self.job(release), release, &UNLIMITED_SPACE);
        let mut state = InstallState::Recover;
        for _ in 0..steps {
            state = engine.step(state);
            if let InstallState::Finished(outcome) = state {
                return Some(outcome);
            }
        }
        None
    }
    /// Mounts a 1 MiB disk on the root. Prints a notice and returns `None` where mounting is not possible.
    pub(crate) fn small_disk(&self) -> Option<SmallDisk> {
        Self::mount_disk(&self.root, "size=1m")
    }
    /// Mounts a disk on a folder, like [`TestMachine::small_disk`].
    pub(crate) fn mount_disk(at: &Path, options: &str) -> Option<SmallDisk> {
        fs::create_dir_all(at).unwrap();
        let disk = SmallDisk(at.to_owned());
        if disk.mount(options) {
            return Some(disk);
        }
        println!("skipped: a tmpfs cannot be mounted here");
        std::mem::forget(disk);
        None
    }
    /// Verifies that the install helper left no temporary files.
    pub(crate) fn assert_tidy(&self) {
        assert_eq!(Self::names(&self.data().join("staging")), [""; 0]);
        assert_eq!(Self::names(&self.data().join("restore")), [""; 0]);
        assert!(!self.data().join("journal.json").exists() && !self.data().join("journal-deb.json").exists());
        for folder in Self::names(&self.root.join("opt/banyan/packages")) {
            let left: Vec<_> = self.versions(&folder).into_iter().filter(|name| name.ends_with(".tmp")).collect();
            assert_eq!(left, [""; 0]);
        }
    }
}

/// A mounted disk, unmounted on drop.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        let run = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0).status();
        run.is_ok_and(|status| status.success())
    }
    /// Resizes it to 16 MiB.
    pub(crate) fn grow(&self) {
        assert!(self.mount("remount,size=16m"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Returns 3 MiB of incompressible data.
pub(crate) fn noise() -> Vec<u8> {
    (0..3_u32 << 18).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect()
}

/// A release and its file.
#[derive(Clone)]
pub(crate) struct TestRelease {
    pub(crate) order: OrderId,
    pub(crate) manifest: Manifest,
    pub(crate) content: Vec<u8>,
}

impl TestRelease {
    pub(crate) fn new(kind: Kind, version: &str, sequence: u64, content: Vec<u8>) -> Self {
        let size = content.len() as u64;
        let chunk_size = Artifact::chunk_size_for(size);
        let chunks = content.chunks(chunk_size as usize).map(Digest::of).collect();
        let artifact = Artifact {
            must_understand: vec![],
            platform: platform(),
            file_name: "tool.bin".into(),
            size,
            digest: Digest::of(&content),
            chunk_size,
            chunks: ChunkHashes(chunks),
            install: InstallSpec::new(kind),
        };
        let manifest = Manifest {
            format: Manifest::FORMAT,
            must_understand: vec![],
            title: String::new(),
            package: "tool".into(),
            version: version.into(),
            sequence,
            min_sequence: 0,
            rollback_to: None,
            publisher: String::new(),
            notes: String::new(),
            artifacts: vec![artifact],
        };
        Self { order: OrderId::random(), manifest, content }
    }
    /// Returns an archive with one program, which prints its version.
    pub(crate) fn archive(version: &str, sequence: u64) -> Self {
        let script = format!("#!/bin/sh\necho {version}\n");
        Self::new(Kind::Archive, version, sequence, Tar::new().program("bin/tool", &script).gz())
    }
    fn spec(&mut self) -> &mut InstallSpec {
        &mut self.manifest.artifacts[0].install
    }
    pub(crate) fn probe(mut self, argv: &[&str]) -> Self {
        self.spec().probe = Some(command(argv));
        self
    }
    pub(crate) fn detect(mut self, argv: &[&str]) -> Self {
        self.spec().detect = Some(command(argv));
        self
    }
    pub(crate) fn undo(mut self, argv: &[&str]) -> Self {
        self.spec().undo = Some(command(argv));
        self
    }
    pub(crate) fn needs(mut self, bytes: u64) -> Self {
        self.spec().needs_bytes = bytes;
        self
    }
}

pub(crate) fn command(argv: &[&str]) -> CommandSpec {
    CommandSpec { argv: argv.iter().map(|word| (*word).to_owned()).collect(), timeout_seconds: 20 }
}

pub(crate) const NEWLY_INSTALLED: Outcome = Outcome::Installed { already: false, remark: None };
pub(crate) const ALREADY_INSTALLED: Outcome = Outcome::Installed { already: true, remark: None };

/// Returns the reason and detail of a failure after which the machine was restored.
#[track_caller]
pub(crate) fn failed_and_restored(outcome: &Outcome) -> (Reason, &str) {
    match outcome {
        Outcome::Failed { reason, detail, restored: true } => (*reason, detail),
        other => panic!("not failed and restored: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn reason_to_wait(outcome: &Outcome) -> Reason {
    match outcome {
        Outcome::Waits { reason, .. } => *reason,
        other => panic!("not waiting: {other:?}"),
    }
}

/// Whether this process may mount, chroot and run dpkg. Prints a notice when a test is skipped.
pub(crate) fn is_root_for(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: {what} needs root");
    }
    root
}
