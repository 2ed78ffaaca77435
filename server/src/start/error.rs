//! Why the server could not start.

use crate::{
    identity::{ca::CaError, secrets::SecretsError},
    publishing::repository::RepositoryError,
    store::StoreError,
};
use banyan_wire::tls::IdentityError;
use std::{io, net::SocketAddr, path::PathBuf};

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The disk failed, or the folder's permissions do not allow access.
    #[error("cannot use {path}: {source}")]
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
    /// The port cannot be bound.
    #[error("cannot listen on {address}: {source}; choose another --listen, or stop the program that listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
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
