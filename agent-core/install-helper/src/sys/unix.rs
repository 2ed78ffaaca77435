//! The functions for Linux and other Unix systems.

use cap_std::fs::Dir;
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
    os::unix::{
        fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
    process::{ExitStatus, Stdio},
};
use tokio::process::{Child, Command};

/// Whether [`sync_disk`] works here.
pub(crate) const CAN_SYNC_DISK: bool = cfg!(target_os = "linux");

/// Whether this process has more privileges than the user who started it: root, another user's or group's rights, or
/// capabilities. Whatever cannot be determined counts as yes.
pub(crate) fn has_privileges() -> bool {
    geteuid().is_root() || getuid() != geteuid() || getgid() != getegid() || has_capabilities()
}

#[cfg(target_os = "linux")]
fn has_capabilities() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let permitted = status.lines().find_map(|line| line.strip_prefix("CapPrm:"));
    permitted.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()) != Some(0)
}

/// Linux alone has capabilities.
#[cfg(not(target_os = "linux"))]
fn has_capabilities() -> bool {
    false
}

/// Verifies or creates a folder that belongs to this user or root and that no other user can write. Other users can
/// read it if it is `open`.
///
/// With privileges, the folders above it must pass the same check. A user who could rename one of them could substitute
/// another folder with another trust record.
pub(crate) fn ensure_own_folder(path: &Path, open: bool) -> io::Result<()> {
    let above: Vec<&Path> = path.ancestors().skip(1).take_while(|_| geteuid().is_root()).collect();
    for folder in above.into_iter().rev().filter(|folder| folder.exists()) {
        check_owner(folder, true)?;
    }
    DirBuilder::new().recursive(true).mode(if open { 0o755 } else { 0o700 }).create(path)?;
    check_owner(path, false)
}

/// Verifies one folder. With the sticky bit (as in `/tmp`), others may write but not rename what is not theirs, so our
/// folder stays in its place.
fn check_owner(path: &Path, may_be_sticky: bool) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let own = found.uid() == geteuid().as_raw() || found.uid() == 0;
    let others_write = found.mode() & 0o022 != 0 && !(may_be_sticky && found.mode() & 0o1000 != 0);
    if own && found.is_dir() && !others_write {
        return Ok(());
    }
    let why = "it is a link, belongs to another user, or other users can write it; give the install helper a folder of \
               its own below folders that only root (or this user) can change";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", path.display())))
}

/// Resets the umask inherited from the caller, so that new files are not writable for all users.
pub(crate) fn reset_umask() {
    umask(Mode::from_bits_truncate(0o022));
}

/// Opens a file named by a user with fewer privileges. Refuses symbolic links, and pipes, which might block for ever.
pub(crate) fn open_plain_file(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a plain file")) }
}

/// Creates a file that only this user can read and write.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Opens the lock file. A user who cannot open it cannot hold the lock.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

/// Reads at an explicit offset: the handle's position may be shared with the agent, which continues to serve the file.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buffer, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Syncs the entries of a folder, so that they survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Syncs everything on the disk that contains `folder`, so that it survives a power cut.
#[cfg(target_os = "linux")]
pub(crate) fn sync_disk(folder: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(folder)?)?)
}

/// Fails: this system has no such system call.
#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_disk(_folder: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether names that differ only in case are one name where `folder` is or will be. Some disks of Linux are so, and the
/// usual ones of macOS.
pub(crate) fn ignores_case(folder: &Path) -> bool {
    let id = |path: &Path| fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let other_spelling = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        let upper = name.to_uppercase();
        Some(path.with_file_name(if upper == name { name.to_lowercase() } else { upper }))
    };
    let has_letters =
        |path: &&Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().any(u8::is_ascii_alphabetic));
    let existing = folder.ancestors().filter(|path| path.exists()).find(has_letters);
    existing
        .is_some_and(|path| other_spelling(path).is_some_and(|other| id(&other).is_some() && id(&other) == id(path)))
}

/// Returns the mode of an unpacked file or folder: 0755, or 0644 for files that are not programs.
pub(crate) fn unpacked_mode(executable: bool) -> Option<Permissions> {
    Some(Permissions::from_mode(if executable { 0o755 } else { 0o644 }))
}

/// Returns how many more files can be created on the disk that contains `at`; `None` where there is no limit.
pub(crate) fn free_files(at: &Path) -> io::Result<Option<u64>> {
    let disk = statvfs(at)?;
    #[expect(clippy::useless_conversion, reason = "the counters are 32 bits wide on some systems")]
    let (all, free) = (u64::from(disk.files()), u64::from(disk.files_available()));
    Ok((all > 0).then_some(free))
}

