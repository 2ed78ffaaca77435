//! The functions for Windows.

use crate::file_attributes::FileAttributes;
use cap_std::fs::Dir;
use std::{
    fs::{self, File, Permissions},
    io,
    os::windows::fs::FileExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::process::{Child, Command};

/// Whether [`sync_disk`] works here.
pub(crate) const CAN_SYNC_DISK: bool = false;

/// `CREATE_NEW_PROCESS_GROUP`: Ctrl-C in the agent's console does not reach the program.
const NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// Whether this process has more privileges than other programs of the user who started it. Not implemented for Windows
/// yet; unknown counts as yes.
pub(crate) fn has_privileges() -> bool {
    true
}

/// Creates a folder for the install helper. It inherits the access list of the parent folder, which the set-up
/// restricts to administrators.
pub(crate) fn ensure_own_folder(path: &Path, _open: bool) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Does nothing: Windows has no umask, access lists come from the folder.
pub(crate) fn reset_umask() {}

/// Opens a file named by the caller.
pub(crate) fn open_plain_file(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Creates a file with the access list of its folder.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// Opens the lock file.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// Reads at an explicit offset. This moves the handle's position, so the agent opens the file separately for the
/// helper.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Does nothing: Windows cannot sync folders, and NTFS keeps a journal of its own.
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Fails: this system has no such system call.
pub(crate) fn sync_disk(_folder: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns `None`: the system has no signals.
pub(crate) fn signal_name(_number: i32) -> Option<&'static str> {
    None
}

/// Returns `None`: the system has no signals.
pub(crate) fn ending_signal(_status: ExitStatus) -> Option<String> {
    None
}

/// Returns 0: the system ends no program when memory runs out.
pub(crate) fn count_out_of_memory_kills() -> u64 {
    0
}

/// The reading end of a program's output.
pub(crate) type OutputReader = tokio::fs::File;

/// Returns one pipe for both outputs of a program, so that they are read in the order in which they were written.
pub(crate) fn output_pipe() -> io::Result<(OutputReader, Stdio, Stdio)> {
    let (reader, writer) = io::pipe()?;
    let both = writer.try_clone()?;
    let reader = fs::File::from(std::os::windows::io::OwnedHandle::from(reader));
    Ok((OutputReader::from_std(reader), writer.into(), both.into()))
}

/// Does nothing: a write to a pipe without reader is only an error here.
pub(crate) fn keep_reading(_output: OutputReader) {}

/// Returns `true`: names that differ only in case are one name.
pub(crate) fn ignores_case(_folder: &Path) -> bool {
    true
}

/// Returns `None`: Windows recognises programs by their names.
pub(crate) fn unpacked_mode(_executable: bool) -> Option<Permissions> {
    None
}

/// Returns the version folder to which `current` points. It is a small file with the folder's name: links need a
/// privilege that a personal install helper lacks, and a junction cannot be replaced atomically.
pub(crate) fn read_current(package: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(package.join("current")) {
        Ok(text) => Ok(text.trim_end().strip_prefix(r"versions\").map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Points `current` to another version folder atomically: a new file is renamed over it.
pub(crate) fn switch_current(package: &Path, folder: Option<&str>) -> io::Result<()> {
    let (current, new) = (package.join("current"), package.join("current.new"));
    let Some(folder) = folder else {
        return match fs::remove_file(&current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
    };
    fs::write(&new, format!("versions\\{folder}\r\n"))?;
    File::options().write(true).open(&new)?.sync_all()?;
    fs::rename(&new, &current)
}

/// Shields the program from Ctrl-C in the agent's console.
pub(crate) fn set_process_group(command: &mut Command) {
    command.creation_flags(NEW_PROCESS_GROUP);
}

/// Returns `None`: a disk has as many files as there is room for.
pub(crate) fn free_files(_at: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Does nothing: this system has no limit of file sizes.
pub(crate) fn fail_beyond_file_size_limit() {}

/// Returns a number for the disk that contains `at`: all folders of one job are on one disk here.
pub(crate) fn disk_of(_at: &Path) -> io::Result<u64> {
    Ok(0)
}

/// There is no dpkg here, whose scripts would have to be found.
pub(crate) fn script_processes(_child: &Child) -> Vec<i32> {
    Vec::new()
}

/// See [`script_processes`].
pub(crate) fn end_processes(_ids: &[i32], _kill: bool) {}

/// See [`script_processes`].
pub(crate) fn is_any_alive(_ids: &[i32]) -> bool {
    false
}

/// Kills the program and all processes it started.
pub(crate) fn kill_process_group(child: &mut Child) {
    if let Some(id) = child.id() {
        let taskkill = system_root().join(r"System32\taskkill.exe");
        let _ = std::process::Command::new(taskkill)
            .args(["/T", "/F", "/PID", &id.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    // Without taskkill, at least the program itself ends.
    let _ = child.start_kill();
}

/// Returns the whole environment of programs that the install helper starts.
pub(crate) fn clean_environment() -> Vec<(&'static str, String)> {
    let root = system_root();
    let text = |path: PathBuf| path.display().to_string();
    vec![
        ("PATH", format!("{};{}", text(root.join("System32")), text(root.clone()))),
        ("TEMP", text(std::env::temp_dir())),
        ("TMP", text(std::env::temp_dir())),
        ("SystemRoot", text(root)),
    ]
}

fn system_root() -> PathBuf {
    std::env::var_os("SystemRoot").map_or_else(|| PathBuf::from(r"C:\Windows"), PathBuf::from)
}

/// Returns standard input as a file.
pub(crate) fn stdin_as_file() -> io::Result<File> {
    Ok(std::os::windows::io::AsHandle::as_handle(&io::stdin()).try_clone_to_owned()?.into())
}

/// Fails: archives with links have been refused before.
pub(crate) fn create_symlink(_folder: &Dir, _target: &str, _path: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns true: the system asks for no such permission.
pub(crate) fn is_executable(_path: &Path) -> bool {
    true
}

/// Returns whether the system does not know the format of a program (`ERROR_BAD_EXE_FORMAT`).
pub(crate) fn is_not_a_program(error: &io::Error) -> bool {
    error.raw_os_error() == Some(193)
}

/// Returns false: the system has no such mounts.
pub(crate) fn forbids_programs(_path: &Path) -> bool {
    false
}

/// Returns false: the system has no such mounts.
pub(crate) fn is_read_only(_path: &Path) -> bool {
    false
}

/// Does nothing: the system has no such limit.
pub(crate) fn limit_open_files() {}

/// Fails: only debs need it.
pub(crate) fn read_attributes(_place: &Path) -> io::Result<FileAttributes> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: only debs need it.
pub(crate) fn copy_content(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: only debs need it.
pub(crate) fn copy_file(_from: &Path, _to: &Path, _attributes: &FileAttributes) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: only debs need it.
pub(crate) fn correct_attributes(_place: &Path, _wanted: &FileAttributes) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns `None`: only debs need it.
pub(crate) fn shared_identity(_found: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// Returns 1: only debs need it.
pub(crate) fn count_links(_found: &fs::Metadata) -> u64 {
    1
}

/// Fails: only debs need it.
pub(crate) fn is_same_file(_one: &Path, _other: &Path) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: only debs need it.
pub(crate) fn make_symlink(_target: &Path, _at: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Does nothing: Windows has no process groups.
pub(crate) fn kill_group(_group: u32) {}
