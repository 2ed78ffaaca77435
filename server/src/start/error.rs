//! Why the server could not start.

use crate::{
    identity::{ca::CaError, secrets::SecretsError},
    private_files::is_disk_full,
    publishing::repository::RepositoryError,
    store::StoreError,
};
use banyan_proto::{limits, text};
use banyan_wire::{listen, tls::IdentityError};
use std::{io, net::SocketAddr, path::PathBuf};

impl StartError {
    /// Returns whether the database could not create one of its files, as on a disk without free inodes.
    pub(crate) fn may_lack_files(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_file_not_created())
    }
    /// Returns whether the disk is full, so that a start can succeed once there is room.
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Folder { source, .. }
            | Self::Secrets(SecretsError::Disk { source, .. })
            | Self::Ca(CaError::Disk { source, .. })
            | Self::Repository(RepositoryError::Disk { source, .. }) => is_disk_full(source),
            Self::Store(error) => error.is_disk_full(),
            Self::Running(_)
            | Self::NoServer(_)
            | Self::DatabaseGone { .. }
            | Self::KeysGone { .. }
            | Self::Listen { .. }
            | Self::Threads(_)
            | Self::TooManyAddresses(_)
            | Self::Secrets(_)
            | Self::Ca(_)
            | Self::Identity(_)
            | Self::Repository(_)
            | Self::Orders(_)
            | Self::Profile { .. } => false,
        }
    }
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk failed, or the folder's permissions do not allow access.
    #[error("cannot use {}: {source}; {advice}", path.display(), advice = text::disk_advice(source))]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another server uses the folder. Two servers on one folder would destroy each other's data.
    #[error("another server is running on {0}; stop it first, or choose another --data")]
    Running(PathBuf),
    /// The folder does not contain a server's data.
    #[error(
        "{0} is not a server's data folder: it has no server.sqlite; pass the folder with the restored backup (--data)"
    )]
    NoServer(PathBuf),
    /// The folder has a server's keys, but its database is gone. A new one would be another server: no machine would
    /// belong to it.
    #[error(
        "{database} is missing or empty, but {keys} holds the keys of a server: its machines, releases and deployments are \
         gone. Restore {database} from the backup, then run `banyan-server raise-epoch`. To start a new server instead, \
         choose an empty folder (--data); all machines must then enrol with it"
    )]
    DatabaseGone {
        /// The database's path.
        database: PathBuf,
        /// The folder of the keys.
        keys: PathBuf,
    },
    /// The folder has a server's database, but keys are gone. With new ones no machine would believe the server.
    #[error(
        "{keys} lacks {missing}, but {database} belongs to a server with keys: machines would not believe new ones. \
         Restore the folder from the backup. To start a new server instead, choose an empty folder (--data); all machines \
         must then enrol with it"
    )]
    KeysGone {
        /// The database's path.
        database: PathBuf,
        /// The folder of the keys.
        keys: PathBuf,
        /// The names of the missing files.
        missing: String,
    },
    /// The port cannot be bound.
    #[error("cannot listen on {address}: {source}; {advice}", advice = listen::advice(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The system allows no further threads.
    #[error("cannot start threads: {0}; allow this service more of them (systemd: TasksMax)")]
    Threads(io::Error),
    /// Join codes and announcements have no room for so many addresses.
    #[error("{0} addresses are given (--advertise), but machines keep at most {max}; leave some out", max = limits::ADDRESSES_PER_MACHINE)]
    TooManyAddresses(usize),
    /// The secrets cannot be read or created.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The certificate authority cannot be opened.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// Certificates and revocation list do not match.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The database cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Open orders could not be loaded.
    #[error("cannot resume the open orders: {0}")]
    Orders(String),
    /// The existing profile cannot be read.
    #[error("{path} is not a valid profile: {why}; repair it or move it away")]
    Profile {
        /// The profile's path.
        path: PathBuf,
        /// The parse error.
        why: String,
    },
}
