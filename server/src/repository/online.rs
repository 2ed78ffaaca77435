//! The server's own two keys and what they sign: snapshot and timestamp, nothing else.

use super::{
    RepositoryError,
    disk::Disk,
    signing::{self, Ed25519KeyPair},
};
use banyan_proto::{SigningKey, UnixSeconds};
use banyan_trust::Versions;
use std::num::NonZeroU64;
use tough::{
    schema::{Hashes, Metafile, RoleType, Root, Snapshot, Timestamp},
    sign::Sign as _,
};

/// How long a timestamp is believed (seconds): for so long a machine can be kept from hearing news.
pub(super) const TIMESTAMP_SECONDS: u64 = 24 * 3600;
/// How long a snapshot is believed (seconds). It is signed anew together with each timestamp.
const SNAPSHOT_SECONDS: u64 = 7 * 24 * 3600;

/// The keys of the online roles.
pub(super) struct OnlineKeys {
    snapshot: Ed25519KeyPair,
    timestamp: Ed25519KeyPair,
}

impl OnlineKeys {
    /// Reads them, or makes them at the first start.
    pub(super) fn open(disk: &Disk) -> Result<Self, RepositoryError> {
        let open = |name: &'static str| {
            let bytes = disk.key(name, || SigningKey::generate().1)?;
            Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| RepositoryError::Damaged {
                what: name.into(),
                why: "it is not an Ed25519 key in PKCS#8 form".into(),
            })
        };
        Ok(Self { snapshot: open("snapshot.pk8")?, timestamp: open("timestamp.pk8")? })
    }
    /// As TUF key objects, snapshot first.
    pub(super) fn public(&self) -> Vec<serde_json::Value> {
        [&self.snapshot, &self.timestamp].into_iter().map(|pair| serde_json::json!(pair.tuf_key())).collect()
    }
    /// Whether a root gives this server the snapshot and timestamp roles, each to its key alone if need be.
    pub(super) fn may_sign_under(&self, root: &Root) -> Result<(), RepositoryError> {
        for (role, pair) in [(RoleType::Snapshot, &self.snapshot), (RoleType::Timestamp, &self.timestamp)] {
            if !signing::can_sign(root, role, &[pair]) {
                return Err(RepositoryError::NotOurKeys(role.to_string()));
            }
        }
        Ok(())
    }
    /// A snapshot of the list, and a timestamp of the snapshot, with versions above those given.
    pub(super) fn sign(
        &self,
        root: &Root,
        targets: &str,
        targets_version: u64,
        above: Versions,
        now: UnixSeconds,
    ) -> Result<(String, String), RepositoryError> {
        let expires = |seconds| signing::time(now.plus(seconds));
        let mut snapshot = Snapshot::new(signing::SPEC.into(), next(above.snapshot, now), expires(SNAPSHOT_SECONDS)?);
        snapshot.meta.insert("targets.json".into(), pin(targets, targets_version));
        let snapshot_version = snapshot.version.get();
        let snapshot = signing::sign(root, snapshot, &[&self.snapshot])?;
        let mut timestamp =
            Timestamp::new(signing::SPEC.into(), next(above.timestamp, now), expires(TIMESTAMP_SECONDS)?);
        timestamp.meta.insert("snapshot.json".into(), pin(&snapshot, snapshot_version));
        let timestamp = signing::sign(root, timestamp, &[&self.timestamp])?;
        Ok((snapshot, timestamp))
    }
}

/// Above the last version, and no lower than the clock.
fn next(last: u64, now: UnixSeconds) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(last.max(now.0.saturating_sub(1)))
}

fn pin(text: &str, version: u64) -> Metafile {
    Metafile {
        length: Some(text.len() as u64),
        hashes: Some(Hashes { sha256: signing::sha256(text.as_bytes()).into(), _extra: Default::default() }),
        version: NonZeroU64::new(version).unwrap_or(NonZeroU64::MIN),
        _extra: Default::default(),
    }
}
