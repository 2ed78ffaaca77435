//! This machine's private key. It is created here and never transmitted.

use crate::sys;
use anyhow::Context;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::{fs, io::Write, path::Path};

/// Loads the machine's key, or creates it at the first start.
///
/// # Errors
/// When the file cannot be read or written, or is damaged.
pub fn load_or_create(path: &Path) -> anyhow::Result<KeyPair> {
    if path.exists() {
        let pem =
            fs::read_to_string(path).with_context(|| format!("cannot read the machine's key {}", path.display()))?;
        return KeyPair::from_pem(&pem)
            .with_context(|| format!("the machine's key {} is damaged; enrol the machine again", path.display()));
    }
    let key = KeyPair::generate().context("cannot create the machine's key")?;
    write_secret(path, key.serialize_pem().as_bytes())?;
    Ok(key)
}

/// Writes a file that only this user can read. The file is replaced atomically.
fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file = sys::owner_only(&mut options).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Creates a certificate request for the machine's key. The server decides the certificate's contents.
///
/// # Errors
/// When the key cannot sign.
pub fn signing_request(key: &KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key).context("cannot create the certificate request")?.pem()?)
}
