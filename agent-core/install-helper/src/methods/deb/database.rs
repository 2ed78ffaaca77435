//! dpkg's database below a root, read without dpkg: entries with everything that dpkg was about to write, diversions,
//! locks, and the files of packages.

#[cfg(unix)]
use crate::{command::DPKG_LOCKED, sys};
use crate::{
    error::{InstallError, IoContext},
    methods::deb::{
        package::{self, MultiArch, Package},
        relation::Relation,
    },
    package_state::{Status, Want},
    storage::journal::PackageState,
};
use banyan_proto::{Digest, Reason};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The parts of `info/NAME.*` that tell one content of a version from another. dpkg itself writes `md5sums` for a deb
/// that has none.
const CONTENT_FILES: [&str; 6] = ["md5sums", "preinst", "postinst", "prerm", "postrm", "config"];

/// The packages that dpkg knows, at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Database {
    folder: PathBuf,
    /// All entries that are not `not-installed`, or are on hold.
    pub(crate) packages: Vec<Package>,
    /// Foreign architectures that dpkg accepts here.
    pub(crate) foreign: Vec<String>,
    diversions: Vec<Diversion>,
}

/// A file that goes elsewhere, except for the package that diverts it.
#[derive(Debug, Clone)]
struct Diversion {
    from: String,
    to: String,
    /// `:` for the administrator, whose diversions are for every package.
    by: String,
}

impl Database {
    /// Reads the database below a root. An absent one is empty.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn read(root: &Path) -> Result<Self, InstallError> {
        let folder = root.join("var/lib/dpkg");
        let mut entries: BTreeMap<String, Package> = BTreeMap::new();
        // dpkg writes changes to numbered files first, and merges them when it ends or starts.
        let mut numbered: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder.join("updates")).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit())) {
                numbered.push(entry.path());
            }
        }
        numbered.sort();
        for path in [folder.join("status")].into_iter().chain(numbered) {
            let text = read_text(&path)?;
            check_paragraphs(&path, &text)?;
            for package in package::paragraphs(&text).filter_map(|part| Package::from_paragraph(&part)) {
                entries.insert(package.id(), package);
            }
        }
        check_is_whole(&folder, &entries)?;
        let known = |package: &Package| package.status != Status::NotInstalled || package.want == Want::Hold;
        let foreign = read_text(&folder.join("arch"))?.lines().map(str::to_owned).collect();
        let text = read_text(&folder.join("diversions"))?;
        let lines: Vec<&str> = text.lines().collect();
        let (triples, _) = lines.as_chunks::<3>();
        let diversion =
            |[from, to, by]: &[&str; 3]| Diversion { from: (*from).into(), to: (*to).into(), by: (*by).into() };
        let diversions = triples.iter().map(diversion).collect();
        Ok(Self { packages: entries.into_values().filter(known).collect(), foreign, diversions, folder })
    }

    /// Whether there is a database at all.
    pub(crate) fn exists(&self) -> bool {
        self.folder.join("status").exists()
    }

    /// The entry that a package for one architecture replaces, or is itself. A package may switch between `all` and a
    /// real architecture, and from one architecture to another unless both can be installed at once.
    pub(crate) fn entry(&self, name: &str, architecture: &str, is_coinstallable: bool) -> Option<&Package> {
        let rank = |package: &&Package| (package.architecture == architecture, package.status.is_installed());
        let is_beside = |package: &Package| is_coinstallable && package.is_coinstallable();
        let is_it =
            |package: &&Package| package.name == name && (package.architecture == architecture || !is_beside(package));
        self.packages.iter().filter(is_it).max_by_key(rank)
    }

    /// The state of a package for one architecture.
    pub(crate) fn state(&self, name: &str, architecture: &str, is_coinstallable: bool) -> PackageState {
        self.entry(name, architecture, is_coinstallable)
            .map_or_else(PackageState::default, |package| self.state_of(package))
    }
    pub(crate) fn state_of(&self, package: &Package) -> PackageState {
        PackageState {
            status: package.status,
            want: package.want,
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            content: self.content(package),
        }
    }
    /// A line for each package: its status and version. Two lines differ when dpkg changed the package.
    pub(crate) fn summary(&self) -> BTreeMap<String, String> {
        let line = |package: &Package| (package.id(), format!("{} {}", package.status, package.version));
        self.packages.iter().map(line).collect()
    }

    /// A hash of what tells the installed content of a version from another one.
    fn content(&self, package: &Package) -> Option<Digest> {
        if !package.status.has_files() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        let mut has_sums = false;
        for kind in CONTENT_FILES {
            if let Some(bytes) = self.info_file(package, kind) {
                has_sums |= kind == "md5sums";
                hasher.update(kind.as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
            }
        }
        has_sums.then(|| Digest(*hasher.finalize().as_bytes()))
    }
    /// A file of dpkg's about a package, such as `postinst`.
    pub(crate) fn info_file(&self, package: &Package, kind: &str) -> Option<Vec<u8>> {
        fs::read(self.info_path(package, kind)?).ok()
    }
    /// The path of such a file, if it exists.
    pub(crate) fn info_path(&self, package: &Package, kind: &str) -> Option<PathBuf> {
        let names = [format!("{}:{}.{kind}", package.name, package.architecture), format!("{}.{kind}", package.name)];
        names.iter().map(|name| self.folder.join("info").join(name)).find(|path| path.is_file())
    }
    /// The absolute paths that a package has on the disk, folders included.
    pub(crate) fn files(&self, package: &Package) -> Vec<String> {
        let bytes = self.info_file(package, "list").unwrap_or_default();
        String::from_utf8_lossy(&bytes).lines().filter(|line| *line != "/.").map(str::to_owned).collect()
    }

    /// Where files really go: the path that a package's file is diverted to, for diversions by others than the package.
    pub(crate) fn diversions(&self, package: &str) -> BTreeMap<String, String> {
        let others = self.diversions.iter().filter(|diversion| diversion.by != package);
        others.map(|diversion| (diversion.from.clone(), diversion.to.clone())).collect()
    }

    /// The packages that fulfil a relation of a package for `architecture`.
    pub(crate) fn fulfilling<'a>(
        packages: &'a [Package],
        relation: &'a Relation,
        architecture: &'a str,
    ) -> impl Iterator<Item = &'a Package> {
        packages.iter().filter(move |package| fulfils(package, relation, architecture))
    }
}

