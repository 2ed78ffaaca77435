//! Disks that a test mounts. Only root can.

use nix::unistd::geteuid;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A disk in memory at a folder, unmounted on drop.
pub struct TestMount {
    at: PathBuf,
    /// Where its content is, for a disk that can be detached.
    disk: Option<PathBuf>,
}

impl TestMount {
    /// Mounts an empty disk of this size at a folder. Prints a notice and returns `None` without root.
    ///
    /// # Panics
    /// When mounting fails.
    #[must_use]
    pub fn tmpfs(at: &Path, megabytes: u32) -> Option<Self> {
        let options = format!("size={megabytes}m,mode=700");
        Self::mount(at, None, &["-t", "tmpfs", "-o", &options, "tmpfs"])
    }
    /// Mounts an empty disk that holds at most this many files.
    ///
    /// # Panics
    /// When mounting fails.
    #[must_use]
    pub fn tmpfs_of_files(at: &Path, megabytes: u32, files: u32) -> Option<Self> {
        let options = format!("size={megabytes}m,nr_inodes={files},mode=700");
        Self::mount(at, None, &["-t", "tmpfs", "-o", &options, "tmpfs"])
    }
    /// Mounts a disk at a folder that keeps its content while it is detached.
    ///
    /// # Panics
    /// When mounting fails.
    #[must_use]
    pub fn detachable(at: &Path, disk: &Path) -> Option<Self> {
        fs::create_dir_all(disk).expect("the folder is accessible");
        fs::set_permissions(disk, fs::Permissions::from_mode(0o755)).expect("the folder's mode can be set");
        let path = disk.to_str().expect("the path is valid UTF-8");
        Self::mount(at, Some(disk.to_owned()), &["--bind", path])
    }
    fn mount(at: &Path, disk: Option<PathBuf>, arguments: &[&str]) -> Option<Self> {
        if !geteuid().is_root() {
            println!("skipped: mounting a disk needs root");
            return None;
        }
        fs::create_dir_all(at).expect("the folder is accessible");
        run("mount", arguments, at);
        Some(Self { at: at.to_owned(), disk })
    }
    /// Changes how the disk is mounted: `ro`, `rw`, `noexec` or `exec`.
    ///
    /// # Panics
    /// When mounting fails.
    pub fn remount(&self, option: &str) {
        run("mount", &["-o", &format!("remount,bind,{option}")], &self.at);
    }
    /// Takes a detachable disk away. Its folder stays, and is empty.
    ///
    /// # Panics
    /// When a program uses the disk.
    pub fn detach(&self) {
        run("umount", &[], &self.at);
    }
    /// Brings it back.
    ///
    /// # Panics
    /// When mounting fails.
    pub fn attach(&self) {
        let disk = self.disk.as_ref().and_then(|disk| disk.to_str()).expect("the disk is detachable");
        run("mount", &["--bind", disk], &self.at);
    }
    /// Takes every free inode of the disk. Returns the folder of the files, which gives them back when it is deleted.
    ///
    /// # Panics
    /// When the disk has no free inode for the folder.
    #[must_use]
    pub fn use_up_files(&self) -> PathBuf {
        let folder = self.at.join("fillers");
        fs::create_dir_all(&folder).expect("the folder can be created");
        let taken = fs::read_dir(&folder).expect("the folder can be read").count();
        let full = (taken..).find_map(|number| fs::File::create(folder.join(number.to_string())).err());
        assert_eq!(full.map(|error| error.kind()), Some(std::io::ErrorKind::StorageFull));
        folder
    }
    /// Fills the disk until this many bytes are free. Returns the file, which gives the space back when it is deleted.
    ///
    /// # Panics
    /// When less is free already.
    #[must_use]
    pub fn fill(&self, leave: u64) -> PathBuf {
        let about = nix::sys::statvfs::statvfs(&self.at).expect("the disk is mounted");
        let free = about.blocks_available() * about.fragment_size();
        let file = self.at.join("filler");
        let taken = free.checked_sub(leave).expect("there is more free space than that");
        let path = file.to_str().expect("the path is valid UTF-8").to_owned();
        let filled = Command::new("fallocate").args(["-l", &taken.to_string(), &path]).status();
        assert!(filled.expect("fallocate can be run").success(), "the disk could not be filled");
        file
    }
}

impl Drop for TestMount {
    fn drop(&mut self) {
        // Programs that still use it keep it until they end.
        drop(Command::new("umount").args(["--quiet", "--lazy"]).arg(&self.at).status());
    }
}

fn run(program: &str, arguments: &[&str], at: &Path) {
    let status = Command::new(program).args(arguments).arg(at).status().expect("the program can be run");
    assert!(status.success(), "{program} {arguments:?} {}: {status}", at.display());
}
