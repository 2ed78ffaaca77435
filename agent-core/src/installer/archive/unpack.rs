//! The two passes over an archive: look at everything, then write. Writing goes through a capability for the one
//! folder (`cap-std`): even a path that the scan let through by mistake cannot leave it.

use super::{
    name::Rules,
    read::{Entry, broken, walk},
    refusal::Refusal,
    scan::{Planned, Scan},
};
use crate::installer::{
    sys,
    trouble::{Doing, Trouble},
};
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions, Permissions},
};
use std::{
    io::{self, Read, Write},
    path::Path,
};

/// Reads the archive from end to end, writing nothing.
///
/// Gives the room that its content needs (bytes).
///
/// # Errors
/// The first thing in it that must not be unpacked.
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

/// Unpacks into an existing empty folder and syncs it.
pub(super) fn unpack(archive: &Path, file_name: &str, rules: Rules, into: &Path) -> Result<(), Trouble> {
    let opening = || format!("opening {}", into.display());
    let folder = Dir::open_ambient_dir(into, ambient_authority()).doing(opening)?;
    let mut scan = Scan::new(rules);
    walk(archive, file_name, &mut |entry: &Entry, content: &mut dyn Read| match scan.admit(entry)? {
        Planned::Root => Ok(()),
        Planned::Folder(path) => make_folder(&folder, path.as_str()),
        Planned::File { path, size, executable } => {
            make_parent(&folder, path.parents().last())?;
            write_file(&folder, path.as_str(), content, size, executable)
        }
        Planned::Symlink { path, target } => {
            make_parent(&folder, path.parents().last())?;
            make_link(&folder, &target, path.as_str()).doing(|| format!("making the link {:?}", path.as_str()))
        }
        Planned::HardLink { path, to } => {
            make_parent(&folder, path.parents().last())?;
            let made = folder.hard_link(to.as_str(), &folder, path.as_str());
            made.doing(|| format!("making the hard link {:?}", path.as_str()))
        }
    })?;
    // By its path: the handle above only names the folder and cannot be synced.
    sys::sync_tree(into).doing(|| format!("syncing {}", into.display()))
}

fn make_parent(folder: &Dir, parent: Option<&str>) -> Result<(), Trouble> {
    parent.map_or(Ok(()), |parent| make_folder(folder, parent))
}

fn make_folder(folder: &Dir, path: &str) -> Result<(), Trouble> {
    let doing = || format!("making the folder {path:?}");
    // Each new one is given its mode, whatever the umask of the installer is.
    for end in path.match_indices('/').map(|(end, _)| end).chain([path.len()]) {
        match folder.create_dir(&path[..end]) {
            Ok(()) => {
                if let Some(mode) = sys::mode(true) {
                    folder.set_permissions(&path[..end], Permissions::from_std(mode)).doing(doing)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).doing(doing),
        }
    }
    Ok(())
}

fn write_file(folder: &Dir, path: &str, content: &mut dyn Read, size: u64, executable: bool) -> Result<(), Trouble> {
    let doing = || format!("writing {path:?}");
    let mut file = folder.open_with(path, OpenOptions::new().write(true).create_new(true)).doing(doing)?.into_std();
    copy(content, &mut file, path, size)?;
    if let Some(mode) = sys::mode(executable) {
        file.set_permissions(mode).doing(doing)?;
    }
    if sys::SYNC_EACH_FILE { file.sync_all().doing(doing) } else { Ok(()) }
}

#[cfg(unix)]
fn make_link(folder: &Dir, target: &str, path: &str) -> io::Result<()> {
    folder.symlink(target, path)
}

#[cfg(windows)]
fn make_link(_folder: &Dir, _target: &str, _path: &str) -> io::Result<()> {
    // The scan has refused it already.
    Err(io::ErrorKind::Unsupported.into())
}

/// Copies exactly `size` bytes; more or fewer mean that the archive lies.
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
