//! The publishers' keys and the first root, made where no server can reach them.
//!
//! ```text
//! DIR/root-1.key …      Ed25519 keys in PKCS#8 form (mode 600); sign roots and nothing else
//! DIR/targets-1.key …   sign lists of releases
//! DIR/keys.toml         how many of them must sign
//! DIR/root.json         the first root
//! DIR/published.json    the list of releases that the server accepted last
//! ```
//!
//! Root keys are needed only to make roots: they can be taken away to a safe after `init`.

use super::{PublisherError, files};
use banyan_proto::{Digest, SigningKey, UnixSeconds, admin::Info};
use banyan_server::repository::signing::{self, Ed25519KeyPair};
use banyan_trust::TrustStore;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    num::NonZeroU64,
    path::{Path, PathBuf},
};
use tough::schema::{RoleKeys, RoleType, Root, key::Key};

/// How long roots and lists of releases are believed (seconds).
pub(super) const YEAR: u64 = 365 * 24 * 3600;

/// keys.toml
#[derive(Serialize, Deserialize)]
struct Settings {
    /// How many keys of a role must sign.
    threshold: u64,
}

/// The root that machines begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstRoot {
    /// Its text, to be registered with the server.
    pub(crate) json: String,
    /// Its BLAKE3, for the profile and the join codes.
    pub(crate) digest: Digest,
}

/// Makes `keys` keys of each offline role, of which `threshold` must sign. Gives the files.
///
/// # Errors
/// When there are keys already, the threshold cannot be met, or the disk fails.
pub(crate) fn generate(out: &Path, keys: usize, threshold: u64) -> Result<Vec<PathBuf>, PublisherError> {
    if threshold == 0 || threshold > keys as u64 {
        return Err(PublisherError::Threshold { threshold, keys });
    }
    files::make_folder(out)?;
    let settings = out.join("keys.toml");
    if settings.exists() || !files_of("root", out)?.is_empty() || !files_of("targets", out)?.is_empty() {
        return Err(PublisherError::KeysThere(out.to_owned()));
    }
    let mut made = vec![];
    for role in ["root", "targets"] {
        for number in 1..=keys {
            let path = out.join(format!("{role}-{number}.key"));
            files::write_new(&path, &SigningKey::generate().1)?;
            made.push(path);
        }
    }
    let text =
        toml::to_string(&Settings { threshold }).map_err(|error| PublisherError::Unwritable(error.to_string()))?;
    files::write_new(&settings, text.as_bytes())?;
    Ok(made)
}

/// Makes the first root: root and targets for the keys in the folder, snapshot and timestamp for the server's. Keeps it
/// as root.json. When that is there and names the same server, it is given again.
///
/// # Errors
/// When keys are missing or damaged, the server's cannot be used, or root.json belongs to another server.
pub(crate) fn init(keys: &Path, info: &Info, now: UnixSeconds) -> Result<FirstRoot, PublisherError> {
    let online = online_keys(info)?;
    let path = keys.join("root.json");
    if let Some(json) = files::read(&path)? {
        let root = signing::parse_root(&json)?;
        let names = |role, key| root.keys(role).any(|known| known == key);
        if !names(RoleType::Snapshot, &online[0]) || !names(RoleType::Timestamp, &online[1]) {
            return Err(PublisherError::OtherServer(path));
        }
        return Ok(FirstRoot { digest: Digest::of(json.as_bytes()), json });
    }
    let (root_keys, targets_keys) = (load("root", keys)?, load("targets", keys)?);
    let threshold = threshold(keys)?;
    let mut root = Root {
        spec_version: signing::SPEC.into(),
        consistent_snapshot: false,
        version: NonZeroU64::MIN,
        expires: signing::time(now.plus(YEAR))?,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    let public = |pairs: &[Ed25519KeyPair]| pairs.iter().map(tough::sign::Sign::tuf_key).collect::<Vec<_>>();
    let [snapshot, timestamp] = online;
    for (role, keys, threshold) in [
        (RoleType::Root, public(&root_keys), threshold),
        (RoleType::Targets, public(&targets_keys), threshold),
        (RoleType::Snapshot, vec![snapshot], NonZeroU64::MIN),
        (RoleType::Timestamp, vec![timestamp], NonZeroU64::MIN),
    ] {
        let mut keyids = vec![];
        for key in keys {
            let id = key.key_id().map_err(|error| PublisherError::Unwritable(error.to_string()))?;
            root.keys.insert(id.clone(), key);
            keyids.push(id);
        }
        root.roles.insert(role, RoleKeys { keyids, threshold, _extra: HashMap::new() });
    }
    let json = signing::sign(&root, root.clone(), &root_keys.iter().collect::<Vec<_>>())?;
    let digest = Digest::of(json.as_bytes());
    TrustStore::enrol(&json, digest).map_err(PublisherError::RootUnsound)?;
    files::write(&path, json.as_bytes())?;
    Ok(FirstRoot { json, digest })
}

/// The keys of a role in the folder.
pub(super) fn load(role: &'static str, folder: &Path) -> Result<Vec<Ed25519KeyPair>, PublisherError> {
    let paths = files_of(role, folder)?;
    if paths.is_empty() {
        return Err(PublisherError::NoKeys { role, folder: folder.to_owned() });
    }
    let load = |path: PathBuf| {
        let bytes = std::fs::read(&path).map_err(files::failed("read", &path))?;
        let why = || "it is not an Ed25519 key in PKCS#8 form".to_owned();
        Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| PublisherError::Damaged { path, why: why() })
    };
    paths.into_iter().map(load).collect()
}

/// `ROLE-….key`, by name.
fn files_of(role: &str, folder: &Path) -> Result<Vec<PathBuf>, PublisherError> {
    let mut paths = vec![];
    for entry in std::fs::read_dir(folder).map_err(files::failed("read", folder))? {
        let entry = entry.map_err(files::failed("read", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&format!("{role}-")) && name.ends_with(".key") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn threshold(folder: &Path) -> Result<NonZeroU64, PublisherError> {
    let path = folder.join("keys.toml");
    let damaged = |why: String| PublisherError::Damaged { path: path.clone(), why };
    let text = files::read(&path)?.ok_or_else(|| damaged("it is missing".into()))?;
    let settings: Settings = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    NonZeroU64::new(settings.threshold).ok_or_else(|| damaged("the threshold is 0".into()))
}

/// The server's keys: snapshot, timestamp.
fn online_keys(info: &Info) -> Result<[Key; 2], PublisherError> {
    let parse = |key: &serde_json::Value| {
        serde_json::from_value::<Key>(key.clone()).map_err(|error| PublisherError::OnlineKeys(error.to_string()))
    };
    let keys = info.online_keys.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    <[Key; 2]>::try_from(keys)
        .map_err(|keys| PublisherError::OnlineKeys(format!("it shows {}, two are needed", keys.len())))
}
