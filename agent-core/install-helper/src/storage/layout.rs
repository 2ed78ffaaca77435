//! The files and folders of the install helper.
//!
//! ```text
//! DATA/trust.json              trust record: trusted keys, minimum sequences, other rising counters (`trust_record`)
//! DATA/root                    hash of the publishers' root, if the administrator set it
//! DATA/alone.json              for a personal helper, instead of both: the user's trusted publishers (`personal_record`)
//! DATA/lock                    held while an install helper runs, to serialise installs
//! DATA/journal.json            the intent of the running install; absent otherwise
//! DATA/ended/ORDER.json        failures that changed something, recorded so that they are not repeated
//! DATA/staging/ORDER.EXT       the install helper's own copy of the artifact
//! DATA/kept/NAME_VER_ARCH.deb  installed debs, kept for rollback
//! PACKAGES/NAME/versions/VERSION-SEQUENCE/    an archive's content
//! PACKAGES/NAME/records/VERSION-SEQUENCE.json identifies the release in that folder
//! PACKAGES/NAME/current                       → versions/VERSION-SEQUENCE
//! ```
//!
//! PACKAGES is `DATA/packages` for the machine itself, and `ROOT/opt/banyan/packages` below another root.

use crate::{
    error::{InstallError, IoContext},
    storage::files::remove_path,
    sys,
};
use banyan_proto::{OrderId, Reason, manifest::Kind};
use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

/// The folders, set where the install helper is started and never by a job.
#[derive(Debug, Clone)]
pub(crate) struct HelperFolders {
    /// The install helper's own folder. It must belong to the install helper's user or to root, and no other user may
    /// write to it. For all users to run the packages, the folders above it must be traversable for them.
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
    /// Creates the install helper's missing folders, writable only for the install helper's user.
    pub(crate) fn open(folders: &HelperFolders) -> Result<Self, InstallError> {
        let layout = Self { data: folders.data.clone(), root: folders.root.clone() };
        let private =
            [layout.failed_orders(), layout.data.join("staging"), layout.kept_debs()].map(|folder| (folder, false));
        // All users may read the data folder, because installed programs are below it.
        for (folder, open) in [(layout.data.clone(), true)].into_iter().chain(private) {
            sys::ensure_own_folder(&folder, open)
                .context(|| format!("creating the install helper's folder {}", folder.display()))?;
        }
        Ok(layout)
    }
    /// Returns the same layout with another root, to finish what an earlier job began there.
    pub(crate) fn with_root(&self, root: &Path) -> Self {
        Self { data: self.data.clone(), root: root.to_owned() }
    }
    /// Takes the lock that serialises installs. Returns `None` while another install helper holds it. Released when
    /// dropped, or when the process dies.
    fn try_lock(&self) -> Result<Option<File>, InstallError> {
        let path = self.data.join("lock");
        let context = || format!("locking {}", path.display());
        let file = sys::open_lock_file(&path).context(context)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context(context),
        }
    }
    /// Takes the lock, or returns an error while another install helper holds it.
    pub(crate) fn lock_exclusively(&self) -> Result<File, InstallError> {
        let busy = || InstallError::new(Reason::PackageManagerBusy, "another Banyan installation is in progress");
        self.try_lock()?.ok_or_else(busy)
    }
    /// Returns the path of the trust record.
    pub(crate) fn trust_record(&self) -> PathBuf {
        self.data.join("trust.json")
    }
    /// Returns the path of the personal install helper's record.
    pub(crate) fn personal_record(&self) -> PathBuf {
        self.data.join("alone.json")
    }
    /// Returns the path of the root hash that the administrator set.
    pub(crate) fn pinned_root(&self) -> PathBuf {
        self.data.join("root")
    }
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    /// Whether packages go to this machine itself and not to another root.
    pub(crate) fn is_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }
    pub(crate) fn journal(&self) -> PathBuf {
        self.data.join("journal.json")
    }
    pub(crate) fn failed_orders(&self) -> PathBuf {
        self.data.join("ended")
    }
    /// Returns the path for the copy of an order's artifact. Tools that inspect the file need the extension.
    pub(crate) fn staged_artifact(&self, order: OrderId, kind: Kind) -> PathBuf {
        let extension = match kind {
            Kind::Archive => "archive",
            Kind::Deb => "deb",
            Kind::Unknown => "unknown",
        };
        self.data.join("staging").join(format!("{order}.{extension}"))
    }
    /// Removes copies from runs that died before they wrote the journal.
    pub(crate) fn clear_staging(&self) -> Result<(), InstallError> {
        let folder = self.data.join("staging");
        let context = || format!("reading {}", folder.display());
        for file in fs::read_dir(&folder).context(context)? {
            remove_path(&file.context(context)?.path())?;
        }
        Ok(())
    }
    pub(crate) fn kept_debs(&self) -> PathBuf {
        self.data.join("kept")
    }
    /// Returns the folder of all archives.
    pub(crate) fn packages(&self) -> PathBuf {
        if self.is_this_machine() { self.data.join("packages") } else { self.root.join("opt/banyan/packages") }
    }
}
