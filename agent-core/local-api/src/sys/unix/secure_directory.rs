//! Checks a path one component at a time, and creates what is missing.

use crate::sys::GroupAccess;
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::Permissions,
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

/// Maximum number of symbolic links followed, so that a cycle ends.
const MAX_LINKS: usize = 40;

/// Returns the real path of a folder that no other user can change. Creates missing folders, the last one with `mode`.
///
/// # Errors
/// When others can change the folder or one above it, when it is not a folder, or when the disk fails.
pub(crate) fn ensure_private(path: &Path, mode: u32, group: GroupAccess) -> io::Result<PathBuf> {
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
    check_folder(&at, left.is_empty(), group)?;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let about = match next.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mode = if left.is_empty() { mode } else { 0o755 };
                match std::fs::DirBuilder::new().mode(mode).create(&next) {
                    // Services often run with a strict umask; people at the machine must reach the socket all the same.
                    Ok(()) => std::fs::set_permissions(&next, Permissions::from_mode(mode))?,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
                next.symlink_metadata()?
            }
            other => other?,
        };
        if !about.is_symlink() {
            at = next;
            check_folder(&at, left.is_empty(), group)?;
            continue;
        }
        links += 1;
        if !is_own_or_roots(about.uid()) || links > MAX_LINKS {
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

fn is_own_or_roots(owner: u32) -> bool {
    owner == 0 || owner == nix::unistd::geteuid().as_raw()
}

/// Checks one folder of the path. In a sticky folder (/tmp) others can add entries but not replace existing ones,
/// which is enough above the last folder.
fn check_folder(folder: &Path, last: bool, group: GroupAccess) -> io::Result<()> {
    let about = folder.symlink_metadata()?;
    if !about.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a folder", folder.display())));
    }
    let (mode, owner, me) = (about.mode(), about.uid(), nix::unistd::geteuid());
    let my_group = group == GroupAccess::OwnPrimary && !me.is_root() && about.gid() == nix::unistd::getegid().as_raw();
    let others = if my_group { 0o002 } else { 0o022 };
    if is_own_or_roots(owner) && (mode & others == 0 || (!last && mode & 0o1000 != 0)) {
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

#[cfg(test)]
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
        ensure_private(path, 0o711, GroupAccess::Nobody).map_err(|error| error.kind())
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
