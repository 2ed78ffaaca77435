//! The files and folders of the installer.
//!
//! ```text
//! DATA/trust.json              trust record: trusted keys, minimum sequences, other rising counters (`record`)
//! DATA/root                    hash of the publishers' root, if the administrator set it
//! DATA/alone.json              for a personal installer, instead of both: the user's trusted publishers (`alone`)
//! DATA/lock                    held while an installer runs, to serialise installs
//! DATA/journal.json            the intent of the running install; absent otherwise
//! DATA/ended/ORDER.json        failures that changed something, recorded so that they are not repeated
//! DATA/staging/ORDER.EXT       the installer's own copy of the artifact
//! DATA/kept/NAME_VER_ARCH.deb  installed debs, kept for rollback
//! PACKAGES/NAME/versions/VERSION-SEQUENCE/    an archive's content
//! PACKAGES/NAME/records/VERSION-SEQUENCE.json identifies the release in that folder
//! PACKAGES/NAME/current                       → versions/VERSION-SEQUENCE
//! ```
//!
//! PACKAGES is `DATA/packages` for the machine itself, and `ROOT/opt/banyan/packages` below another root.

use crate::{
    error::{Doing, Trouble},
    sys,
};
use banyan_proto::{OrderId, Reason, manifest::Kind};
use std::{
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
};

/// The folders, set where the installer is started and never by a job.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// The installer's own folder. It must belong to the installer's user or to root, and no other user may write to
    /// it. For all users to run the packages, the folders above it must be traversable for them.
    pub(crate) data: PathBuf,
    /// The root for debs (`dpkg --root`) and for the packages folder (`ROOT/opt/banyan/packages`). `/` means the
    /// machine itself: archives are then in `DATA/packages`.
    pub(crate) root: PathBuf,
}

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    data: PathBuf,
    root: PathBuf,
}

impl Layout {
    /// Creates the installer's missing folders, writable only for the installer's user.
    pub(crate) fn open(folders: &Folders) -> Result<Self, Trouble> {
        let layout = Self { data: folders.data.clone(), root: folders.root.clone() };
        let private = [layout.ended(), layout.data.join("staging"), layout.kept()].map(|folder| (folder, false));
        // All users may read the data folder, because installed programs are below it.
        for (folder, open) in [(layout.data.clone(), true)].into_iter().chain(private) {
            sys::own_folder(&folder, open).doing(|| format!("creating the installer's folder {}", folder.display()))?;
        }
        Ok(layout)
    }
    /// Returns the same layout with another root, to finish what an earlier job began there.
    pub(crate) fn with_root(&self, root: &Path) -> Self {
        Self { data: self.data.clone(), root: root.to_owned() }
    }
    /// Takes the lock that serialises installs. Returns `None` while another installer holds it. Released when dropped,
    /// or when the process dies.
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
    /// Takes the lock, or returns an error while another installer holds it.
    pub(crate) fn exclusively(&self) -> Result<File, Trouble> {
        let busy = || Trouble::because(Reason::PackageManagerBusy, "another Banyan installation is in progress");
        self.lock()?.ok_or_else(busy)
    }
    /// Returns the path of the trust record.
    pub(crate) fn record(&self) -> PathBuf {
        self.data.join("trust.json")
    }
    /// Returns the path of the personal installer's record.
    pub(crate) fn alone(&self) -> PathBuf {
        self.data.join("alone.json")
    }
    /// Returns the path of the root hash that the administrator set.
    pub(crate) fn named_root(&self) -> PathBuf {
        self.data.join("root")
    }
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    /// Whether packages go to this machine itself and not to another root.
    pub(crate) fn is_whole_machine(&self) -> bool {
        self.root == Path::new("/")
    }
    pub(crate) fn journal(&self) -> PathBuf {
        self.data.join("journal.json")
    }
    pub(crate) fn ended(&self) -> PathBuf {
        self.data.join("ended")
    }
    /// Returns the path for the copy of an order's artifact. Tools that inspect the file need the extension.
    pub(crate) fn staged(&self, order: OrderId, kind: Kind) -> PathBuf {
        let ending = match kind {
            Kind::Archive => "archive",
            Kind::Deb => "deb",
        };
        self.data.join("staging").join(format!("{order}.{ending}"))
    }
    /// Removes copies from runs that died before they wrote the journal.
    pub(crate) fn clear_staging(&self) -> Result<(), Trouble> {
        let folder = self.data.join("staging");
        let doing = || format!("reading {}", folder.display());
        for file in fs::read_dir(&folder).doing(doing)? {
            remove(&file.doing(doing)?.path())?;
        }
        Ok(())
    }
    pub(crate) fn kept(&self) -> PathBuf {
        self.data.join("kept")
    }
    /// Returns the folder of all archives.
    pub(crate) fn packages(&self) -> PathBuf {
        if self.is_whole_machine() { self.data.join("packages") } else { self.root.join("opt/banyan/packages") }
    }
}

/// Writes a small file atomically: after a crash it has the old content or the new, never a part.
pub(crate) fn write_synced(path: &Path, content: &[u8]) -> Result<(), Trouble> {
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

/// Removes a file, or a folder with its content. A missing path counts as success.
pub(crate) fn remove(path: &Path) -> Result<(), Trouble> {
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
