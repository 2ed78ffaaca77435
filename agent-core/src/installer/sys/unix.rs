//! Linux and other Unix systems.

use nix::{
    libc,
    sys::{
        signal::{Signal, killpg},
        stat::{Mode, umask},
        statvfs::statvfs,
    },
    unistd::{Pid, getegid, geteuid, getgid, getuid},
};
use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::Path,
};
use tokio::process::{Child, Command};

/// Whether archives may hold symbolic and hard links here.
pub(crate) const LINKS: bool = true;
/// Whether [`sync_disk`] can be used.
pub(crate) const SYNCS_DISKS: bool = cfg!(target_os = "linux");

/// Whether this process may do more than the person who started it: it is root's, was given another user's or group's
/// rights, or capabilities. What cannot be found out counts as yes.
pub(crate) fn has_privileges() -> bool {
    geteuid().is_root() || getuid() != geteuid() || getgid() != getegid() || has_capabilities()
}

#[cfg(target_os = "linux")]
fn has_capabilities() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    permitted.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()) != Some(0)
}

/// Such rights in pieces are a thing of Linux.
#[cfg(not(target_os = "linux"))]
fn has_capabilities() -> bool {
    false
}

/// A folder that belongs to this user or root and that nobody else can write; made when missing. Others can look into
/// it when it is `open` to them.
///
/// With privileges, the same is asked of the folders above it: who could rename one of them could put another folder in
/// its place, with a record of whom to believe that says something else.
pub(crate) fn own_folder(path: &Path, open: bool) -> io::Result<()> {
    let above: Vec<&Path> = path.ancestors().skip(1).take_while(|_| geteuid().is_root()).collect();
    for folder in above.into_iter().rev().filter(|folder| folder.exists()) {
        check_own(folder, true)?;
    }
    DirBuilder::new().recursive(true).mode(if open { 0o755 } else { 0o700 }).create(path)?;
    check_own(path, false)
}

/// Where others may write but not rename what is not theirs (as in `/tmp`), what is ours stays in its place.
fn check_own(path: &Path, sticky_will_do: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let own = found.uid() == geteuid().as_raw() || found.uid() == 0;
    let others_write = found.mode() & 0o022 != 0 && !(sticky_will_do && found.mode() & 0o1000 != 0);
    if own && found.is_dir() && !others_write {
        return Ok(());
    }
    let why = "it is a link, belongs to another user, or others can write it; give the installer a folder of its own below \
               folders that only root (or this user) can change";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", path.display())))
}

/// What is written from now on is not made writable for everybody because the caller wanted it so.
pub(crate) fn forget_callers_mask() {
    umask(Mode::from_bits_truncate(0o022));
}

/// A file that somebody with fewer rights names: not one that a link of his leads to, nor a pipe that never answers.
pub(crate) fn open_named(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
}

/// A new file that only this user can read and write.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// The file that is locked. Who cannot open it cannot hold the lock.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

/// Reads at a place of its own: the handle's position may be shared with the agent, which goes on serving the file.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Makes the entries of a folder survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes everything on the disk that holds `folder` survive a power cut.
#[cfg(target_os = "linux")]
pub(crate) fn sync_disk(folder: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(folder)?)?)
}

/// There is no such call here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_disk(_folder: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Mode of an unpacked file or folder: 0755, or 0644 for files that are not programs.
pub(crate) fn mode(executable: bool) -> Option<Permissions> {
    Some(Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

/// Bytes free for this user on the disk that holds `at`.
pub(crate) fn free_bytes(at: &Path) -> io::Result<u64> {
    let disk = statvfs(at)?;
    #[expect(clippy::useless_conversion, reason = "the counters are 32 bits wide on some systems")]
    Ok(u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size())))
}

/// The version folder that `current` names in a package's folder.
pub(crate) fn current(package: &Path) -> io::Result<Option<String>> {
    match fs::read_link(package.join("current")) {
        Ok(target) => Ok(target.strip_prefix("versions").ok().and_then(Path::to_str).map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets `current` name another version folder, in one instant: a link is made beside it and renamed over it.
pub(crate) fn switch(package: &Path, folder: Option<&str>) -> io::Result<()> {
    let (current, new) = (package.join("current"), package.join(".current.new"));
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match folder {
        None => gone(fs::remove_file(&current))?,
        Some(folder) => {
            gone(fs::remove_file(&new))?;
            symlink(Path::new("versions").join(folder), &new)?;
            fs::rename(&new, &current)?;
        }
    }
    sync_folder(package)
}

/// The program gets a process group of its own, whose number is its process id.
pub(crate) fn own_group(command: &mut Command) {
    command.process_group(0);
}

/// Kills the program and everything in its group. It has not been waited for, so its number is still its own.
pub(crate) fn kill_group(child: &mut Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // Gone already is fine; whoever is left is looked for by nobody.
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
}

/// All that a program started by the installer finds in its environment.
pub(crate) fn clean_environment() -> Vec<(&'static str, String)> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    vec![("PATH", path.into()), ("HOME", "/".into()), ("LC_ALL", "C.UTF-8".into())]
}
