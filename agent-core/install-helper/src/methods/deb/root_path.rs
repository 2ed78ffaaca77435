//! Paths of packages below a root: links are followed as the root's own programs would.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// Most links that are followed.
const MAX_LINKS: usize = 40;

/// Returns where a package's absolute path is, below `root`. Links in folders are followed, never out of the root; a
/// link at the end is not.
pub(crate) fn resolve(root: &Path, path: &str) -> PathBuf {
    let mut todo: Vec<OsString> = words(Path::new(path));
    let (mut at, mut links) = (PathBuf::new(), 0);
    while let Some(word) = todo.pop() {
        if word == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&word);
        let is_last = todo.is_empty();
        match fs::read_link(root.join(&next)) {
            Ok(target) if !is_last && links < MAX_LINKS => {
                links += 1;
                if target.is_absolute() {
                    at = PathBuf::new();
                }
                todo.extend(words(&target));
            }
            _ => at = next,
        }
    }
    root.join(at)
}

/// Returns many places as [`resolve`] does, and looks at each folder once.
pub(crate) struct Places<'a> {
    root: &'a Path,
    folders: HashMap<String, PathBuf>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(root: &'a Path) -> Self {
        Self { root, folders: HashMap::new() }
    }
    pub(crate) fn of(&mut self, path: &str) -> PathBuf {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(known) = self.folders.get(folder) {
            return known.join(name);
        }
        let place = folder_place(self.root, folder);
        self.folders.insert(folder.to_owned(), place.clone());
        place.join(name)
    }
}

/// Returns where the content of a package's folder is, below `root`. The folder itself may be a link, too.
pub(crate) fn folder_place(root: &Path, folder: &str) -> PathBuf {
    let inside = resolve(root, &format!("{folder}/inside"));
    inside.parent().map_or(root.to_owned(), Path::to_owned)
}

/// The words of a path, the last one first.
fn words(path: &Path) -> Vec<OsString> {
    let word = |component: Component<'_>| match component {
        Component::Normal(word) => Some(word.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    let mut words: Vec<_> = path.components().filter_map(word).collect();
    words.reverse();
    words
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_below_the_root_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        symlink("/usr", root.join("opt")).unwrap();
        symlink("../../../../etc", root.join("usr/out")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/etc/passwd", root.join("usr/bin/last")).unwrap();
        for (path, place) in [
            ("/bin/tool", "usr/bin/tool"),
            ("/opt/bin/tool", "usr/bin/tool"),
            ("/usr/out/passwd", "etc/passwd"),
            ("/bin/last", "usr/bin/last"),
            ("/new/folder/file", "new/folder/file"),
        ] {
            assert_eq!(resolve(root, path), root.join(place), "{path}");
            assert_eq!(Places::new(root).of(path), root.join(place), "{path}");
        }
        assert!(resolve(root, "/loop/file").starts_with(root));
        assert_eq!(folder_place(root, "/bin"), root.join("usr/bin"));
        assert_eq!(folder_place(root, ""), root);
    }
}
