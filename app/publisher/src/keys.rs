//! The publisher's keys, stored where no server can reach them.
//!
//! ```text
//! DIR/root-1.key …      Ed25519 keys in PKCS#8 format (mode 600); sign roots only
//! DIR/targets-1.key …   sign lists of releases
//! DIR/public.json       their public halves, for anyone who creates a root with them; not secret
//! DIR/old/              keys that no root names any more
//! DIR/keys.toml         the threshold of the first root
//! DIR/root.json         the first root
//! DIR/roots.json        all roots that the server has accepted
//! DIR/published.json    the list of releases that the server accepted last
//! ```
//!
//! Root keys are needed only to create roots. They can be moved to a safe after `init`.

use crate::{PublisherError, private_files};
use banyan_proto::SigningKey;
use banyan_tuf_signing::Ed25519KeyPair;
use serde::{Deserialize, Serialize};
use std::{
    num::NonZeroU64,
    path::{Path, PathBuf},
};
use tough::{
    schema::{RoleType, key::Key},
    sign::Sign as _,
};

/// The roles whose keys the publisher holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Decides which keys count; rarely needed, best kept in a safe
    Root,
    /// Signs releases
    Targets,
}

impl Role {
    /// Returns its name in files and metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
        }
    }
    /// Converts to TUF's role type.
    pub fn role_type(self) -> RoleType {
        match self {
            Self::Root => RoleType::Root,
            Self::Targets => RoleType::Targets,
        }
    }
}

/// The content of keys.toml.
#[derive(Serialize, Deserialize)]
struct KeySettings {
    /// How many keys of a role must sign.
    threshold: u64,
}

/// The content of public.json.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeys {
    /// The public root keys, as TUF key objects.
    pub root: Vec<Key>,
    /// The public targets keys.
    pub targets: Vec<Key>,
}

impl PublicKeys {
    /// Returns the keys of a role.
    pub fn for_role(&self, role: Role) -> &[Key] {
        match role {
            Role::Root => &self.root,
            Role::Targets => &self.targets,
        }
    }
    /// Reads a public.json, or derives its content from a key folder.
    ///
    /// # Errors
    /// Returns an error when the file does not exist or is malformed.
    pub fn read(path: &Path) -> Result<Self, PublisherError> {
        if path.is_dir() {
            return Self::from_folder(path);
        }
        let text = std::fs::read_to_string(path).map_err(private_files::disk_error("read", path))?;
        serde_json::from_str(&text)
            .map_err(|error| PublisherError::NotPublicKeys { path: path.to_owned(), why: error.to_string() })
    }
    fn from_folder(folder: &Path) -> Result<Self, PublisherError> {
        let keys = |role| -> Result<Vec<Key>, PublisherError> {
            Ok(load_keys(role, folder)?.iter().map(KeyFile::public_key).collect())
        };
        Ok(Self { root: keys(Role::Root)?, targets: keys(Role::Targets)? })
    }
}

/// A private key and the file it is in.
pub struct KeyFile {
    /// The file.
    pub path: PathBuf,
    /// The key.
    pub pair: Ed25519KeyPair,
}

impl KeyFile {
    /// Returns the public half, as a TUF key object.
    pub fn public_key(&self) -> Key {
        self.pair.tuf_key()
    }
    /// Returns the id of the key, as roots list it (hexadecimal).
    ///
    /// # Errors
    /// Returns an error when the key has no canonical form.
    pub fn id(&self) -> Result<String, PublisherError> {
        key_id(&self.public_key())
    }
}

/// Returns the id of a key, as roots list it (hexadecimal).
///
/// # Errors
/// Returns an error when the key has no canonical form.
pub fn key_id(key: &Key) -> Result<String, PublisherError> {
    let id = key.key_id().map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    Ok(data_encoding::HEXLOWER.encode(&id))
}

/// Creates `keys` keys of each offline role, of which `read_threshold` must sign. Returns the paths of the key files.
///
/// # Errors
/// Returns an error when the folder already has keys, the threshold cannot be met, or the disk fails.
pub fn generate_keys(out: &Path, keys: usize, threshold: u64) -> Result<Vec<PathBuf>, PublisherError> {
    if threshold == 0 || threshold > keys as u64 {
        return Err(PublisherError::Threshold { threshold, keys });
    }
    private_files::create_private_folder(out)?;
    let settings = out.join("keys.toml");
    let has_keys = |role| list_key_files(role, out).map(|files| !files.is_empty());
    if settings.exists() || has_keys(Role::Root)? || has_keys(Role::Targets)? {
        return Err(PublisherError::KeysExist(out.to_owned()));
    }
    let mut made = vec![];
    let written = write_keys(out, keys, threshold, &mut made);
    if written.is_err() {
        // Half of a key folder would look like one that can be used.
        made.iter().chain([&settings]).for_each(|path| drop(std::fs::remove_file(path)));
    }
    written.map(|()| made)
}

