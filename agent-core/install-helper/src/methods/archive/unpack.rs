//! The two passes over an archive: validate everything, then write. Writing goes through a capability for the target
//! folder (`cap-std`), so even a path that the scan let through by mistake cannot escape it.

use crate::{
    error::archive_refusal::Refusal,
    methods::archive::{
        reader::{Entry, broken, walk},
        safe_path::{Rules, SafePath},
        validation::{Planned, Scan},
    },
};
use crate::{
    error::{Doing, Trouble},
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
const SYNCED_SINGLY: u64 = 1000;

/// Reads the archive from end to end and writes nothing.
///
/// Returns the disk space that its content needs (bytes).
///
/// # Errors
/// The first entry that must not be unpacked.
pub(super) fn look(archive: &Path, file_name: &str, rules: Rules) -> Result<u64, Trouble> {
    let mut scan = Scan::new(rules);
    walk(archive, file_name, &mut |entry: &Entry, content: &mut dyn Read| {
        if let Planned::File { size, path, .. } = scan.admit(entry)? {
            copy(content, &mut io::sink(), path.as_str(), size)?;
        }
        Ok(())
    })?;
    Ok(scan.room())
}

/// Unpacks the archive into an existing empty folder and syncs it.
pub(super) fn unpack(archive: &Path, file_name: &str, rules: Rules, into: &Path) -> Result<(), Trouble> {
    let folder = Dir::open_ambient_dir(into, ambient_authority()).doing(|| format!("opening {}", into.display()))?;
    let mut writer = Writer { folder, files: 0, folders: vec![String::new()] };
    let mut scan = Scan::new(rules);
    walk(archive, file_name, &mut |entry: &Entry, content: &mut dyn Read| writer.write(scan.admit(entry)?, content))?;
    writer.sync(into).doing(|| format!("syncing {}", into.display()))
}

/// Writes below one folder.
struct Writer {
    folder: Dir,
    /// The number of files written.
    files: u64,
    /// The folders created, and the target folder.
    folders: Vec<String>,
}

impl Writer {
    fn write(&mut self, planned: Planned, content: &mut dyn Read) -> Result<(), Trouble> {
        match planned {
            Planned::Root => Ok(()),
            Planned::Folder(path) => self.make_folder(path.as_str()),
            Planned::File { path, size, executable } => {
                self.make_parent(&path)?;
                self.write_file(path.as_str(), content, size, executable)
            }
            Planned::Symlink { path, target } => {
                self.make_parent(&path)?;
                let made = make_link(&self.folder, &target, path.as_str());
                made.doing(|| format!("creating the link {:?}", path.as_str()))
            }
            Planned::HardLink { path, to } => {
                self.make_parent(&path)?;
                let made = self.folder.hard_link(to.as_str(), &self.folder, path.as_str());
                made.doing(|| format!("creating the hard link {:?}", path.as_str()))
            }
        }
    }

    fn make_parent(&mut self, path: &SafePath) -> Result<(), Trouble> {
        path.parents().last().map_or(Ok(()), |parent| self.make_folder(parent))
    }

    fn make_folder(&mut self, path: &str) -> Result<(), Trouble> {
        let doing = || format!("creating the folder {path:?}");
        // Sets the mode of each new folder explicitly: the installer's umask must not affect it.
        for end in path.match_indices('/').map(|(end, _)| end).chain([path.len()]) {
            let path = &path[..end];
            match self.folder.create_dir(path) {
                Ok(()) => {
                    if let Some(mode) = sys::mode(true) {
                        self.folder.set_permissions(path, Permissions::from_std(mode)).doing(doing)?;
                    }
                    self.folders.push(path.to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).doing(doing),
            }
        }
        Ok(())
    }

    fn write_file(&mut self, path: &str, content: &mut dyn Read, size: u64, executable: bool) -> Result<(), Trouble> {
        let doing = || format!("writing {path:?}");
        let mut options = OpenOptions::new();
        let mut file = self.folder.open_with(path, options.write(true).create_new(true)).doing(doing)?.into_std();
        copy(content, &mut file, path, size)?;
        if let Some(mode) = sys::mode(executable) {
            file.set_permissions(mode).doing(doing)?;
        }
        self.files += 1;
        if self.files <= SYNCED_SINGLY || !sys::SYNCS_DISKS { file.sync_all().doing(doing) } else { Ok(()) }
    }

    /// Syncs the whole tree, so that it survives a power cut.
    fn sync(&self, into: &Path) -> io::Result<()> {
        if self.files > SYNCED_SINGLY && sys::SYNCS_DISKS {
            return sys::sync_disk(into);
        }
        self.folders.iter().try_for_each(|folder| sys::sync_folder(&into.join(folder)))
    }
}

#[cfg(unix)]
fn make_link(folder: &Dir, target: &str, path: &str) -> io::Result<()> {
    folder.symlink(target, path)
}

#[cfg(windows)]
fn make_link(_folder: &Dir, _target: &str, _path: &str) -> io::Result<()> {
    // The scan has already refused links.
    Err(io::ErrorKind::Unsupported.into())
}

/// Copies exactly `size` bytes. A different amount means that the archive's headers are wrong.
fn copy(content: &mut dyn Read, target: &mut dyn Write, path: &str, size: u64) -> Result<(), Trouble> {
    let mut buffer = vec![0; 64 << 10];
    let mut found = 0_u64;
    loop {
        let count = content.read(&mut buffer).map_err(broken)?;
        if count == 0 {
            break;
        }
        found += count as u64;
        if found > size {
            break;
        }
        target.write_all(&buffer[..count]).doing(|| format!("writing {path:?}"))?;
    }
    if found == size { Ok(()) } else { Err(Refusal::Lies { path: path.into(), said: size, found }.into()) }
}
