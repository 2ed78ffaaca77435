//! Where everything is.
//!
//! ```text
//! DATA/trust.json              whom the installer believes, floors and what else only rises (`record`)
//! DATA/root                    hash of the publishers' root, when the administrator named it
//! DATA/alone.json              or instead: that it belongs to a person and no server, and whom that person trusts (`alone`)
//! DATA/lock                    held while an installer works: installs are serialised
//! DATA/journal.json            the intent of the install under way; absent otherwise
//! DATA/ended/ORDER.json        failures that changed something, so that they are not repeated
//! DATA/staging/ORDER.EXT       the installer's own copy of the artifact
//! DATA/kept/NAME_VER_ARCH.deb  debs that were installed, to go back to
//! PACKAGES/NAME/versions/VERSION-SEQUENCE/    an archive's content
//! PACKAGES/NAME/records/VERSION-SEQUENCE.json which release that is
//! PACKAGES/NAME/current                       → versions/VERSION-SEQUENCE
//! ```
//!
//! PACKAGES is `DATA/packages` for the machine itself, `ROOT/opt/banyan/packages` below another root.

use super::{
    sys,
    trouble::{Doing, Trouble},
};
use banyan_proto::{DeploymentId, Reason, manifest::Kind};
use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

/// The folders that whoever starts the installer decides on, and no job.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    /// The installer's own folder. Must belong to whoever the installer runs as, or to root, and be writable for nobody
    /// else. Where all users shall run the packages, they must be able to pass through the folders above it.
    pub(super) data: PathBuf,
    /// Where debs are installed (`dpkg --root`), and where the packages' folder is (`ROOT/opt/banyan/packages`). With
    /// `/`, the machine itself: archives are then in `DATA/packages`.
    pub(super) root: PathBuf,
}

#[derive(Debug, Clone)]
pub(super) struct Layout {
    data: PathBuf,
    root: PathBuf,
}

impl Layout {
    /// Makes the installer's own folders where they are missing, for nobody else to write.
    pub(super) fn open(folders: &Folders) -> Result<Self, Trouble> {
        let layout = Self { data: folders.data.clone(), root: folders.root.clone() };
        let private = [layout.ended(), layout.data.join("staging"), layout.kept()].map(|folder| (folder, false));
        // Installed programs are below the first one: everybody may use them.
        for (folder, open) in [(layout.data.clone(), true)].into_iter().chain(private) {
            sys::own_folder(&folder, open).doing(|| format!("making the installer's folder {}", folder.display()))?;
        }
        Ok(layout)
    }
    /// The same folders, but another root: for finishing what an earlier job began there.
    pub(super) fn with_root(&self, root: &Path) -> Self {
        Self { data: self.data.clone(), root: root.to_owned() }
    }
    /// The lock that serialises installs, or `None` while another installer holds it. Let go when dropped, also by death.
    fn lock(&self) -> Result<Option<File>, Trouble> {
        let path = self.data.join("lock");
        let doing = || format!("locking {}", path.display());
        let file = sys::lock_file(&path).doing(doing)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).doing(doing),
        }
    }
    /// The same lock, or why it cannot be had now.
    pub(super) fn exclusively(&self) -> Result<File, Trouble> {
        let busy = || Trouble::because(Reason::PackageManagerBusy, "another installation of Banyan's is under way");
        self.lock()?.ok_or_else(busy)
    }
    /// Whom the installer believes.
    pub(super) fn record(&self) -> PathBuf {
        self.data.join("trust.json")
    }
    /// That it belongs to a person and to no server.
    pub(super) fn alone(&self) -> PathBuf {
        self.data.join("alone.json")
    }
    /// The root that the administrator named.
    pub(super) fn named_root(&self) -> PathBuf {
        self.data.join("root")
    }
    pub(super) fn data(&self) -> &Path {
        &self.data
    }
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
    /// Whether packages go to this machine itself, not to another root.
    pub(super) fn is_whole_machine(&self) -> bool {
        self.root == Path::new("/")
    }
    pub(super) fn journal(&self) -> PathBuf {
        self.data.join("journal.json")
    }
    pub(super) fn ended(&self) -> PathBuf {
        self.data.join("ended")
    }
    /// The copy of an order's artifact. The ending is there for tools that look at it.
    pub(super) fn staged(&self, order: DeploymentId, kind: Kind) -> PathBuf {
        let ending = match kind {
            Kind::Archive => "archive",
            Kind::Deb => "deb",
        };
        self.data.join("staging").join(format!("{order}.{ending}"))
    }
    /// Removes copies that runs left which died before they wrote down what they wanted.
    pub(super) fn clear_staging(&self) -> Result<(), Trouble> {
        let folder = self.data.join("staging");
        let doing = || format!("reading {}", folder.display());
        for file in fs::read_dir(&folder).doing(doing)? {
            remove(&file.doing(doing)?.path())?;
        }
        Ok(())
    }
    pub(super) fn kept(&self) -> PathBuf {
        self.data.join("kept")
    }
    /// Where all archives are.
    pub(super) fn packages(&self) -> PathBuf {
        if self.is_whole_machine() { self.data.join("packages") } else { self.root.join("opt/banyan/packages") }
    }
}

/// Writes a small file so that after any crash it has the old content or the new, never a part.
pub(super) fn write_synced(path: &Path, content: &[u8]) -> Result<(), Trouble> {
    let doing = || format!("writing {}", path.display());
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).doing(doing),
        _ => {}
    }
    let mut file = sys::private_file(&new).doing(doing)?;
    file.write_all(content).and_then(|()| file.sync_all()).doing(doing)?;
    drop(file);
    fs::rename(&new, path).and_then(|()| sys::sync_folder(path.parent().unwrap_or(path))).doing(doing)
}

/// Removes a file or a folder with everything in it; nothing there is success.
pub(super) fn remove(path: &Path) -> Result<(), Trouble> {
    let result = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.doing(|| format!("removing {}", path.display())),
    }
}
