//! Owner, mode, times and extended attributes of files, and their hard links.
//!
//! The order matters: new content and a new owner clear the setuid bit and the capabilities, and a new mode changes the
//! access list. So content comes first, then owner, mode, extended attributes and times.

use crate::{
    file_attributes::{FileAttributes, FileTime, FileTimes},
    sys::{create_private_file, open_plain_file},
};
use nix::{
    fcntl::AT_FDCWD,
    libc,
    sys::{
        stat::{UtimensatFlags, futimens, utimensat},
        time::TimeSpec,
    },
};
use std::{
    fs::{self, File, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown},
    path::Path,
};

#[cfg(target_os = "linux")]
use crate::sys::extended_attributes;

/// Only Linux has extended attributes that this program knows.
#[cfg(not(target_os = "linux"))]
mod extended_attributes {
    use crate::file_attributes::ExtendedAttribute;
    use std::{fs::File, io, path::Path};

    pub(super) fn read(_place: &Path) -> io::Result<Vec<ExtendedAttribute>> {
        Ok(Vec::new())
    }
    pub(super) fn set(_file: &File, _wanted: &[ExtendedAttribute]) -> io::Result<()> {
        Ok(())
    }
}

/// The part of a mode that is not the kind of file.
const MODE: u32 = 0o7777;

/// Returns the attributes of a file, folder or symbolic link. A link has no extended attributes here.
pub(crate) fn read_attributes(place: &Path) -> io::Result<FileAttributes> {
    let found = fs::symlink_metadata(place)?;
    let extended = if found.is_symlink() { Vec::new() } else { extended_attributes::read(place)? };
    let times = FileTimes {
        accessed: FileTime { seconds: found.atime(), nanoseconds: found.atime_nsec() },
        modified: FileTime { seconds: found.mtime(), nanoseconds: found.mtime_nsec() },
    };
    Ok(FileAttributes {
        mode: found.mode() & MODE,
        owner: found.uid(),
        group: found.gid(),
        links: found.nlink(),
        times: Some(times),
        extended,
    })
}

/// Copies the content of a file to a private file where nothing is, and syncs it.
pub(crate) fn copy_content(from: &Path, to: &Path) -> io::Result<()> {
    let (mut source, mut target) = (File::open(from)?, create_private_file(to)?);
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Copies the content of a file to a place where nothing is, gives the new file these attributes, and syncs it.
pub(crate) fn copy_file(from: &Path, to: &Path, attributes: &FileAttributes) -> io::Result<()> {
    let (mut source, mut target) = (File::open(from)?, create_private_file(to)?);
    io::copy(&mut source, &mut target)?;
    set_attributes(&target, attributes)?;
    target.sync_all()
}

/// Gives a file, folder or symbolic link these attributes, unless it has them. Returns whether it was changed.
pub(crate) fn correct_attributes(place: &Path, wanted: &FileAttributes) -> io::Result<bool> {
    if needs_no_change(&read_attributes(place)?, wanted) {
        return Ok(false);
    }
    let kind = fs::symlink_metadata(place)?.file_type();
    if kind.is_symlink() {
        return set_link_attributes(place, wanted).map(|()| true);
    }
    let file = if kind.is_dir() {
        File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(place)?
    } else {
        open_plain_file(place)?
    };
    set_attributes(&file, wanted)?;
    file.sync_all().map(|()| true)
}

/// Whether a file with these attributes is as wanted. Reading it changes the time of the last access, and its other names
/// come and go.
fn needs_no_change(now: &FileAttributes, wanted: &FileAttributes) -> bool {
    let modified = |attributes: &FileAttributes| attributes.times.map(|times| times.modified);
    let has_time = wanted.times.is_none() || modified(now) == modified(wanted);
    let rest = |attributes: &FileAttributes| (attributes.mode, attributes.owner, attributes.group);
    has_time && rest(now) == rest(wanted) && now.extended == wanted.extended
}

/// Gives a symbolic link this owner and these times. Its mode means nothing.
fn set_link_attributes(place: &Path, wanted: &FileAttributes) -> io::Result<()> {
    lchown(place, Some(wanted.owner), Some(wanted.group))?;
    let Some(FileTimes { accessed, modified }) = &wanted.times else { return Ok(()) };
    Ok(utimensat(AT_FDCWD, place, &to_spec(accessed), &to_spec(modified), UtimensatFlags::NoFollowSymlink)?)
}

fn set_attributes(file: &File, wanted: &FileAttributes) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (wanted.owner, wanted.group) {
        fchown(file, Some(wanted.owner), Some(wanted.group))?;
    }
    if file.metadata()?.mode() & MODE != wanted.mode {
        file.set_permissions(Permissions::from_mode(wanted.mode))?;
    }
    extended_attributes::set(file, &wanted.extended)?;
    if let Some(FileTimes { accessed, modified }) = &wanted.times {
        futimens(file, &to_spec(accessed), &to_spec(modified))?;
    }
    Ok(())
}

#[expect(clippy::useless_conversion, reason = "times are 32 bits wide on some systems")]
fn to_spec(time: &FileTime) -> TimeSpec {
    let seconds = time.seconds.try_into().unwrap_or_default();
    TimeSpec::new(seconds, time.nanoseconds.try_into().unwrap_or_default())
}

/// Returns what all names of a file have in common, unless it has one name only.
pub(crate) fn shared_identity(found: &Metadata) -> Option<(u64, u64)> {
    (found.nlink() > 1).then(|| (found.dev(), found.ino()))
}

/// Returns how many names a file has.
pub(crate) fn count_links(found: &Metadata) -> u64 {
    found.nlink()
}

/// Returns whether two names are names of one file.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let identity = |found: Metadata| (found.dev(), found.ino());
    Ok(identity(fs::symlink_metadata(one)?) == identity(fs::symlink_metadata(other)?))
}
