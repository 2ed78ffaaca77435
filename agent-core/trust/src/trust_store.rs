//! The machine's persistent trust store, which protects it against rollback to an older state.

use crate::{ReleaseList, TrustError, TrustedMetadata, TrustedRelease, Versions, root_rules, time::to_timestamp};
use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    peer::{Metadata, ReleaseProof},
};
use serde::{Deserialize, Serialize};
use sigstore_tuf::{Metadata as SignedRole, Root, TrustedMetadataSet};
use std::collections::BTreeMap;

/// How far ahead of this machine's clock a signed time may be to be recorded (seconds).
const MAX_AHEAD_SECONDS: u64 = 3600;
/// Two clocks that differ by no more agree (seconds).
const AGREE_SECONDS: u64 = 900;

/// The machine's root of trust and its minimum versions (floors).
///
/// Methods do not modify the store; they return the store to keep from then on. Persist and sync the returned store
/// **before** acting on the verdict. The store belongs in the machine's database, apart from cached metadata. If it
/// cannot be read, nothing may be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStore {
    /// The newest trusted root.json.
    root: String,
    /// The highest versions seen of each metadata file.
    versions: Versions,
    /// For each package, the highest `min_sequence` seen in a published manifest.
    floors: BTreeMap<String, u64>,
    /// The latest signed time seen.
    signed_time: UnixSeconds,
}