/// Whether a package, in whatever state, is one that the relation names.
fn fulfils(package: &Package, relation: &Relation, architecture: &str) -> bool {
    let right_architecture = |wanted: Option<&str>| match wanted {
        // dpkg accepts `:any` for such packages only.
        Some("any") => package.multi_arch == MultiArch::Allowed,
        Some("native") | None => {
            package.multi_arch == MultiArch::Foreign
                || [&*package.architecture, architecture].contains(&"all")
                || package.architecture == architecture
        }
        Some(other) => package.architecture == other,
    };
    if package.name == relation.name && relation.fits_version(&package.version) {
        return right_architecture(relation.architecture.as_deref());
    }
    let provides = |provided: &Relation| {
        provided.name == relation.name
            && relation.fits_provided(provided)
            && right_architecture(provided.architecture.as_deref().or(relation.architecture.as_deref()))
    };
    package.provides.iter().any(provides)
}

/// Verifies that the list of packages has not got lost: it is missing or empty although other packages have files.
fn check_is_whole(folder: &Path, entries: &BTreeMap<String, Package>) -> Result<(), InstallError> {
    let status = folder.join("status");
    if status.metadata().is_ok_and(|found| found.len() > 0) {
        return Ok(());
    }
    let names: BTreeSet<&str> = entries.values().map(|package| package.name.as_str()).collect();
    let is_lost = |entry: &fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.strip_suffix(".list").is_some_and(|id| !names.contains(id.split(':').next().unwrap_or(id)))
    };
    let info = folder.join("info");
    if !fs::read_dir(&info).into_iter().flatten().flatten().any(|entry| is_lost(&entry)) {
        return Ok(());
    }
    let detail = format!(
        "{} is missing or empty, although {} has files of installed packages",
        status.display(),
        info.display()
    );
    Err(InstallError::new(Reason::PackageDatabaseDamaged, detail))
}

/// Verifies that every entry is one. After a power cut, parts of a file can be zeros.
fn check_paragraphs(path: &Path, text: &str) -> Result<(), InstallError> {
    let is_field = |line: &str| line.starts_with([' ', '\t']) || line.is_empty() || line.contains(':');
    let wrong = text.lines().position(|line| line.contains('\0') || !is_field(line));
    match wrong {
        None => Ok(()),
        Some(number) => {
            let detail = format!("line {} of {} is damaged", number + 1, path.display());
            Err(InstallError::new(Reason::PackageDatabaseDamaged, detail))
        }
    }
}

