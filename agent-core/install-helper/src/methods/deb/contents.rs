//! What a deb contains, read with `dpkg-deb` as a stream: its control file, scripts and files.

use crate::{
    error::InstallError,
    methods::deb::{
        database::Database,
        package::{Package, Paragraph},
        root_path::resolve,
    },
    sys,
};
use banyan_proto::Reason;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// Most files that a deb may have.
const MAX_FILES: usize = 1_000_000;
/// Longest control member that is read (bytes).
const MAX_CONTROL_BYTES: u64 = 16 << 20;
/// Folders that dpkg can be told to leave out, as in container images.
const LEFT_OUT: [&str; 5] =
    ["/usr/share/doc/", "/usr/share/man/", "/usr/share/info/", "/usr/share/locale/", "/usr/share/help/"];

/// The scripts that dpkg keeps in its database.
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

/// A deb as data.
#[derive(Debug, Default)]
pub(crate) struct Deb {
    /// From its control file; the state is `not-installed`.
    pub(crate) package: Package,
    pub(crate) files: Vec<DebFile>,
    /// Absolute paths of settings.
    pub(crate) conffiles: BTreeSet<String>,
    /// The scripts and check sums by name, such as `postinst`.
    control_files: BTreeMap<String, Vec<u8>>,
}

/// One file of a deb.
#[derive(Debug)]
pub(crate) struct DebFile {
    /// The absolute path.
    pub(crate) path: String,
    pub(crate) is_folder: bool,
    /// Whether it is a plain file, or a hard link to one.
    pub(crate) is_plain: bool,
    /// Size in bytes; 0 for what is not a plain file.
    pub(crate) size: u64,
}

fn unreadable(deb: &Path, error: impl std::fmt::Display) -> InstallError {
    let file = deb.file_name().unwrap_or_default().display();
    InstallError::new(Reason::InstallFailed, format!("dpkg cannot read {file} as a deb: {error}"))
}

/// A tar stream that `dpkg-deb` writes.
struct Stream {
    child: Child,
    archive: tar::Archive<ChildStdout>,
}