impl TrustStore {
    /// Creates a store from the first root, whose text must have the hash in the join code. It does not check the
    /// root's expiry; each later check of metadata does.
    ///
    /// # Errors
    /// [`TrustError::WrongFirstRoot`] for another root. [`TrustError::Forged`] or [`TrustError::UnsoundRoot`] for a
    /// root that is not signed by its own keys or that mixes roles.
    pub fn enrol(root_json: &str, expected: Digest) -> Result<Self, TrustError> {
        check_limit("root.json", root_json.len(), limits::METADATA_BYTES)?;
        let found = Digest::of(root_json.as_bytes());
        if found != expected {
            return Err(TrustError::WrongFirstRoot { expected, found });
        }
        let set = TrustedMetadataSet::from_root(root_json.as_bytes())
            .map_err(|source| TrustError::Forged { role: "root", source })?;
        root_rules::check_sound(set.root())?;
        Ok(Self {
            root: root_json.to_owned(),
            versions: Versions { root: set.root().version, ..Versions::default() },
            floors: BTreeMap::new(),
            signed_time: UnixSeconds::default(),
        })
    }
    /// Verifies a release: first the metadata, as [`TrustStore::refresh`] does, then the manifest against the metadata
    /// and the floors. `wanted` is the BLAKE3 of the manifest in the order.
    ///
    /// # Errors
    /// See [`TrustError`]; [`TrustError::reason`] classifies them.
    pub fn check(
        &self,
        release: &ReleaseProof,
        wanted: Digest,
        now: UnixSeconds,
    ) -> Result<(TrustedRelease, Self), TrustError> {
        let (metadata, mut store) = self.refresh(&release.metadata, now)?;
        let release = TrustedRelease::find(&metadata, &release.manifest, wanted)?;
        store.check_floor(release.manifest())?;
        Ok((release, store))
    }
    /// Verifies a release as [`TrustStore::check`] does, with a fallback for stale metadata. If the offered metadata
    /// cannot prove the release, the machine's own newest metadata may prove it. That metadata comes from a cache and
    /// gets the same checks. An honest sender with older metadata than this machine is a common case, not an attack.
    ///
    /// # Errors
    /// Of two errors, the more specific one: the error about the release if either check got that far.
    pub fn check_or_cached(
        &self,
        release: &ReleaseProof,
        cached: Option<&Metadata>,
        wanted: Digest,
        now: UnixSeconds,
    ) -> Result<(TrustedRelease, Self), TrustError> {
        let refused = match self.check(release, wanted, now) {
            Err(error) if error.is_about_metadata() => error,
            verdict => return verdict,
        };
        let Some(cached) = cached else { return Err(refused) };
        let proof = ReleaseProof { metadata: cached.clone(), manifest: release.manifest.clone() };
        match self.check(&proof, wanted, now) {
            Ok((release, store)) => Ok((release.proved_by_cache(), store)),
            Err(error) if error.is_about_metadata() => Err(refused),
            // A release that older metadata lacks may well be on the offered list; that list's expiry is the cause.
            Err(TrustError::NotPublished { .. }) if matches!(refused, TrustError::Expired { .. }) => Err(refused),
            Err(error) => Err(error),
        }
    }
    /// Verifies metadata alone: limits, the chain of roots, signatures, expiry, consistency of the files, and floors.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn refresh(&self, metadata: &Metadata, now: UnixSeconds) -> Result<(TrustedMetadata, Self), TrustError> {
        for (what, text) in [
            ("timestamp.json", &metadata.timestamp),
            ("snapshot.json", &metadata.snapshot),
            ("targets.json", &metadata.targets),
        ] {
            check_limit(what, text.len(), limits::METADATA_BYTES)?;
        }
        let (mut set, mut store) = self.follow_roots(&metadata.roots)?;
        let now = self.time(now);
        let at = to_timestamp(now);
        let failed = |role| move |error| TrustError::from_library(role, error, now);
        let not_below = |role, seen: u64, offered: u64| {
            if offered < seen { Err(TrustError::RolledBack { role, seen, offered }) } else { Ok(()) }
        };
        // The order of the TUF specification, 5.3.10 to 5.6. Our floors (rule T4) follow directly after each role.
        set.check_root_expired(at).map_err(failed("root"))?;
        set.update_timestamp(metadata.timestamp.as_bytes(), at).map_err(failed("timestamp"))?;
        let version = set.timestamp().map_or(0, |role| role.version);
        not_below("timestamp", store.versions.timestamp, version)?;
        store.versions.timestamp = version;
        // What names an older file is refused with it (5.4.3, 5.5.5).
        let named = set.timestamp().and_then(|role| role.snapshot_meta()).map_or(u64::MAX, |named| named.version);
        not_below("snapshot", store.versions.snapshot, named)?;
        set.update_snapshot(metadata.snapshot.as_bytes(), at).map_err(failed("snapshot"))?;
        let version = set.snapshot().map_or(0, |role| role.version);
        not_below("snapshot", store.versions.snapshot, version)?;
        store.versions.snapshot = version;
        let named =
            set.snapshot().and_then(|role| role.meta.get("targets.json")).map_or(u64::MAX, |named| named.version);
        not_below("targets", store.versions.targets, named)?;
        let version = set.update_targets(metadata.targets.as_bytes(), at).map_err(failed("targets"))?.version;
        not_below("targets", store.versions.targets, version)?;
        store.versions.targets = version;
        Ok((TrustedMetadata::new(set, store.versions), store))
    }
    /// Follows a chain of roots without checking other metadata. Roots at or below the trusted version are skipped. The
    /// others must follow without a gap, each signed by the previous root's keys and its own.
    ///
    /// # Errors
    /// [`TrustError::TooLarge`], [`TrustError::RootGap`], [`TrustError::Forged`], [`TrustError::UnsoundRoot`].
    pub fn update_roots(&self, roots: &[String]) -> Result<Self, TrustError> {
        Ok(self.follow_roots(roots)?.1)
    }
    /// Returns the contents of a targets.json that the trusted root's targets keys signed. It ignores expiry: it is for
    /// the publisher and the server, who renew the file, and never for a decision to install.
    ///
    /// # Errors
    /// [`TrustError::TooLarge`] or [`TrustError::Forged`].
    pub fn published(&self, targets_json: &str) -> Result<ReleaseList, TrustError> {
        check_limit("targets.json", targets_json.len(), limits::METADATA_BYTES)?;
        ReleaseList::verify(self.verifier()?.root(), targets_json)
    }
    /// Records the time in a document that the server signed. The caller has already verified the signature; `clock` is
    /// this machine's clock.
    ///
    /// A time far ahead of this machine's clock is not recorded: one of the two clocks is wrong, and the error must not
    /// outlast its correction (rule T6).
    pub fn record_signed_time(&mut self, signed: UnixSeconds, clock: UnixSeconds) {
        if signed <= clock.plus(MAX_AHEAD_SECONDS) {
            self.signed_time = self.signed_time.max(signed);
        }
    }
    /// Gives up a recorded time that is far ahead of this machine's clock and of the server's, which agree: it was
    /// recorded while both were wrong. `server` must be a time that the server stated just now, not one in a document
    /// that somebody may have kept. Returns whether anything changed.
    pub fn correct_signed_time(&mut self, server: UnixSeconds, clock: UnixSeconds) -> bool {
        let is_wrong = self.signed_time > clock.plus(MAX_AHEAD_SECONDS)
            && self.signed_time > server.plus(MAX_AHEAD_SECONDS)
            && server.0.abs_diff(clock.0) <= AGREE_SECONDS;
        if is_wrong {
            self.signed_time = server;
        }
        is_wrong
    }
    /// Returns the time for decisions: this machine's clock, but never before the latest signed time (rule T6).
    #[must_use]
    pub fn time(&self, now: UnixSeconds) -> UnixSeconds {
        now.max(self.signed_time)
    }
    /// Returns a store with the same root and floors for a machine that now belongs to a server. It drops the other
    /// metadata versions: a list seen only in a package file must not make the machine refuse the server's lists (rule
    /// T9).
    #[must_use]
    pub fn for_server(&self) -> Self {
        let versions = Versions { root: self.versions.root, ..Versions::default() };
        Self { versions, ..self.clone() }
    }
    /// Returns the highest versions seen.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.versions
    }
    /// Returns the lowest sequence of a package that this machine accepts.
    #[must_use]
    pub fn floor(&self, package: &str) -> u64 {
        self.floors.get(package).copied().unwrap_or(0)
    }
    /// Returns the newest trusted root.json.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Creates a verifier that trusts the stored root. Each check uses a new one, so that it has no floors of its own
    /// that could differ from ours.
    fn verifier(&self) -> Result<TrustedMetadataSet, TrustError> {
        let set = TrustedMetadataSet::from_root(self.root.as_bytes())
            .map_err(|error| TrustError::StoreDamaged(error.to_string()))?;
        if set.root().version != self.versions.root {
            return Err(TrustError::StoreDamaged("the root's version differs from the recorded one".into()));
        }
        Ok(set)
    }
    fn follow_roots(&self, roots: &[String]) -> Result<(TrustedMetadataSet, Self), TrustError> {
        check_limit("the chain of roots", roots.len(), limits::ROOTS)?;
        let (mut set, mut store) = (self.verifier()?, self.clone());
        for text in roots {
            check_limit("root.json", text.len(), limits::METADATA_BYTES)?;
            let forged = |source| TrustError::Forged { role: "root", source };
            let (trusted, offered) =
                (set.root().version, SignedRole::<Root>::from_slice(text.as_bytes()).map_err(forged)?.signed().version);
            if offered <= trusted {
                continue;
            }
            if offered - trusted > 1 {
                return Err(TrustError::RootGap { trusted, offered });
            }
            let old = set.root().clone();
            set.update_root(text.as_bytes()).map_err(forged)?;
            root_rules::check_sound(set.root())?;
            store.reset_versions_after(&old, set.root());
            store.root.clone_from(text);
            store.versions.root = offered;
        }
        Ok((set, store))
    }
    /// Refuses a release below its package's floor, and records the floor that the release sets (rule T5). There is no
    /// exception: a release that restores older content has a higher sequence.
    pub(crate) fn check_floor(&mut self, manifest: &Manifest) -> Result<(), TrustError> {
        let floor = self.floor(&manifest.package);
        if manifest.sequence < floor {
            let (package, sequence) = (manifest.package.clone(), manifest.sequence);
            return Err(TrustError::BelowFloor { package, sequence, floor });
        }
        if manifest.min_sequence > floor {
            self.floors.insert(manifest.package.clone(), manifest.min_sequence);
        }
        Ok(())
    }
    /// Records a list's version; refuses a list older than the newest one seen.
    pub(crate) fn record_targets_version(&mut self, version: u64) -> Result<(), TrustError> {
        if version < self.versions.targets {
            return Err(TrustError::RolledBack { role: "targets", seen: self.versions.targets, offered: version });
        }
        self.versions.targets = version;
        Ok(())
    }
    /// Returns an error if the trusted root has expired.
    pub(crate) fn root_is_fresh(&self, now: UnixSeconds) -> Result<(), TrustError> {
        let checked = self.verifier()?.check_root_expired(to_timestamp(now));
        checked.map_err(|error| TrustError::from_library("root", error, now))
    }
    /// Implements TUF 5.3.11, recovery from a fast-forward attack: versions reached under replaced keys do not bind the
    /// new keys. Package floors never fall.
    fn reset_versions_after(&mut self, old: &Root, new: &Root) {
        if root_rules::was_rotated(old, new, "timestamp") || root_rules::was_rotated(old, new, "snapshot") {
            (self.versions.timestamp, self.versions.snapshot) = (0, 0);
        }
        if root_rules::was_rotated(old, new, "targets") {
            self.versions.targets = 0;
        }
    }
}

fn check_limit(what: &'static str, found: usize, limit: usize) -> Result<(), TrustError> {
    if found > limit { Err(TrustError::TooLarge { what, found, limit }) } else { Ok(()) }
}