/// Creates an empty database below a root that has none yet.
pub(crate) fn create(root: &Path) -> Result<(), InstallError> {
    let folder = root.join("var/lib/dpkg");
    let context = || format!("creating an empty package database in {}", folder.display());
    for name in ["info", "updates", "triggers"] {
        fs::create_dir_all(folder.join(name)).context(context)?;
    }
    for name in ["status", "available"] {
        fs::File::options().create(true).append(true).open(folder.join(name)).context(context)?;
    }
    Ok(())
}

/// Takes the lock that apt and dpkg take before they read the database, so that nothing changes between the plan and
/// its end. `None` where there is no database yet.
///
/// # Errors
/// [`Reason::PackageManagerBusy`] with the program that holds it.
#[cfg(unix)]
pub(crate) fn lock(root: &Path) -> Result<Option<fs::File>, InstallError> {
    use nix::{
        fcntl::{FcntlArg, fcntl},
        libc,
    };
    let folder = root.join("var/lib/dpkg");
    if !folder.join("status").exists() {
        return Ok(None);
    }
    let whole =
        || libc::flock { l_type: libc::F_WRLCK as _, l_whence: libc::SEEK_SET as _, l_start: 0, l_len: 0, l_pid: 0 };
    let open = |name: &str| {
        let path = folder.join(name);
        let file = fs::File::options().write(true).create(true).truncate(false).open(&path);
        file.context(|| format!("opening {}", path.display()))
    };
    // `lock` belongs to dpkg alone, which takes it itself. A dpkg that a dead frontend left running still holds it.
    let (frontend, inner) = (open("lock-frontend")?, open("lock")?);
    let busy = |name: &str, file: &fs::File| {
        let mut found = whole();
        let asked = fcntl(file, FcntlArg::F_GETLK(&mut found));
        let holder = match asked {
            Ok(_) if i64::from(found.l_type) != i64::from(libc::F_UNLCK) => process_name(found.l_pid),
            _ => "another program".into(),
        };
        let path = folder.join(name);
        InstallError::new(Reason::PackageManagerBusy, format!("{holder} holds {}", path.display()))
    };
    let mut found = whole();
    if fcntl(&inner, FcntlArg::F_GETLK(&mut found)).is_ok() && i64::from(found.l_type) != i64::from(libc::F_UNLCK) {
        return Err(busy("lock", &inner));
    }
    match fcntl(&frontend, FcntlArg::F_SETLK(&whole())) {
        Ok(_) => match dpkg_of_dead_frontend(root) {
            None => Ok(Some(frontend)),
            Some(id) => {
                let detail = format!("{} is still at work below {}", process_name(id), root.display());
                Err(InstallError::new(Reason::PackageManagerBusy, detail))
            }
        },
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Err(busy("lock-frontend", &frontend)),
        Err(error) => Err(io::Error::from(error)).context(|| format!("locking {}", folder.display())),
    }
}

/// Returns a dpkg whose frontend died, such as an install helper that was killed, and that may not have taken its own
/// lock yet. The caller holds `lock-frontend`, so no living frontend has a dpkg at work.
#[cfg(unix)]
fn dpkg_of_dead_frontend(root: &Path) -> Option<i32> {
    let (name, value) = DPKG_LOCKED;
    let own = format!("--root={}", root.display());
    let is_for_root = |arguments: &[&str]| match root == Path::new("/") {
        true => !arguments.iter().any(|argument| argument.starts_with("--root=") || argument.starts_with("--instdir=")),
        false => arguments.contains(&own.as_str()),
    };
    sys::find_program("dpkg", &format!("{name}={value}"), is_for_root)
}

/// There is no dpkg here.
#[cfg(not(unix))]
pub(crate) fn lock(_root: &Path) -> Result<Option<fs::File>, InstallError> {
    Ok(None)
}

#[cfg(unix)]
fn process_name(id: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    if name.trim().is_empty() { format!("process {id}") } else { format!("{} (process {id})", name.trim()) }
}

fn read_text(path: &Path) -> Result<String, InstallError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).context(|| format!("reading {}", path.display())),
    }
}

/// The names of packages, for people: `a 1, b 2`.
pub(crate) fn labels<'a>(packages: impl IntoIterator<Item = &'a Package>) -> String {
    let labels: BTreeSet<String> = packages.into_iter().map(Package::label).collect();
    labels.into_iter().collect::<Vec<_>>().join(", ")
}
