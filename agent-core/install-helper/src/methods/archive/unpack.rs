//! The two passes over an archive: validate everything, then write. Writing goes through a capability for the target
//! folder (`cap-std`), so even a path that the validation let through by mistake cannot escape it.

use super::early_sync::EarlySync;
use crate::{
    error::{InstallError, IoContext},
    sys,
};
use banyan_archive::{
    Entry, NameRules, PlannedEntry, Tree, inspect::copy_exactly, names::SafePath, read_entries, reader::is_program,
};
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, Permissions},
};
use std::{
    fs,
    io::{self, Read, Seek, Write},
    path::Path,
};

/// The number of files that are synced one by one. Beyond it, one sync of the whole disk at the end is faster, although
/// it also waits for other programs' writes.
const MAX_SINGLE_SYNCS: u64 = 1000;

/// An archive to unpack, and by which rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) archive: &'a Path,
    pub(super) file_name: &'a str,
    pub(super) rules: NameRules,
    /// The number of bytes that it may unpack to.
    pub(super) limit: u64,
}

/// Reads the archive from end to end and writes nothing.
///
/// Returns the disk space that its content needs (bytes), and its number of files and folders.
///
/// # Errors
/// The first entry that must not be unpacked.
pub(super) fn inspect(source: Source<'_>) -> Result<(u64, u64), InstallError> {
    let Source { archive, file_name, rules, limit } = source;
    let contents = banyan_archive::inspect(archive, file_name, rules, limit, &[], &mut |_, _| {})?;
    Ok((contents.disk_bytes, contents.tree.path_count()))
}

/// Unpacks the archive into an existing empty folder and syncs it.
pub(super) fn unpack(source: Source<'_>, into: &Path) -> Result<(), InstallError> {
    let Source { archive, file_name, rules, limit } = source;
    let folder = Dir::open_ambient_dir(into, ambient_authority()).context(|| format!("opening {}", into.display()))?;
    let mut writer = TreeWriter { folder, files: 0, folders: vec![String::new()] };
    let mut tree = Tree::new(rules, limit);
    read_entries(archive, file_name, limit, &mut |entry: &Entry, content: &mut dyn Read| {
        writer.write(tree.admit(entry).map_err(InstallError::Archive)?, content)
    })?;
    tree.finish().map_err(InstallError::Archive)?;
    writer.sync(into).context(|| format!("syncing {}", into.display()))
}

/// Writes a new file and leaves holes instead of zeros, which take neither time nor room on most disks. Zeros at the end
/// are left out.
struct HoleWriter {
    file: fs::File,
    early_sync: Option<EarlySync>,
}

impl Write for HoleWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        const MIN_HOLE_BYTES: usize = 4096;
        let part = &bytes[..bytes.len().min(ZEROS.len())];
        if part.len() < MIN_HOLE_BYTES || *part != ZEROS[..part.len()] {
            let count = self.file.write(part)?;
            if let Some(early_sync) = &mut self.early_sync {
                early_sync.on_written(count as u64);
            }
            return Ok(count);
        }
        self.file.seek_relative(i64::try_from(part.len()).unwrap_or_default())?;
        Ok(part.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes below one folder.
struct TreeWriter {
    folder: Dir,
    /// The number of files written.
    files: u64,
    /// The folders created, and the target folder.
    folders: Vec<String>,
}

impl TreeWriter {
    fn write(&mut self, planned: PlannedEntry, content: &mut dyn Read) -> Result<(), InstallError> {
        match planned {
            PlannedEntry::Nothing => Ok(()),
            PlannedEntry::Folder(path) => self.create_folder(path.as_str()),
            PlannedEntry::File { path, size, executable } => {
                self.create_parent(&path)?;
                self.write_file(&path, content, size, executable)
            }
            PlannedEntry::Symlink { path, target } => {
                self.create_parent(&path)?;
                let made = self.replacing(&path, || sys::create_symlink(&self.folder, &target, path.as_str()));
                made.context(|| format!("creating the link {:?}", path.as_str()))
            }
            PlannedEntry::HardLink { path, to } => {
                self.create_parent(&path)?;
                let made = self.replacing(&path, || self.folder.hard_link(to.as_str(), &self.folder, path.as_str()));
                made.context(|| format!("creating the hard link {:?}", path.as_str()))
            }
        }
    }

    fn create_parent(&mut self, path: &SafePath) -> Result<(), InstallError> {
        path.parents().last().map_or(Ok(()), |parent| self.create_folder(parent))
    }

    fn create_folder(&mut self, path: &str) -> Result<(), InstallError> {
        let context = || format!("creating the folder {path:?}");
        // Sets the mode of each new folder explicitly: the install helper's umask must not affect it.
        for end in path.match_indices('/').map(|(end, _)| end).chain([path.len()]) {
            let path = &path[..end];
            match self.folder.create_dir(path) {
                Ok(()) => {
                    if let Some(mode) = sys::unpacked_mode(true) {
                        self.folder.set_permissions(path, Permissions::from_std(mode)).context(context)?;
                    }
                    self.folders.push(path.to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).context(context),
            }
        }
        Ok(())
    }

    /// Creates a file or link. What an earlier entry of this name created is removed first, so that nothing is ever
    /// written through a link.
    fn replacing<T>(&self, path: &SafePath, create: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.folder.remove_file(path.as_str())?;
                create()
            }
            other => other,
        }
    }

    fn write_file(
        &mut self,
        path: &SafePath,
        content: &mut dyn Read,
        size: u64,
        executable: Option<bool>,
    ) -> Result<(), InstallError> {
        let context = || format!("writing {:?}", path.as_str());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let opened = self.replacing(path, || self.folder.open_with(path.as_str(), &options));
        let file = opened.context(context)?.into_std();
        let early_sync = EarlySync::start(&file, size).context(context)?;
        let mut writer = HoleWriter { file, early_sync };
        let write_error = |source| InstallError::Io { context: context(), source };
        let head = copy_exactly(content, &mut writer, path, size, write_error)?;
        let HoleWriter { file, early_sync } = writer;
        early_sync.map_or(Ok(()), EarlySync::finish).context(context)?;
        file.set_len(size).context(context)?;
        if let Some(mode) = sys::unpacked_mode(executable.unwrap_or_else(|| is_program(&head))) {
            file.set_permissions(mode).context(context)?;
        }
        self.files += 1;
        if self.files <= MAX_SINGLE_SYNCS || !sys::CAN_SYNC_DISK { file.sync_all().context(context) } else { Ok(()) }
    }

    /// Syncs the whole tree, so that it survives a power cut.
    fn sync(&self, into: &Path) -> io::Result<()> {
        if self.files > MAX_SINGLE_SYNCS && sys::CAN_SYNC_DISK {
            return sys::sync_disk(into);
        }
        self.folders.iter().try_for_each(|folder| sys::sync_folder(&into.join(folder)))
    }
}
