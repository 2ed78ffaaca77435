//! Real mounts on folders of a test machine. Only root can make them.

use crate::tests::test_machine::{TestMachine, is_root_for};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A mounted disk, unmounted on drop.
pub(super) struct TestMount {
    disk: PathBuf,
    at: PathBuf,
}

impl TestMount {
    /// Mounts a disk of its own on a folder. Prints a notice and returns `None` where mounting is not possible.
    pub(super) fn on(machine: &TestMachine, at: &Path) -> Option<Self> {
        if !is_root_for("mounting a disk") {
            return None;
        }
        let disk = machine.path("disk");
        fs::create_dir_all(&disk).unwrap();
        fs::create_dir_all(at).unwrap();
        let mount = Self { disk, at: at.to_owned() };
        if mount.run("mount", &["--bind", mount.disk.to_str().unwrap(), at.to_str().unwrap()]) {
            return Some(mount);
        }
        println!("skipped: a disk cannot be mounted here");
        std::mem::forget(mount);
        None
    }
    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
    }
    /// Changes how the disk is mounted: `ro`, `rw`, `noexec` or `exec`.
    pub(super) fn remount(&self, option: &str) {
        let options = format!("remount,bind,{option}");
        assert!(self.run("mount", &["-o", &options, self.at.to_str().unwrap()]));
    }
    /// Takes the disk away. Its folder stays, and is empty.
    pub(super) fn detach(&self) {
        assert!(self.run("umount", &[self.at.to_str().unwrap()]));
    }
    /// Brings the disk back, with what is on it.
    pub(super) fn attach(&self) {
        assert!(self.run("mount", &["--bind", self.disk.to_str().unwrap(), self.at.to_str().unwrap()]));
    }
}

impl Drop for TestMount {
    fn drop(&mut self) {
        self.run("umount", &["--quiet", self.at.to_str().unwrap()]);
    }
}
