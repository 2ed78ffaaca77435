//! The mounts of all processes, from `/proc/ID/mountinfo`. Nothing is looked up on the disks: one that hangs does not
//! matter.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// `MAJOR:MINOR` of the file system.
    device: String,
    /// Which folder of the file system is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
}

/// The mounts in every process's view.
pub(super) struct Mounts {
    own: Vec<Mount>,
    all: Vec<Mount>,
}

impl Mounts {
    pub(super) fn read() -> Self {
        let own = read(Path::new("/proc/self/mountinfo"));
        let (mut all, mut seen) = (own.clone(), HashSet::new());
        for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
            // Most processes share their view.
            if fs::read_link(process.path().join("ns/mnt")).is_ok_and(|view| seen.insert(view)) {
                all.extend(read(&process.path().join("mountinfo")));
            }
        }
        Self { own, all }
    }

    /// Whether something is mounted below a folder, or the folder or a part of it is mounted elsewhere, such as in a
    /// container. `folder` is a path without links.
    pub(super) fn concern(&self, folder: &Path) -> bool {
        let around = |mount: &&Mount| folder.starts_with(&mount.point);
        let of_folder = self.own.iter().filter(around).max_by_key(|mount| mount.point.components().count());
        let inside = of_folder.and_then(|mount| Some((mount, folder.strip_prefix(&mount.point).ok()?)));
        let in_file_system = inside.map(|(mount, inside)| (&mount.device, mount.root.join(inside)));
        self.all.iter().any(|mount| {
            let is_elsewhere = in_file_system
                .as_ref()
                .is_some_and(|(device, path)| mount.device == **device && mount.root.starts_with(path));
            is_elsewhere || mount.point.starts_with(folder)
        })
    }
}

fn read(path: &Path) -> Vec<Mount> {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// `ID PARENT MAJOR:MINOR ROOT POINT …`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let device = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Mount { device, root: unescape(fields.next()?), point: unescape(fields.next()?) })
}

/// Spaces and the like are written as `\040`.
fn unescape(field: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), field);
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[3..];
            }
            None => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(own: &[&str], others: &[&str]) -> Mounts {
        let parsed = |lines: &[&str]| lines.iter().filter_map(|line| parse(line.as_bytes())).collect::<Vec<_>>();
        let own = parsed(own);
        Mounts { all: own.iter().cloned().chain(parsed(others)).collect(), own }
    }

    #[test]
    fn mounts_below_a_folder_and_of_a_folder_concern_it() {
        let own = ["1 0 8:1 / / rw", "2 1 8:2 /opt /opt rw", "3 1 0:5 / /opt/app/1/data rw"];
        let container = ["9 1 8:2 /opt/app/2/share\\040x /srv rw", "9 1 8:1 /app/3 /srv/x rw"];
        let mounts = mounts(&own, &container);
        for (folder, concerns) in [("1", true), ("2", true), ("3", false), ("1.1", false)] {
            assert_eq!(mounts.concern(&Path::new("/opt/app").join(folder)), concerns, "{folder}");
        }
        assert_eq!(unescape(b"/a\\040b\\134c\\"), Path::new("/a b\\c\\"));
    }
}
