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
use tough::{schema::key::Key, sign::Sign as _};

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
}

/// The content of keys.toml.
#[derive(Serialize, Deserialize)]
struct Settings {
    /// How many keys of a role must sign.
    threshold: u64,
}

/// The content of public.json.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// The public root keys, as TUF key objects.
    pub root: Vec<Key>,
    /// The public targets keys.
    pub targets: Vec<Key>,
}

impl Public {
    /// Returns the keys of a role.
    pub fn of(&self, role: Role) -> &[Key] {
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
            return Self::of_folder(path);
        }
        let text = std::fs::read_to_string(path).map_err(private_files::failed("read", path))?;
        serde_json::from_str(&text)
            .map_err(|error| PublisherError::NotPublicKeys { path: path.to_owned(), why: error.to_string() })
    }
    fn of_folder(folder: &Path) -> Result<Self, PublisherError> {
        let keys = |role| -> Result<Vec<Key>, PublisherError> {
            Ok(load(role, folder)?.iter().map(|(_, pair)| pair.tuf_key()).collect())
        };
        Ok(Self { root: keys(Role::Root)?, targets: keys(Role::Targets)? })
    }
}

/// Returns the id of a key, as roots list it (hexadecimal).
///
/// # Errors
/// Returns an error when the key has no canonical form.
pub fn id(key: &Key) -> Result<String, PublisherError> {
    let id = key.key_id().map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    Ok(data_encoding::HEXLOWER.encode(&id))
}

/// Creates `keys` keys of each offline role, of which `threshold` must sign. Returns the paths of the key files.
///
/// # Errors
/// Returns an error when the folder already has keys, the threshold cannot be met, or the disk fails.
pub fn generate(out: &Path, keys: usize, threshold: u64) -> Result<Vec<PathBuf>, PublisherError> {
    if threshold == 0 || threshold > keys as u64 {
        return Err(PublisherError::Threshold { threshold, keys });
    }
    private_files::make_folder(out)?;
    let settings = out.join("keys.toml");
    let there = |role| files_of(role, out).map(|files| !files.is_empty());
    if settings.exists() || there(Role::Root)? || there(Role::Targets)? {
        return Err(PublisherError::KeysThere(out.to_owned()));
    }
    let mut made = vec![];
    for role in [Role::Root, Role::Targets] {
        for _ in 0..keys {
            made.push(make(out, role)?);
        }
    }
    let text =
        toml::to_string(&Settings { threshold }).map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    private_files::write_new(&settings, text.as_bytes())?;
    write_public(out)?;
    Ok(made)
}

/// Creates one more key of a role. Its number has never been used in this folder.
///
/// # Errors
/// Returns an error when the disk fails.
pub fn make_one(folder: &Path, role: Role) -> Result<(PathBuf, Ed25519KeyPair), PublisherError> {
    private_files::make_folder(folder)?;
    let path = make(folder, role)?;
    write_public(folder)?;
    let pair = read(&path)?;
    Ok((path, pair))
}

fn make(folder: &Path, role: Role) -> Result<PathBuf, PublisherError> {
    let name = |number: usize| format!("{}-{number}.key", role.name());
    let taken = |number: &usize| folder.join(name(*number)).exists() || folder.join("old").join(name(*number)).exists();
    let number = (1..).find(|number| !taken(number)).unwrap_or(usize::MAX);
    let path = folder.join(name(number));
    private_files::write_new(&path, &SigningKey::generate().1)?;
    Ok(path)
}

fn write_public(folder: &Path) -> Result<(), PublisherError> {
    let text = serde_json::to_vec_pretty(&Public::of_folder(folder)?)
        .map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    private_files::write(&folder.join("public.json"), &text)
}

/// Loads the keys of a role from a folder, with their paths. There may be none, for example when they are in a safe.
///
/// # Errors
/// Returns an error when the folder or a key cannot be read.
pub fn load(role: Role, folder: &Path) -> Result<Vec<(PathBuf, Ed25519KeyPair)>, PublisherError> {
    files_of(role, folder)?.into_iter().map(|path| read(&path).map(|pair| (path, pair))).collect()
}

fn read(path: &Path) -> Result<Ed25519KeyPair, PublisherError> {
    let bytes = std::fs::read(path).map_err(private_files::failed("read", path))?;
    let why = || "not an Ed25519 key in PKCS#8 format".to_owned();
    Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| PublisherError::Damaged { path: path.to_owned(), why: why() })
}

/// Moves a key that no root names any more into `old/`. It is not deleted: that is the owner's decision.
///
/// # Errors
/// Returns an error when the disk fails.
pub fn retire(path: &Path) -> Result<(), PublisherError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let old = folder.join("old");
    private_files::make_folder(&old)?;
    let to = old.join(path.file_name().unwrap_or_default());
    std::fs::rename(path, &to).map_err(private_files::failed("write", &to))?;
    write_public(folder)
}

/// Returns the paths of `ROLE-….key` files, sorted by name.
fn files_of(role: Role, folder: &Path) -> Result<Vec<PathBuf>, PublisherError> {
    let mut paths = vec![];
    for entry in std::fs::read_dir(folder).map_err(private_files::failed("read", folder))? {
        let entry = entry.map_err(private_files::failed("read", folder))?;
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
pub fn threshold(folder: &Path) -> Result<NonZeroU64, PublisherError> {
    let path = folder.join("keys.toml");
    let damaged = |why: String| PublisherError::Damaged { path: path.clone(), why };
    let text = private_files::read(&path)?.ok_or_else(|| damaged("it is missing".into()))?;
    let settings: Settings = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    NonZeroU64::new(settings.threshold).ok_or_else(|| damaged("the threshold is 0".into()))
}
