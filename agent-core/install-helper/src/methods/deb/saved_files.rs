//! The machine's own files that a run of dpkg can change: settings, and files in its way that belong to no package. Their
//! state before is saved, so that an undo restores it.
//!
//! dpkg going back to the old version does not: it leaves the new version's settings in place, forgets that an
//! administrator deleted one, and never knew the files that it overwrote.

use crate::{
    error::{InstallError, IoContext},
    file_attributes::FileAttributes,
    methods::deb::{
        contents::{Deb, has_same_bytes},
        database::Database,
        package::Package,
        root_path::{Places, folder_place, resolve},
    },
    package_state::Status,
    storage::{
        files::remove_path,
        journal::{FileBefore, SavedFile},
    },
    sys,
};
use banyan_proto::Reason;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// What dpkg and the usual scripts put beside a setting, and editors' copies, which dpkg deletes with it.
const BESIDE_A_SETTING: [&str; 9] =
    [".dpkg-dist", ".dpkg-new", ".dpkg-old", ".dpkg-bak", ".dpkg-remove", ".dpkg-tmp", "~", ".bak", "%"];
/// Most links that dpkg follows from a setting.
const MAX_SETTING_LINKS: usize = 25;

/// Finds the files to save, as absolute paths below the root. `before` are the packages that the run replaces or removes.
///
/// # Errors
/// [`Reason::PackageConflict`] when dpkg would delete a folder with files that belong to no package.
pub(crate) fn find(
    deb: &Deb,
    before: &[&Package],
    database: &Database,
    root: &Path,
) -> Result<BTreeSet<String>, InstallError> {
    let mut paths = BTreeSet::new();
    // dpkg takes a setting that it knows and does not find as deleted by an administrator, and never brings it back. So
    // new settings stay where going back makes dpkg know them, or puts them in place: after a removal that kept the
    // settings, and when the version before was never configured.
    let keeps_new =
        before.iter().any(|package| package.status != Status::NotInstalled && !package.status.is_installed());
    let settings = deb.conffiles.iter().chain(before.iter().flat_map(|package| &package.settings));
    for setting in settings.flat_map(|setting| with_link_targets(root, setting)) {
        paths.extend(editor_copies(root, &setting)?);
        let beside = BESIDE_A_SETTING.iter().filter(|ending| !keeps_new || **ending != ".dpkg-new");
        paths.extend(beside.map(|ending| format!("{setting}{ending}")));
        if !keeps_new || look_at(&resolve(root, &setting))?.is_some() {
            paths.insert(setting);
        }
    }
    // What is in the way, by the place where it really is.
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut in_folders: BTreeMap<PathBuf, String> = BTreeMap::new();
    let diversions = database.diversions(&deb.package.name);
    let mut places = Places::new(root);
    for file in &deb.files {
        let path = diversions.get(&file.path).unwrap_or(&file.path);
        let place = places.of(path);
        match look_at(&place)? {
            None => {}
            Some(found) if found.is_dir() && file.is_plain => add_files_below(&place, path, &mut in_folders)?,
            Some(found) if found.is_dir() => {}
            // dpkg keeps a link to a folder where it has a folder.
            Some(_) if file.is_folder && place.is_dir() => {}
            Some(_) => drop(files.insert(place, path.clone())),
        }
    }
    for package in database.packages.iter().filter(|package| package.status.has_files()) {
        let diversions = database.diversions(&package.name);
        for path in database.files(package) {
            let place = places.of(diversions.get(&path).unwrap_or(&path));
            files.remove(&place);
            in_folders.remove(&place);
        }
    }
    if let Some((inside, path)) = in_folders.into_iter().next() {
        let detail = format!(
            "{} contains the file {path}, but on this machine that is a folder with files of no package, such as {}; \
             move them elsewhere",
            deb.package.label(),
            inside.display()
        );
        return Err(InstallError::new(Reason::PackageConflict, detail));
    }
    // dpkg's lists of a half-installed package lack some of its files.
    if before.iter().all(|package| package.status != Status::HalfInstalled) {
        paths.extend(files.into_values());
    }
    Ok(paths)
}

/// Returns a setting's path and where it links to: dpkg changes and deletes the file there, not the link.
fn with_link_targets(root: &Path, setting: &str) -> Vec<String> {
    let mut paths = vec![setting.to_owned()];
    while let Some(last) = paths.last().filter(|_| paths.len() <= MAX_SETTING_LINKS) {
        let Ok(target) = fs::read_link(resolve(root, last)) else { break };
        let folder = last.rsplit_once('/').map_or("", |(folder, _)| folder);
        let next = Path::new(folder).join(target).display().to_string();
        if paths.contains(&next) {
            break;
        }
        paths.push(next);
    }
    paths
}

