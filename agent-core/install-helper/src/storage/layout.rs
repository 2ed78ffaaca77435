//! The files and folders of the install helper.
//!
//! ```text
//! DATA/trust.json              trust record: trusted keys, minimum sequences, other rising counters (`trust_record`)
//! DATA/root                    hash of the publishers' root, if the administrator set it
//! DATA/alone.json              for a personal helper, instead of both: the user's trusted publishers (`personal_record`)
//! DATA/lock                    held while a trust record is read and changed
//! DATA/lock-archive, lock-deb  held while an install helper runs, to serialise the installs of one kind
//! DATA/journal.json            the intent of the running install of an archive; absent otherwise
//! DATA/journal-deb.json        the same for a deb
//! DATA/journal.aside, journal-deb.aside  the last intent whose undo was given up
//! DATA/check-archive.json, check-deb.json    how often the probe of an installed release began
//! DATA/places-archive.json, places-deb.json  where below other roots packages were installed (`places`)
//! DATA/ended/ORDER.json        failures that changed something, recorded so that they are not repeated
//! DATA/staging/ORDER.EXT       the install helper's own copy of the artifact
//! DATA/kept/NAME_VER_ARCH.deb  debs that Banyan installed or found installed, kept for rollback
//! DATA/restore/NAME_VER_ARCH.deb  copies of other debs, for the undo of the running install
//! DATA/restore/NUMBER.saved        copies of the machine's files that the running install of a deb can change
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
    time::{Duration, Instant},
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
    /// The kind of package whose journal and lock these are.
    lane: Lane,
}

/// Installs of one lane run one after the other, and lanes beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Archive,
    Deb,
}

impl Lane {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Deb => Self::Deb,
            Kind::Archive | Kind::Unknown => Self::Archive,
        }
    }
    /// The extension of its staged copies.
    fn extension(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Deb => "deb",
        }
    }
}

/// How long to wait for another install helper to finish with the trust record.
const RECORD_WAIT: Duration = Duration::from_secs(10);

impl Layout {
    /// Creates the install helper's missing folders, writable only for the install helper's user.
    pub(crate) fn open(folders: &HelperFolders) -> Result<Self, InstallError> {
        let layout = Self { data: folders.data.clone(), root: folders.root.clone(), lane: Lane::Archive };
        let private =
            [layout.failed_orders(), layout.data.join("staging"), layout.kept_debs(), layout.restore_folder()]
                .map(|folder| (folder, false));
        // All users may read the data folder, because installed programs are below it.
        for (folder, open) in [(layout.data.clone(), true)].into_iter().chain(private) {
            sys::ensure_own_folder(&folder, open)
                .context(|| format!("creating the install helper's folder {}", folder.display()))?;
        }
        Ok(layout)
    }
    /// Returns the same layout with another root, to finish what an earlier job began there.
    pub(crate) fn with_root(&self, root: &Path) -> Self {
        Self { root: root.to_owned(), ..self.clone() }
    }
    /// Returns the same layout for jobs with this kind of package.
    pub(crate) fn for_kind(&self, kind: Kind) -> Self {
        Self { lane: Lane::of(kind), ..self.clone() }
    }
    /// Takes a lock. Returns `None` while another install helper holds it. Released when dropped, or when the process
    /// dies.
    fn try_lock(&self, name: &str) -> Result<Option<File>, InstallError> {
        let path = self.data.join(name);
        let context = || format!("locking {}", path.display());
        let file = sys::open_lock_file(&path).context(context)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).context(context),
        }
    }
    /// Takes the lock of the trust record, or returns an error while another install helper holds it.
    pub(crate) fn lock_exclusively(&self) -> Result<File, InstallError> {
        let busy = || InstallError::new(Reason::PackageManagerBusy, "another Banyan installation is in progress");
        self.try_lock("lock")?.ok_or_else(busy)
    }
    /// Takes the lock of the trust record. Other jobs hold it for a moment only, so this waits for them.
    pub(crate) fn lock_record(&self) -> Result<File, InstallError> {
        let began = Instant::now();
        loop {
            match self.lock_exclusively() {
                Err(error) if error.reason() == Reason::PackageManagerBusy && began.elapsed() < RECORD_WAIT => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }
    /// Takes the lock that serialises the installs of this kind, or returns an error while another one runs.
    pub(crate) fn lock_lane(&self) -> Result<File, InstallError> {
        let kind = self.lane.extension();
        let busy = || {
            let detail = format!("Banyan is installing another {kind} on this machine");
            InstallError::new(Reason::PackageManagerBusy, detail)
        };
        self.try_lock(&format!("lock-{kind}"))?.ok_or_else(busy)
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
        self.data.join(match self.lane {
            Lane::Archive => "journal.json",
            Lane::Deb => "journal-deb.json",
        })
    }
    /// Returns the path of the count for a release that is installed already.
    pub(crate) fn installed_check(&self) -> PathBuf {
        self.data.join(format!("check-{}.json", self.lane.extension()))
    }
    /// Returns the path of the list of places that packages were installed to.
    pub(crate) fn places(&self) -> PathBuf {
        self.data.join(format!("places-{}.json", self.lane.extension()))
    }
    /// Returns the folder below another root that is there once packages were installed; `None` for this machine.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        let place = match self.lane {
            Lane::Archive => self.packages(),
            Lane::Deb => self.root.join("var/lib/dpkg"),
        };
        (!self.is_this_machine()).then_some(place)
    }
    pub(crate) fn failed_orders(&self) -> PathBuf {
        self.data.join("ended")
    }
    /// Returns the path for the copy of an order's artifact. Tools that inspect the file need the extension.
    pub(crate) fn staged_artifact(&self, order: OrderId, kind: Kind) -> PathBuf {
        self.data.join("staging").join(format!("{order}.{}", Lane::of(kind).extension()))
    }
    /// Removes this lane's copies from runs that died before they wrote the journal.
    pub(crate) fn clear_staging(&self) -> Result<(), InstallError> {
        let of_lane = |path: &Path| path.extension().is_some_and(|extension| extension == self.lane.extension());
        let (staging, restore) = (self.data.join("staging"), self.restore_folder());
        for folder in [&staging, &restore] {
            let context = || format!("reading {}", folder.display());
            for file in fs::read_dir(folder).context(context)? {
                let path = file.context(context)?.path();
                // Only debs are restored from copies.
                if (folder == &staging && of_lane(&path)) || (folder == &restore && self.lane == Lane::Deb) {
                    remove_path(&path)?;
                }
            }
        }
        Ok(())
    }
    pub(crate) fn kept_debs(&self) -> PathBuf {
        self.data.join("kept")
    }
    /// Returns the folder for copies that only the running install of a deb needs, to undo it.
    pub(crate) fn restore_folder(&self) -> PathBuf {
        self.data.join("restore")
    }
    /// Returns the folder of all archives.
    pub(crate) fn packages(&self) -> PathBuf {
        if self.is_this_machine() { self.data.join("packages") } else { self.root.join("opt/banyan/packages") }
    }
}