impl Stream {
    fn open(option: &str, deb: &Path) -> Result<Self, InstallError> {
        let mut command = Command::new("dpkg-deb");
        command.arg(option).arg(deb).env_clear().envs(sys::clean_environment());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let detail = "this machine has no dpkg-deb, so it cannot install debs";
                InstallError::new(Reason::InstallFailed, detail)
            }
            _ => unreadable(deb, error),
        })?;
        let out = child.stdout.take().ok_or_else(|| unreadable(deb, "there is no output"))?;
        Ok(Self { child, archive: tar::Archive::new(out) })
    }
    fn each(
        mut self,
        deb: &Path,
        mut visit: impl FnMut(&str, &mut tar::Entry<'_, ChildStdout>) -> io::Result<bool>,
    ) -> Result<bool, InstallError> {
        let mut visit_all = || -> io::Result<bool> {
            for (count, entry) in self.archive.entries()?.enumerate() {
                let mut entry = entry?;
                if count >= MAX_FILES {
                    return Err(io::Error::other("it has too many files"));
                }
                let path = entry.path_bytes().into_owned();
                let path = String::from_utf8(path).map_err(|error| {
                    let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
                    io::Error::other(format!("the file name {name} is not UTF-8, so it could not be restored safely"))
                })?;
                let path = format!("/{}", path.trim_start_matches("./").trim_matches('/'));
                if !visit(&path, &mut entry)? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let visited = visit_all();
        // A stream that was not read to its end ends dpkg-deb with an error, which says nothing.
        drop(self.archive);
        let status = self.child.wait();
        match (visited, status) {
            (Ok(true), Ok(status)) if !status.success() => Err(unreadable(deb, "its archive is damaged")),
            (Ok(all), _) => Ok(all),
            (Err(error), _) => Err(unreadable(deb, error)),
        }
    }
}

impl Deb {
    /// Reads a deb from end to end.
    ///
    /// # Errors
    /// When it is not a deb, or is damaged.
    pub(crate) fn read(path: &Path) -> Result<Self, InstallError> {
        let mut deb = Self::default();
        let (mut control, mut settings) = (String::new(), String::new());
        Stream::open("--ctrl-tarfile", path)?.each(path, |name, entry| {
            let mut bytes = Vec::new();
            match name {
                "/control" | "/conffiles" | "/preinst" | "/postinst" | "/prerm" | "/postrm" | "/config"
                | "/md5sums" => {
                    entry.take(MAX_CONTROL_BYTES).read_to_end(&mut bytes)?;
                }
                _ => return Ok(true),
            }
            match name {
                "/control" => control = String::from_utf8_lossy(&bytes).into_owned(),
                "/conffiles" => settings = String::from_utf8_lossy(&bytes).into_owned(),
                other => drop(deb.control_files.insert(other.trim_start_matches('/').to_owned(), bytes)),
            }
            Ok(true)
        })?;
        let package = Package::from_paragraph(&Paragraph::parse(&control));
        deb.package = package.ok_or_else(|| unreadable(path, "its control file names no package"))?;
        // Others begin with a flag, `remove-on-upgrade`.
        let named = settings.lines().map(str::trim).filter(|line| line.starts_with('/'));
        deb.conffiles = named.map(str::to_owned).collect();
        Stream::open("--fsys-tarfile", path)?.each(path, |name, entry| {
            let kind = entry.header().entry_type();
            let size = if kind.is_file() { entry.size() } else { 0 };
            if name != "/" {
                let is_plain = kind.is_file() || kind.is_hard_link();
                deb.files.push(DebFile { path: name.to_owned(), is_folder: kind.is_dir(), is_plain, size });
            }
            Ok(true)
        })?;
        Ok(deb)
    }

    /// Whether dpkg runs a script of the deb.
    pub(crate) fn has_scripts(&self) -> bool {
        ["preinst", "postinst", "prerm", "postrm"].iter().any(|name| self.control_files.contains_key(*name))
    }

    /// Whether its `preinst` diverts files of other packages, which dpkg then does not overwrite.
    pub(crate) fn diverts_files(&self) -> bool {
        let preinst = self.control_files.get("preinst").map(|text| String::from_utf8_lossy(text));
        preinst.is_some_and(|text| text.contains("dpkg-divert"))
    }

    /// Whether the deb has check sums of its files.
    pub(crate) fn has_sums(&self) -> bool {
        self.control_files.contains_key("md5sums")
    }

    /// Whether this is the very deb that was installed, as far as dpkg's records tell: the same scripts, and the same
    /// check sums of its files. What is on the disk may have changed since.
    pub(crate) fn was_installed(&self, database: &Database, installed: &Package) -> bool {
        let is_same = |name: &str| {
            database.info_file(installed, name).as_deref() == self.control_files.get(name).map(Vec::as_slice)
        };
        self.package.version == installed.version
            && self.has_sums()
            && SCRIPTS.into_iter().chain(["md5sums"]).all(is_same)
    }

    /// Whether exactly this content is installed: scripts and files, but not settings, which belong to the machine.
    ///
    /// # Errors
    /// When the deb cannot be read.
    pub(crate) fn is_in_place(
        &self,
        path: &Path,
        root: &Path,
        database: &Database,
        installed: &Package,
    ) -> Result<bool, InstallError> {
        let script_differs = |name: &str| {
            database.info_file(installed, name).as_deref() != self.control_files.get(name).map(Vec::as_slice)
        };
        if SCRIPTS.into_iter().any(script_differs) {
            return Ok(false);
        }
        let diversions = database.diversions(&self.package.name);
        Stream::open("--fsys-tarfile", path)?.each(path, |name, entry| {
            if self.conffiles.contains(name) {
                return Ok(true);
            }
            let place = resolve(root, diversions.get(name).map_or(name, String::as_str));
            let Ok(found) = fs::symlink_metadata(&place) else {
                return Ok(LEFT_OUT.iter().any(|folder| name.starts_with(folder)));
            };
            let kind = entry.header().entry_type();
            if kind.is_symlink() {
                let wanted = entry.link_name()?.map(|link| link.into_owned());
                return Ok(fs::read_link(&place).ok() == wanted);
            }
            if !kind.is_file() {
                return Ok(true);
            }
            Ok(found.is_file() && found.len() == entry.size() && has_same_bytes(&mut fs::File::open(&place)?, entry)?)
        })
    }
}

/// Returns whether two readers have the same bytes to their ends.
pub(crate) fn has_same_bytes(one: &mut impl Read, other: &mut impl Read) -> io::Result<bool> {
    let (mut a, mut b) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = one.read(&mut a)?;
        if count == 0 {
            return Ok(other.read(&mut b)? == 0);
        }
        if other.read_exact(&mut b[..count]).is_err() || a[..count] != b[..count] {
            return Ok(false);
        }
    }
}
