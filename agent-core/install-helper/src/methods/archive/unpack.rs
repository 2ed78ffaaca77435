//! The two passes over an archive: validate everything, then write. Writing goes through a capability for the target
//! folder (`cap-std`), so even a path that the validation let through by mistake cannot escape it.

use crate::{
    error::archive_refusal::ArchiveRefusal,
    methods::archive::{
        reader::{Entry, damaged, read_entries},
        safe_path::{NameRules, SafePath},
        validation::{PlannedEntry, Validator},
    },
};
use crate::{
    error::{InstallError, IoContext},
    sys,
};
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, Permissions},
};
use std::{
    io::{self, Read, Write},
    path::Path,
};

/// The number of files that are synced one by one. Beyond it, one sync of the whole disk at the end is faster, although
/// it also waits for other programs' writes.
const MAX_SINGLE_SYNCS: u64 = 1000;

/// Reads the archive from end to end and writes nothing.
///
/// Returns the disk space that its content needs (bytes).
///
/// # Errors
/// The first entry that must not be unpacked.
pub(super) fn inspect(archive: &Path, file_name: &str, rules: NameRules) -> Result<u64, InstallError> {
    let mut validator = Validator::new(rules);
    read_entries(archive, file_name, &mut |entry: &Entry, content: &mut dyn Read| {
        if let PlannedEntry::File { size, path, .. } = validator.admit(entry)? {
            copy(content, &mut io::sink(), path.as_str(), size)?;
        }
        Ok(())
    })?;
    Ok(validator.disk_bytes())
}

/// Unpacks the archive into an existing empty folder and syncs it.
pub(super) fn unpack(archive: &Path, file_name: &str, rules: NameRules, into: &Path) -> Result<(), InstallError> {
    let folder = Dir::open_ambient_dir(into, ambient_authority()).context(|| format!("opening {}", into.display()))?;
    let mut writer = TreeWriter { folder, files: 0, folders: vec![String::new()] };
    let mut validator = Validator::new(rules);
    read_entries(archive, file_name, &mut |entry: &Entry, content: &mut dyn Read| {
        writer.write(validator.admit(entry)?, content)
    })?;
    writer.sync(into).context(|| format!("syncing {}", into.display()))
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
            PlannedEntry::Root => Ok(()),
            PlannedEntry::Folder(path) => self.create_folder(path.as_str()),
            PlannedEntry::File { path, size, executable } => {
                self.create_parent(&path)?;
                self.write_file(path.as_str(), content, size, executable)
            }
            PlannedEntry::Symlink { path, target } => {
                self.create_parent(&path)?;
                let made = sys::create_symlink(&self.folder, &target, path.as_str());
                made.context(|| format!("creating the link {:?}", path.as_str()))
            }
            PlannedEntry::HardLink { path, to } => {
                self.create_parent(&path)?;
                let made = self.folder.hard_link(to.as_str(), &self.folder, path.as_str());
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

    fn write_file(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        size: u64,
        executable: bool,
    ) -> Result<(), InstallError> {
        let context = || format!("writing {path:?}");
        let mut options = OpenOptions::new();
        let mut file = self.folder.open_with(path, options.write(true).create_new(true)).context(context)?.into_std();
        copy(content, &mut file, path, size)?;
        if let Some(mode) = sys::unpacked_mode(executable) {
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

/// Copies exactly `size` bytes. A different amount means that the archive's headers are wrong.
fn copy(content: &mut dyn Read, target: &mut dyn Write, path: &str, size: u64) -> Result<(), InstallError> {
    let mut buffer = vec![0; 64 << 10];
    let mut found = 0_u64;
    loop {
        let count = content.read(&mut buffer).map_err(damaged)?;
        if count == 0 {
            break;
        }
        found += count as u64;
        if found > size {
            break;
        }
        target.write_all(&buffer[..count]).context(|| format!("writing {path:?}"))?;
    }
    if found == size { Ok(()) } else { Err(ArchiveRefusal::WrongSize { path: path.into(), said: size, found }.into()) }
}