/// Returns a number for the disk that contains `at`.
pub(crate) fn disk_of(at: &Path) -> io::Result<u64> {
    Ok(fs::metadata(at)?.dev())
}

/// Returns the version folder to which `current` points in a package's folder.
pub(crate) fn read_current(package: &Path) -> io::Result<Option<String>> {
    match fs::read_link(package.join("current")) {
        Ok(target) => Ok(target.strip_prefix("versions").ok().and_then(Path::to_str).map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Points `current` to another version folder atomically: a link is created beside it and renamed over it.
pub(crate) fn switch_current(package: &Path, folder: Option<&str>) -> io::Result<()> {
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

/// Starts the program in its own process group, whose number is its process id.
pub(crate) fn set_process_group(command: &mut Command) {
    command.process_group(0);
}

/// Kills the program and its group. The program has not been waited for, so its process id has not been reused.
pub(crate) fn kill_process_group(child: &mut Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // A group that has already ended is fine. Remaining processes are not searched for.
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
}

/// Kills what is left of the group of a program that a signal ended.
pub(crate) fn kill_group(group: u32) {
    if let Ok(id) = i32::try_from(group) {
        // A group without processes is fine.
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
}

/// Returns the name of a signal: `SIGKILL`. `None` for what is none, or has no name.
pub(crate) fn signal_name(number: i32) -> Option<&'static str> {
    Signal::try_from(number).ok().map(Signal::as_str)
}

/// Returns the signal that ended a program.
pub(crate) fn ending_signal(status: ExitStatus) -> Option<String> {
    let number = std::os::unix::process::ExitStatusExt::signal(&status)?;
    Some(signal_name(number).map_or_else(|| format!("signal {number}"), str::to_owned))
}

/// Returns how many processes of this process's control group the kernel has ended because memory ran out. 0 where the
/// system does not say it.
pub(crate) fn count_out_of_memory_kills() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let count = |file: String| -> Option<u64> {
        let text = fs::read_to_string(file).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    };
    let of_group = |line: &str| -> Option<u64> {
        // `0::/path` in version 2, `4:memory:/path` in version 1.
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        match controllers {
            "" => ["", "/unified"].iter().find_map(|at| count(format!("/sys/fs/cgroup{at}{path}/memory.events"))),
            _ if controllers.split(',').any(|one| one == "memory") => {
                count(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"))
            }
            _ => None,
        }
    };
    groups.lines().filter_map(of_group).max().unwrap_or(0)
}

/// The reading end of a program's output.
pub(crate) type OutputReader = tokio::net::unix::pipe::Receiver;

/// Returns one pipe for both outputs of a program, so that they are read in the order in which they were written.
pub(crate) fn output_pipe() -> io::Result<(OutputReader, Stdio, Stdio)> {
    let (reader, writer) = io::pipe()?;
    let both = writer.try_clone()?;
    Ok((OutputReader::from_owned_fd(reader.into())?, writer.into(), both.into()))
}

/// Lets `cat` read what processes print that a program left running, until the last of them has ended. If it cannot be
/// started, their next write ends them.
pub(crate) fn keep_reading(output: OutputReader) {
    // `cat` takes a pipe that does not block for a broken one.
    if let Ok(pipe) = output.into_blocking_fd() {
        let mut reader = std::process::Command::new("cat");
        reader.env_clear().envs(clean_environment()).current_dir("/").process_group(0);
        let _ = reader.stdin(pipe).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}

/// A process, from `/proc/ID/stat`.
#[cfg(target_os = "linux")]
struct ProcessEntry {
    id: i32,
    name: String,
    parent: i32,
    group: i32,
}

#[cfg(target_os = "linux")]
fn processes() -> Vec<ProcessEntry> {
    let read = |entry: fs::DirEntry| -> Option<ProcessEntry> {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (start, rest) = stat.rsplit_once(')')?;
        let name = start.split_once('(')?.1.to_owned();
        let mut words = rest.split_whitespace();
        let state = words.next()?;
        let (parent, group) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        // A zombie has ended already.
        (state != "Z").then_some(ProcessEntry { id, name, parent, group })
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(read).collect()
}

/// What dpkg runs for itself, without scripts.
#[cfg(target_os = "linux")]
const DPKG_HELPERS: [&str; 4] = ["dpkg", "dpkg-deb", "dpkg-split", "rm"];

/// Returns the processes of the script that a program runs now: the descendants of the program, and what it left in
/// the background of the program's group. Empty while the program works without a script.
#[cfg(target_os = "linux")]
pub(crate) fn script_processes(child: &Child) -> Vec<i32> {
    let Some(program) = child.id().and_then(|id| i32::try_from(id).ok()) else { return Vec::new() };
    let all = processes();
    let is_helper = |process: &&ProcessEntry| DPKG_HELPERS.contains(&process.name.as_str());
    let mut own: Vec<i32> = Vec::new();
    let mut parents = vec![program];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            if !own.contains(&process.id) && (parent != program || !is_helper(&process)) {
                own.push(process.id);
                parents.push(process.id);
            }
        }
    }
    if !own.is_empty() {
        let adopted = all.iter().filter(|process| process.group == program && process.id != program);
        let adopted: Vec<i32> = adopted.filter(|process| !is_helper(process)).map(|process| process.id).collect();
        own.extend(adopted);
    }
    own
}

/// Only Linux shows which processes belong to a script.
#[cfg(not(target_os = "linux"))]
pub(crate) fn script_processes(_child: &Child) -> Vec<i32> {
    Vec::new()
}

/// Returns a program of this name that works with this variable and these arguments, in this view of the file systems
/// and below the same root folder.
#[cfg(target_os = "linux")]
pub(crate) fn find_program(name: &str, variable: &str, has_arguments: impl Fn(&[&str]) -> bool) -> Option<i32> {
    let view = |id: &dyn std::fmt::Display| fs::read_link(format!("/proc/{id}/ns/mnt")).ok();
    let read = |id: i32, file: &str| fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
    let root = |id: &dyn std::fmt::Display| fs::read_link(format!("/proc/{id}/root")).ok();
    let (own_view, own_root) = (view(&"self"), root(&"self"));
    let is_it = |process: &ProcessEntry| {
        let (variables, arguments) = (read(process.id, "environ"), read(process.id, "cmdline"));
        process.name == name
            && view(&process.id) == own_view
            && root(&process.id) == own_root
            && variables.split('\0').any(|one| one == variable)
            && has_arguments(&arguments.split('\0').collect::<Vec<_>>())
    };
    processes().into_iter().find(is_it).map(|process| process.id)
}

/// Only Linux shows what other programs were started with.
#[cfg(not(target_os = "linux"))]
pub(crate) fn find_program(_name: &str, _variable: &str, _has_arguments: impl Fn(&[&str]) -> bool) -> Option<i32> {
    None
}

/// Asks processes to end, or kills them. One that has ended meanwhile is left out.
pub(crate) fn end_processes(ids: &[i32], kill: bool) {
    let signal = if kill { Signal::SIGKILL } else { Signal::SIGTERM };
    for id in ids {
        let _ = nix::sys::signal::kill(Pid::from_raw(*id), signal);
    }
}

/// Whether one of the processes is still there.
pub(crate) fn is_any_alive(ids: &[i32]) -> bool {
    ids.iter().any(|id| nix::sys::signal::kill(Pid::from_raw(*id), None).is_ok())
}

/// Lets a write beyond the limit of file sizes fail with an error, instead of ending this process with a signal. Programs
/// that it starts begin with no signal blocked.
pub(crate) fn fail_beyond_file_size_limit() {
    // A signal number is valid.
    let _ = nix::sys::signal::SigSet::from(Signal::SIGXFSZ).thread_block();
}

/// Lowers the limit of open files to the usual one. The agent raises its own, which this process inherits; programs that
/// it starts can be slow with a high limit, or fail.
pub(crate) fn limit_open_files() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        const USUAL: u64 = 1024;
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current.is_none_or(|current| current > USUAL) {
            limit.current = Some(USUAL);
            // A process may always lower its limit.
            let _ = setrlimit(Resource::Nofile, limit);
        }
    }
}

/// Creates a symbolic link.
pub(crate) fn make_symlink(target: &Path, at: &Path) -> io::Result<()> {
    symlink(target, at)
}

/// Returns whether the file has a permission to be executed.
pub(crate) fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o111 != 0)
}

/// Returns whether the system does not know the format of a program.
pub(crate) fn is_not_a_program(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOEXEC)
}

/// Returns whether the file's file system is mounted so that no program can be started from it.
pub(crate) fn forbids_programs(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).is_ok_and(|found| found.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC))
}

/// Returns whether the file system of this path is mounted read-only.
pub(crate) fn is_read_only(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).is_ok_and(|found| found.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
}

/// Returns the whole environment of programs that the install helper starts.
pub(crate) fn clean_environment() -> Vec<(&'static str, String)> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    vec![("PATH", path.into()), ("HOME", "/".into()), ("LC_ALL", "C.UTF-8".into())]
}

/// Returns standard input as a file.
pub(crate) fn stdin_as_file() -> io::Result<File> {
    Ok(std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?.into())
}

/// Creates a symbolic link at `path`, below the folder.
pub(crate) fn create_symlink(folder: &Dir, target: &str, path: &str) -> io::Result<()> {
    folder.symlink(target, path)
}