/// Returns the numbered and automatic copies that editors made of a setting: `tool.conf~1~`, `#tool.conf#`. dpkg deletes
/// them with it.
fn editor_copies(root: &Path, setting: &str) -> Result<Vec<String>, InstallError> {
    let Some((folder, name)) = setting.rsplit_once('/') else { return Ok(Vec::new()) };
    let place = folder_place(root, folder);
    let is_copy = |other: &str| {
        let number = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('~')?.strip_suffix('~'));
        number.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            || other.strip_prefix('#').and_then(|rest| rest.strip_suffix('#')) == Some(name)
    };
    let mut copies = Vec::new();
    if look_at(&place)?.is_some_and(|found| found.is_dir()) {
        let context = || format!("reading {}", place.display());
        for entry in fs::read_dir(&place).context(context)? {
            let other = entry.context(context)?.file_name();
            copies.extend(other.to_str().filter(|other| is_copy(other)).map(|other| format!("{folder}/{other}")));
        }
    }
    Ok(copies)
}

fn add_files_below(folder: &Path, path: &str, files: &mut BTreeMap<PathBuf, String>) -> Result<(), InstallError> {
    let context = || format!("reading {}", folder.display());
    for entry in fs::read_dir(folder).context(context)? {
        let place = entry.context(context)?.path();
        if look_at(&place)?.is_some_and(|found| found.is_dir()) {
            add_files_below(&place, path, files)?;
        } else {
            files.insert(place, path.to_owned());
        }
    }
    Ok(())
}

/// Copies files to `folder`, and syncs the copies. `names` are further paths that can be other names (hard links) of the
/// same files.
///
/// # Errors
/// When one cannot be read or copied.
pub(crate) fn save(
    paths: &BTreeSet<String>,
    names: &[String],
    root: &Path,
    folder: &Path,
) -> Result<Vec<SavedFile>, InstallError> {
    let mut saved = Vec::new();
    let mut shared: BTreeMap<(u64, u64), String> = BTreeMap::new();
    let mut named = None;
    for (number, path) in paths.iter().enumerate() {
        let place = resolve(root, path);
        let context = || format!("saving {}", place.display());
        let before = match look_at(&place)? {
            None => FileBefore::Absent,
            Some(found) if found.is_symlink() => {
                let target = fs::read_link(&place).context(|| format!("reading {}", place.display()))?;
                FileBefore::Link { target, attributes: Some(sys::read_attributes(&place).context(context)?) }
            }
            Some(found) if found.is_file() => {
                let identity = sys::shared_identity(&found);
                if let Some(first) = identity.and_then(|identity| shared.get(&identity)) {
                    FileBefore::HardLink { path: first.clone() }
                } else {
                    let mut other_names = Vec::new();
                    if let Some(identity) = identity {
                        shared.insert(identity, path.clone());
                        let named = named.get_or_insert_with(|| by_identity(names, paths, root));
                        other_names = named.remove(&identity).unwrap_or_default();
                    }
                    // Before the copy: it changes when the file was read.
                    let attributes = Some(sys::read_attributes(&place).context(context)?);
                    let copy = folder.join(format!("{number}.saved"));
                    remove_path(&copy)?;
                    sys::copy_content(&place, &copy).context(context)?;
                    FileBefore::Copy { copy, attributes, other_names }
                }
            }
            // dpkg leaves folders, devices and pipes of this name to the administrator.
            Some(_) => continue,
        };
        saved.push(SavedFile { path: path.clone(), before });
    }
    sys::sync_folder(folder).context(|| format!("syncing {}", folder.display()))?;
    Ok(saved)
}

/// Returns those paths whose file has several names, by what these names have in common. `saved` are left out.
fn by_identity(names: &[String], saved: &BTreeSet<String>, root: &Path) -> BTreeMap<(u64, u64), Vec<String>> {
    let mut found: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
    let mut places = Places::new(root);
    for path in names.iter().filter(|path| !saved.contains(*path)) {
        let file = fs::symlink_metadata(places.of(path)).ok().filter(fs::Metadata::is_file);
        if let Some(identity) = file.as_ref().and_then(sys::shared_identity) {
            found.entry(identity).or_default().push(path.clone());
        }
    }
    found
}