/// Writes new keys and their settings. `made` receives the key files.
fn write_keys(out: &Path, keys: usize, threshold: u64, made: &mut Vec<PathBuf>) -> Result<(), PublisherError> {
    for role in [Role::Root, Role::Targets] {
        for _ in 0..keys {
            made.push(write_new_key(out, role)?);
        }
    }
    let text =
        toml::to_string(&KeySettings { threshold }).map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    private_files::write_new(&out.join("keys.toml"), text.as_bytes())?;
    write_public_keys(out)
}

/// Creates one more key of a role. Its number has never been used in this folder.
///
/// # Errors
/// Returns an error when the disk fails.
pub fn create_key(folder: &Path, role: Role) -> Result<KeyFile, PublisherError> {
    private_files::create_private_folder(folder)?;
    let path = write_new_key(folder, role)?;
    write_public_keys(folder)?;
    read_key(path)
}

fn write_new_key(folder: &Path, role: Role) -> Result<PathBuf, PublisherError> {
    let name = |number: usize| format!("{}-{number}.key", role.name());
    let taken = |number: &usize| folder.join(name(*number)).exists() || folder.join("old").join(name(*number)).exists();
    let number = (1..).find(|number| !taken(number)).unwrap_or(usize::MAX);
    let path = folder.join(name(number));
    private_files::write_new(&path, &SigningKey::generate().1)?;
    Ok(path)
}

fn write_public_keys(folder: &Path) -> Result<(), PublisherError> {
    let text = serde_json::to_vec_pretty(&PublicKeys::from_folder(folder)?)
        .map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    private_files::write_atomically(&folder.join("public.json"), &text)
}

/// Loads the keys of a role from a folder, with their paths. There may be none, for example when they are in a safe.
///
/// # Errors
/// Returns an error when the folder or a key cannot be read.
pub fn load_keys(role: Role, folder: &Path) -> Result<Vec<KeyFile>, PublisherError> {
    list_key_files(role, folder)?.into_iter().map(read_key).collect()
}

fn read_key(path: PathBuf) -> Result<KeyFile, PublisherError> {
    let bytes = std::fs::read(&path).map_err(private_files::disk_error("read", &path))?;
    match Ed25519KeyPair::from_pkcs8(&bytes) {
        Ok(pair) => Ok(KeyFile { path, pair }),
        Err(_) => {
            let why = "not an Ed25519 key in PKCS#8 format".to_owned();
            Err(PublisherError::Damaged { path, why })
        }
    }
}

/// Moves a key that no root names any more into `old/`. It is not deleted: that is the owner's decision.
///
/// # Errors
/// Returns an error when the disk fails.
pub fn retire_key(path: &Path) -> Result<(), PublisherError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let old = folder.join("old");
    private_files::create_private_folder(&old)?;
    let to = old.join(path.file_name().unwrap_or_default());
    std::fs::rename(path, &to).map_err(private_files::disk_error("write", &to))?;
    write_public_keys(folder)
}

/// Returns the paths of `ROLE-….key` files, sorted by name.
fn list_key_files(role: Role, folder: &Path) -> Result<Vec<PathBuf>, PublisherError> {
    let mut paths = vec![];
    for entry in std::fs::read_dir(folder).map_err(private_files::disk_error("read", folder))? {
        let entry = entry.map_err(private_files::disk_error("read", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&format!("{}-", role.name())) && name.ends_with(".key") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Returns the threshold of the first root, as given to `banyan keys generate`.
///
/// # Errors
/// Returns an error when keys.toml is missing or damaged.
pub fn read_threshold(folder: &Path) -> Result<NonZeroU64, PublisherError> {
    let path = folder.join("keys.toml");
    let damaged = |why: String| PublisherError::Damaged { path: path.clone(), why };
    let text = private_files::read_optional(&path)?.ok_or_else(|| damaged("it is missing".into()))?;
    let settings: KeySettings = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    NonZeroU64::new(settings.threshold).ok_or_else(|| damaged("the threshold is 0".into()))
}
