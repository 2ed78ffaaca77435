//! Secure directories: paths that no other user can change, for the agent's files and sockets.
//!
//! [`closed`] resolves the path from the root of the file system, one link and one folder at a time. Every component
//! must belong to root or to this user and must not be writable by others. Anyone who fails this check could replace a
//! folder, now or later; nobody can swap a component that passes. Missing folders are created on the way, inside
//! folders that passed. If another user creates one first, that folder is refused like any other.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Whether a folder's group may have write access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Only an ordinary user's own primary group. Many systems give each user a private group and make folders
    /// writable for it.
    MyOwn,
    /// No group may write.
    Nobody,
}

/// Maximum number of symbolic links followed, so that a cycle ends.
#[cfg(unix)]
const LINKS: usize = 40;

/// Returns the real path of a folder that no other user can change. Creates missing folders, the last one with `mode`.
///
/// # Errors
/// When others can change the folder or one above it, when it is not a folder, or when the disk fails.
#[cfg(unix)]
pub fn closed(path: &Path, mode: u32, group: Group) -> io::Result<PathBuf> {
    use std::{
        collections::VecDeque,
        ffi::OsString,
        os::unix::fs::{DirBuilderExt, MetadataExt},
        path::Component,
    };
    let refused = |detail: String| io::Error::new(io::ErrorKind::PermissionDenied, detail);
    let names = |path: &Path| -> Vec<OsString> {
        let name = |part: Component<'_>| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        };
        path.components().filter_map(name).collect()
    };
    let whole = std::path::absolute(path)?;
    let mut left: VecDeque<OsString> = names(&whole).into();
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    look(&at, left.is_empty(), group)?;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let about = match next.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = std::fs::DirBuilder::new().mode(if left.is_empty() { mode } else { 0o755 }).create(&next);
                match made {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => next.symlink_metadata()?,
                }
            }
            other => other?,
        };
        if !about.is_symlink() {
            at = next;
            look(&at, left.is_empty(), group)?;
            continue;
        }
        links += 1;
        if !mine_or_roots(about.uid()) || links > LINKS {
            return Err(refused(format!(
                "{} is a symbolic link of another user (owner {}), or one link too many",
                next.display(),
                about.uid()
            )));
        }
        let target = std::fs::read_link(&next)?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for name in names(&target).into_iter().rev() {
            left.push_front(name);
        }
    }
    Ok(at)
}

#[cfg(unix)]
fn mine_or_roots(owner: u32) -> bool {
    owner == 0 || owner == nix::unistd::geteuid().as_raw()
}

/// Checks one folder of the path. In a sticky folder (/tmp) others can add entries but not replace existing ones,
/// which is enough above the last folder.
#[cfg(unix)]
fn look(folder: &Path, last: bool, group: Group) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let about = folder.symlink_metadata()?;
    if !about.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", folder.display())));
    }
    let (mode, owner, me) = (about.mode(), about.uid(), nix::unistd::geteuid());
    let my_group = group == Group::MyOwn && !me.is_root() && about.gid() == nix::unistd::getegid().as_raw();
    let others = if my_group { 0o002 } else { 0o022 };
    if mine_or_roots(owner) && (mode & others == 0 || (!last && mode & 0o1000 != 0)) {
        return Ok(());
    }
    let detail = format!(
        "others can change {} (owner {owner}, mode {:o}) and replace what is in it; use a folder that only root or the \
         agent's user can write to, all the way up",
        folder.display(),
        mode & 0o7777
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, detail))
}

/// Returns the real path of a folder and creates what is missing. Access rights are the system administrator's
/// responsibility here.
///
/// # Errors
/// When the disk fails.
#[cfg(not(unix))]
pub fn closed(path: &Path, _mode: u32, _group: Group) -> io::Result<PathBuf> {
    std::fs::create_dir_all(path)?;
    std::path::absolute(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    fn kind(path: &Path) -> Result<PathBuf, io::ErrorKind> {
        closed(path, 0o711, Group::Nobody).map_err(|error| error.kind())
    }

    #[test]
    fn missing_folders_are_created_and_own_links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let data = folder.path().join("a/b/data");
        assert_eq!(kind(&data), Ok(real.join("a/b/data")));
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o711);
        symlink("../a/./b", folder.path().join("a/short")).unwrap();
        assert_eq!(kind(&folder.path().join("a/short/data")), Ok(real.join("a/b/data")));
        assert_eq!(kind(&folder.path().join("a/b/../b/data")), Ok(real.join("a/b/data")));
        symlink("circle", folder.path().join("circle")).unwrap();
        assert_eq!(kind(&folder.path().join("circle/x")), Err(io::ErrorKind::PermissionDenied));
        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(kind(&folder.path().join("file/x")), Err(io::ErrorKind::NotADirectory));
    }

    #[test]
    fn a_path_with_a_component_that_others_could_replace_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/data");
        assert!(kind(&data).is_ok());
        for (above, last, good) in [
            (0o755, 0o755, true),
            (0o1777, 0o711, true),
            (0o777, 0o711, false),
            (0o775, 0o711, false),
            (0o755, 0o777, false),
            (0o755, 0o1777, false),
        ] {
            set(&folder.path().join("a"), above);
            set(&data, last);
            assert_eq!(kind(&data).is_ok(), good, "{above:o} {last:o}");
        }
    }
}
