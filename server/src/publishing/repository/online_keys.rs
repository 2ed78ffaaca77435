//! The server's two online keys, which sign snapshot and timestamp and nothing else.

use super::{RepositoryError, disk::Disk};
use banyan_proto::{SigningKey, UnixSeconds};
use banyan_trust::Versions;
use banyan_tuf_signing::{self as signing, Ed25519KeyPair};
use std::num::NonZeroU64;
use tough::{
    schema::{Hashes, Metafile, RoleType, Root, Snapshot, Timestamp},
    sign::Sign as _,
};

/// Lifetime of a timestamp (seconds). An attacker can withhold news from a machine for at most this long.
pub(super) const TIMESTAMP_SECONDS: u64 = 24 * 3600;
/// Lifetime of a snapshot (seconds). Signed again together with each timestamp.
const SNAPSHOT_SECONDS: u64 = 7 * 24 * 3600;

/// The keys of the online roles.
pub(super) struct OnlineKeys {
    snapshot: Ed25519KeyPair,
    timestamp: Ed25519KeyPair,
}

impl OnlineKeys {
    /// Reads the keys, or creates them at the first start.
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
    /// Returns the public keys as TUF key objects, snapshot first.
    pub(super) fn public(&self) -> Vec<serde_json::Value> {
        [&self.snapshot, &self.timestamp].into_iter().map(|pair| serde_json::json!(pair.tuf_key())).collect()
    }
    /// Verifies that under this root, the server's one key per role is enough to sign snapshot and timestamp.
    pub(super) fn check_roles(&self, root: &Root) -> Result<(), RepositoryError> {
        for (role, pair) in [(RoleType::Snapshot, &self.snapshot), (RoleType::Timestamp, &self.timestamp)] {
            if !signing::can_sign(root, role, &[pair]) {
                return Err(RepositoryError::NotOurKeys(role.to_string()));
            }
        }
        Ok(())
    }
    /// Signs a snapshot of the list and a timestamp of the snapshot, with versions higher than those given.
    pub(super) fn sign(
        &self,
        root: &Root,
        targets: &str,
        targets_version: u64,
        above: Versions,
        now: UnixSeconds,
    ) -> Result<(String, String), RepositoryError> {
        let expires = |seconds| signing::time(now.plus(seconds));
        let mut snapshot =
            Snapshot::new(signing::SPEC.into(), next_version(above.snapshot, now), expires(SNAPSHOT_SECONDS)?);
        snapshot.meta.insert("targets.json".into(), pinned_file(targets, targets_version));
        let snapshot_version = snapshot.version.get();
        let snapshot = signing::sign(root, snapshot, &[&self.snapshot])?;
        let mut timestamp =
            Timestamp::new(signing::SPEC.into(), next_version(above.timestamp, now), expires(TIMESTAMP_SECONDS)?);
        timestamp.meta.insert("snapshot.json".into(), pinned_file(&snapshot, snapshot_version));
        let timestamp = signing::sign(root, timestamp, &[&self.timestamp])?;
        Ok((snapshot, timestamp))
    }
}

/// Returns a version above the last one and not below the clock.
fn next_version(last: u64, now: UnixSeconds) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(last.max(now.0.saturating_sub(1)))
}

fn pinned_file(text: &str, version: u64) -> Metafile {
    Metafile {
        length: Some(text.len() as u64),
        hashes: Some(Hashes { sha256: signing::sha256(text.as_bytes()).into(), _extra: Default::default() }),
        version: NonZeroU64::new(version).unwrap_or(NonZeroU64::MIN),
        _extra: Default::default(),
    }
}
