//! Windows.

use std::{
    fs::{self, File, Permissions},
    io,
    os::windows::fs::FileExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::{Child, Command};

/// Archives may not hold links: making them needs a right that a user's own installer lacks.
pub(crate) const LINKS: bool = false;
/// Whether [`sync_disk`] can be used.
pub(crate) const SYNCS_DISKS: bool = false;

/// `CREATE_NEW_PROCESS_GROUP`: Ctrl-C in the agent's console does not reach the program.
const NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// Whether this process may do more than any program of the person who started it. Nobody has asked Windows yet, and what
/// is not known counts as yes.
pub(crate) fn has_privileges() -> bool {
    true
}

/// A folder of the installer's own. Its access list comes from the folder above, which set-up made for administrators.
pub(crate) fn own_folder(path: &Path, _open: bool) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Windows has no such mask: access lists come from the folder.
pub(crate) fn forget_callers_mask() {}

/// A file that somebody names.
pub(crate) fn open_named(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// A new file; access as for the folder it is in.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

/// The file that is locked.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

/// Reads at a place of its own. It moves the handle's position: the agent opens the file anew for the installer.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    file.seek_read(buffer, offset)
}

/// Folders cannot be synced; NTFS keeps a journal of its own.
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// There is no such call here.
pub(crate) fn sync_disk(_folder: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Windows knows programs by their names.
pub(crate) fn mode(_executable: bool) -> Option<Permissions> {
    None
}

/// Bytes free on the disk that holds `at`.
pub(crate) fn free_bytes(at: &Path) -> io::Result<u64> {
    // Mount points come back from sysinfo without the `\\?\` that the resolved path has.
    let resolved = fs::canonicalize(at)?;
    let plain = PathBuf::from(resolved.to_string_lossy().trim_start_matches(r"\\?\"));
    let disks = sysinfo::Disks::new_with_refreshed_list();
    let holder = disks
        .list()
        .iter()
        .filter(|disk| plain.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len());
    holder.map(sysinfo::Disk::available_space).ok_or_else(|| io::Error::other("no disk of that name is mounted"))
}

/// The version folder that `current` names. It is a small file with the folder's name: links need a right that a user's
/// own installer lacks, and a junction cannot be replaced in one instant.
pub(crate) fn current(package: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(package.join("current")) {
        Ok(text) => Ok(text.trim_end().strip_prefix(r"versions\").map(str::to_owned)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets `current` name another version folder, in one instant: a new file is renamed over it.
pub(crate) fn switch(package: &Path, folder: Option<&str>) -> io::Result<()> {
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

/// The program is not reached by what is typed in the agent's console.
pub(crate) fn own_group(command: &mut Command) {
    command.creation_flags(NEW_PROCESS_GROUP);
}

/// Kills the program and everything it started.
pub(crate) fn kill_group(child: &mut Child) {
    if let Some(id) = child.id() {
        let taskkill = system_root().join(r"System32\taskkill.exe");
        let _ = std::process::Command::new(taskkill)
            .args(["/T", "/F", "/PID", &id.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
    // When taskkill is missing the program itself ends at least.
    let _ = child.start_kill();
}

/// All that a program started by the installer finds in its environment.
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
