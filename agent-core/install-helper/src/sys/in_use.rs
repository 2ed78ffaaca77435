//! Finds out which version folders running processes still use.

use std::path::PathBuf;

/// A version folder that is to be removed.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems do not look for processes"))]
pub(crate) struct VersionFolder {
    pub(crate) path: PathBuf,
    /// When `current` began and ceased to point to it (seconds since 1970), as far as known.
    pub(crate) current: Option<std::ops::Range<u64>>,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::are_in_use;

/// Tells nothing: this system does not list other processes' files. On Windows a folder in use cannot be renamed, so
/// it stays anyway.
#[cfg(not(target_os = "linux"))]
pub(crate) fn are_in_use(folders: &[VersionFolder], _current: &std::path::Path) -> Vec<bool> {
    vec![false; folders.len()]
}

#[cfg(target_os = "linux")]
mod linux {
    use super::VersionFolder;
    use crate::sys::mounts::Mounts;
    use std::{
        collections::HashMap,
        fs,
        os::unix::{ffi::OsStrExt, fs::MetadataExt},
        path::{Path, PathBuf},
    };

    /// How inexact the times are (seconds): the start of a process and of the system are whole seconds, and `current`
    /// is switched a moment after the new version is recorded.
    const TOLERANCE: u64 = 5;

    /// Device and inode of a file.
    type FileId = (u64, u64);

    /// Returns for each folder whether a process uses it: works in it, runs a program of it, has a file of it open or
    /// mapped, has it as its root, names it among its arguments, or was started with arguments below `current` while
    /// that pointed to it. So does a mount below it or of it. Processes of other users that this user may not see do not count.
    pub(crate) fn are_in_use(folders: &[VersionFolder], current: &Path) -> Vec<bool> {
        if folders.is_empty() {
            return vec![];
        }
        let search = Search::new(folders, current);
        let mounts = Mounts::read();
        let mut used: Vec<bool> = search.real.iter().map(|folder| mounts.concern(folder)).collect();
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let is_process = process.file_name().as_bytes().iter().all(u8::is_ascii_digit);
            if is_process {
                search.look_at(&process.path(), &mut used);
            }
        }
        used
    }

    struct Search<'a> {
        folders: &'a [VersionFolder],
        /// The paths of the folders without links.
        real: Vec<PathBuf>,
        /// The folder of every file. Paths differ in other mount namespaces; files do not.
        files: HashMap<FileId, usize>,
        current: &'a Path,
    }

    impl<'a> Search<'a> {
        fn new(folders: &'a [VersionFolder], current: &'a Path) -> Self {
            let real = folders.iter().map(|folder| fs::canonicalize(&folder.path).unwrap_or(folder.path.clone()));
            let mut files = HashMap::new();
            for (index, folder) in folders.iter().enumerate() {
                add_files(&folder.path, index, &mut files);
            }
            Self { folders, real: real.collect(), files, current }
        }

        fn look_at(&self, process: &Path, used: &mut [bool]) {
            let mut mark = |index: Option<usize>| {
                if let Some(index) = index {
                    used[index] = true;
                }
            };
            for name in ["cwd", "exe", "root"] {
                mark(self.folder_of_link(&process.join(name)));
            }
            for open in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
                mark(self.folder_of_link(&open.path()));
            }
            for line in fs::read(process.join("maps")).unwrap_or_default().split(|byte| *byte == b'\n') {
                mark(self.folder_of_map(line));
            }
            for argument in fs::read(process.join("cmdline")).unwrap_or_default().split(|byte| *byte == 0) {
                mark(self.folder_of_argument(argument, process));
            }
        }

        fn folder_of_link(&self, link: &Path) -> Option<usize> {
            let target = fs::read_link(link).ok()?;
            // What is not a file has a name such as `socket:[1]`.
            if !target.has_root() {
                return None;
            }
            self.folder_of_path(&target).or_else(|| {
                let file = fs::metadata(link).ok()?;
                self.files.get(&(file.dev(), file.ino())).copied()
            })
        }

        fn folder_of_path(&self, path: &Path) -> Option<usize> {
            self.real.iter().position(|folder| path.starts_with(folder))
        }

        /// `ADDRESSES PERMISSIONS OFFSET MAJOR:MINOR INODE PATH`
        fn folder_of_map(&self, line: &[u8]) -> Option<usize> {
            let mut fields = line.splitn(6, |byte| *byte == b' ');
            let device = std::str::from_utf8(fields.nth(3)?).ok()?;
            let inode = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
            let path = Path::new(std::ffi::OsStr::from_bytes(fields.next()?.trim_ascii_start()));
            let (major, minor) = device.split_once(':')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            let device = nix::sys::stat::makedev(number(major)?, number(minor)?);
            #[expect(clippy::useless_conversion, reason = "the type differs between systems")]
            let id = (u64::from(device), inode);
            self.folder_of_path(path).or_else(|| self.files.get(&id).copied())
        }

        /// An interpreter closes its script once it has read it, and may read more files beside it later.
        fn folder_of_argument(&self, argument: &[u8], process: &Path) -> Option<usize> {
            let path = Path::new(std::ffi::OsStr::from_bytes(argument));
            if !path.has_root() {
                return None;
            }
            self.folder_of_path(path).or_else(|| {
                self.folders
                    .iter()
                    .position(|folder| path.starts_with(&folder.path))
                    .or_else(|| path.starts_with(self.current).then(|| self.folder_at_start(process)).flatten())
            })
        }

        /// Returns the folder to which `current` pointed when the process started.
        fn folder_at_start(&self, process: &Path) -> Option<usize> {
            let started = start_time(process)?;
            self.folders.iter().position(|folder| {
                let was_current = folder.current.as_ref();
                was_current
                    .is_some_and(|time| (time.start.saturating_sub(TOLERANCE)..time.end + TOLERANCE).contains(&started))
            })
        }
    }

    fn add_files(folder: &Path, index: usize, files: &mut HashMap<FileId, usize>) {
        let Ok(about) = fs::symlink_metadata(folder) else { return };
        add_files_on(about.dev(), folder, index, files);
    }

    /// What is mounted there can be anything.
    fn add_files_on(device: u64, folder: &Path, index: usize, files: &mut HashMap<FileId, usize>) {
        let Ok(about) = fs::symlink_metadata(folder) else { return };
        if about.dev() != device {
            return;
        }
        files.insert((about.dev(), about.ino()), index);
        if about.is_dir() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                add_files_on(device, &entry.path(), index, files);
            }
        }
    }

    /// Returns when a process started (seconds since 1970).
    fn start_time(process: &Path) -> Option<u64> {
        let stat = fs::read_to_string(process.join("stat")).ok()?;
        // The program's name, in brackets, may contain anything. The start is the twentieth field after it.
        let ticks: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted: u64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
        Some(booted + ticks / u64::try_from(per_second).ok()?.max(1))
    }
}
