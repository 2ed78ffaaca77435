//! The server's secrets: the key that signs orders, the master secret of the rolling codes, and the administrator's
//! token. Created at the first start and stored in files of mode 600.

use crate::private_files;
use banyan_proto::{KeyRing, SigningKey, access::AccessToken, signed::BadSigningKey, text};
use std::{io, path::Path};
use zeroize::Zeroizing;

/// Why the server's secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The disk failed, or the folder's permissions do not allow access.
    #[error("cannot read or write the keys in {folder}: {source}; {advice}", advice = text::disk_advice(source))]
    Disk {
        /// The folder.
        folder: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file was changed or truncated.
    #[error("{0} is damaged; restore it from the backup")]
    Damaged(&'static str),
    /// The signing key was changed or truncated.
    #[error("orders.pk8: {0}; restore it from the backup")]
    Key(#[from] BadSigningKey),
}

/// The server's secrets.
pub(crate) struct Secrets {
    /// Signs orders, hints, receipts and install permits.
    pub(crate) orders: SigningKey,
    /// The root of all rolling codes (rule A1).
    pub(crate) master: Zeroizing<[u8; 32]>,
    admin_token: Zeroizing<String>,
}

fn random32() -> Vec<u8> {
    banyan_proto::Digest::random().0.to_vec()
}

impl Secrets {
    /// Reads the secrets, or creates them at the first start.
    pub(crate) fn open(folder: &Path) -> Result<Self, SecretsError> {
        let disk = |source| SecretsError::Disk { folder: folder.display().to_string(), source };
        let read_or_create = |name: &str, create: fn() -> Vec<u8>| {
            private_files::read_or_create(&folder.join(name), create).map_err(disk)
        };
        let orders =
            SigningKey::from_pkcs8(&Zeroizing::new(read_or_create("orders.pk8", || SigningKey::generate().1)?))?;
        let master = Zeroizing::new(read_or_create("master.key", random32)?);
        let master = <[u8; 32]>::try_from(master.as_slice()).map_err(|_| SecretsError::Damaged("master.key"))?;
        let token = read_or_create("admin.token", || AccessToken::random().secret().expose().as_bytes().to_vec())?;
        let admin_token = String::from_utf8(token).map_err(|_| SecretsError::Damaged("admin.token"))?;
        Ok(Self { orders, master: Zeroizing::new(master), admin_token: Zeroizing::new(admin_token) })
    }
    /// Returns the keys that verify the server's signatures.
    pub(crate) fn key_ring(&self) -> KeyRing {
        KeyRing(vec![self.orders.public()])
    }
    /// Returns the administrator's token.
    pub(crate) fn admin_token(&self) -> &str {
        &self.admin_token
    }
}
