//! Folders that nobody else can change: what the agent writes and where it listens lies in one.
//!
//! The way there is walked from the root of the file system, link by link and folder by folder, and each step must belong to
//! root or to this user and be closed to others. So whoever is refused here could have put something else in the place of a
//! folder, now or later; and whatever is walked past can be swapped by nobody. What is missing is made on the way, inside of
//! what was found to be closed; if somebody else is faster, theirs is refused like any other.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Whether others of the folder's group may write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// No group but one's own, of an ordinary user: many systems give everybody a group of their own, and folders that it
    /// may write to.
    MyOwn,
    /// None.
    Nobody,
}

/// So many links are followed; a circle has no end.
#[cfg(unix)]
const LINKS: usize = 40;

/// The real path of a folder that nobody else can change; makes what is missing, the last one with this mode.
///
/// # Errors
/// When others can change it or something above it, it is no folder, or the disk fails.
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
            return Err(refused(format!("{} is a link of somebody else's (owner {})", next.display(), about.uid())));
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

/// Looks at one folder on the way. In a sticky one (/tmp) others can add, but not replace what is there: good enough above
/// the last.
#[cfg(unix)]
fn look(folder: &Path, last: bool, group: Group) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let about = folder.symlink_metadata()?;
    if !about.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is no folder", folder.display())));
    }
    let (mode, owner, me) = (about.mode(), about.uid(), nix::unistd::geteuid());
    let my_group = group == Group::MyOwn && !me.is_root() && about.gid() == nix::unistd::getegid().as_raw();
    let others = if my_group { 0o002 } else { 0o022 };
    if mine_or_roots(owner) && (mode & others == 0 || (!last && mode & 0o1000 != 0)) {
        return Ok(());
    }
    let detail = format!(
        "others can change {} (owner {owner}, mode {:o}) and put something else in its place; use a folder that only root or \
         the agent's user can write to, all the way up",
        folder.display(),
        mode & 0o7777
    );
    Err(io::Error::new(io::ErrorKind::PermissionDenied, detail))
}

/// The real path of a folder; makes what is missing. Who may change it is for the system's administrator to say here.
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
    fn what_is_missing_is_made_and_own_links_are_followed() {
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
    fn whoever_could_swap_a_step_of_the_way_makes_it_no_place() {
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