/// Removes files that were not there before. dpkg forgets settings of the failed version only if they are gone before it
/// installs the old one; otherwise it would not bring them with the next version.
///
/// # Errors
/// When a file cannot be removed.
pub(crate) fn remove_new(saved: &[SavedFile], root: &Path) -> Result<(), InstallError> {
    for file in saved.iter().filter(|file| file.before == FileBefore::Absent) {
        let place = resolve(root, &file.path);
        if look_at(&place)?.is_some_and(|now| !now.is_dir()) {
            fs::remove_file(&place).context(|| format!("removing {}", place.display()))?;
        }
    }
    Ok(())
}

/// Puts saved files back with owner, mode, times, extended attributes and hard links, and removes those that were not
/// there before. Can be repeated after a crash.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn put_back(saved: &[SavedFile], root: &Path) -> Result<(), InstallError> {
    remove_new(saved, root)?;
    for SavedFile { path, before } in saved {
        let place = resolve(root, path);
        let context = || format!("restoring {}", place.display());
        let now = look_at(&place)?;
        let is_changed = match before {
            FileBefore::Absent => false,
            FileBefore::Link { target, attributes } => {
                put_back_link(&place, now.as_ref(), target, attributes.as_ref()).context(context)?
            }
            FileBefore::HardLink { path } => link_to(&resolve(root, path), &place, now.as_ref()).context(context)?,
            FileBefore::Copy { copy, attributes, other_names } => {
                let attributes = match attributes {
                    Some(attributes) => attributes.clone(),
                    None => sys::read_attributes(copy).context(context)?,
                };
                let others = other_names.iter().map(|other| resolve(root, other));
                put_back_file(&place, now.as_ref(), copy, &attributes, others).context(context)?
            }
        };
        if let Some(folder) = place.parent().filter(|_| is_changed) {
            sys::sync_folder(folder).context(context)?;
        }
    }
    Ok(())
}

/// Puts a file back. `others` are names that it had beside this one. Returns whether something was changed.
fn put_back_file(
    place: &Path,
    now: Option<&fs::Metadata>,
    copy: &Path,
    attributes: &FileAttributes,
    others: impl Iterator<Item = PathBuf>,
) -> io::Result<bool> {
    let has_content = |path: &Path| -> io::Result<bool> {
        let is_file = fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
        Ok(is_file && has_same_bytes(&mut fs::File::open(copy)?, &mut sys::open_plain_file(path)?)?)
    };
    let mut other = None;
    for path in others {
        if other.is_none() && has_content(&path)? {
            other = Some(path);
        }
    }
    // The file of someone who has meanwhile given it another name keeps its attributes.
    let may_stay = now.is_some_and(|now| sys::count_links(now) <= attributes.links);
    let is_linked = |other: &PathBuf| sys::is_same_file(other, place).unwrap_or(false);
    if may_stay && other.as_ref().is_none_or(is_linked) && has_content(place)? {
        return sys::correct_attributes(place, attributes);
    }
    match other {
        Some(other) => {
            // dpkg takes the permissions of a setuid program away when it replaces one of its names.
            sys::correct_attributes(&other, attributes)?;
            link_to(&other, place, now)
        }
        None => {
            make_room(place, now)?;
            sys::copy_file(copy, place, attributes).map(|()| true)
        }
    }
}

/// Makes a place another name of a file. Returns whether it was not one.
fn link_to(file: &Path, place: &Path, now: Option<&fs::Metadata>) -> io::Result<bool> {
    if now.is_some() && sys::is_same_file(file, place)? {
        return Ok(false);
    }
    make_room(place, now)?;
    fs::hard_link(file, place).map(|()| true)
}

fn put_back_link(
    place: &Path,
    now: Option<&fs::Metadata>,
    target: &Path,
    attributes: Option<&FileAttributes>,
) -> io::Result<bool> {
    let is_there = fs::read_link(place).is_ok_and(|now| now == target);
    if !is_there {
        make_room(place, now)?;
        sys::make_symlink(target, place)?;
    }
    let is_corrected = match attributes {
        Some(attributes) => sys::correct_attributes(place, attributes)?,
        None => false,
    };
    Ok(!is_there || is_corrected)
}

/// Makes room for a file: creates its folder, or removes what is there. A folder is removed only when it is empty.
fn make_room(place: &Path, now: Option<&fs::Metadata>) -> io::Result<()> {
    match now {
        Some(now) if now.is_dir() => fs::remove_dir(place),
        Some(_) => fs::remove_file(place),
        None => place.parent().map_or(Ok(()), fs::create_dir_all),
    }
}

/// Returns what is at a path, without following a link.
pub(super) fn look_at(place: &Path) -> Result<Option<fs::Metadata>, InstallError> {
    match fs::symlink_metadata(place) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).context(|| format!("looking at {}", place.display())),
    }
}
