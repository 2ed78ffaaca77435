//! What a machine has to remember so that nobody can take it back to an older state.

use crate::{Published, TrustError, TrustedMetadata, TrustedRelease, root};
use banyan_proto::{
    Digest, Manifest, UnixSeconds, limits,
    peer::{Metadata, ReleaseProof},
};
use serde::{Deserialize, Serialize};
use sigstore_tuf::{Metadata as SignedRole, Root, TrustedMetadataSet};
use std::collections::BTreeMap;

/// Versions of TUF metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Versions {
    /// Of root.json.
    pub root: u64,
    /// Of timestamp.json.
    pub timestamp: u64,
    /// Of snapshot.json.
    pub snapshot: u64,
    /// Of targets.json.
    pub targets: u64,
}

impl Versions {
    /// Whether they are no older than what a go-ahead names (rule A6). To be asked of the release that is about to be
    /// installed, not of the store: a release may have been withdrawn in newer metadata than the one that proved it.
    #[must_use]
    pub fn at_least(&self, timestamp_version: u64, snapshot_version: u64) -> bool {
        self.timestamp >= timestamp_version && self.snapshot >= snapshot_version
    }
}

/// The machine's root of trust and its floors.
///
/// Methods do not change it but give the store that must be kept from then on: persist and sync that one **before**
/// acting on the verdict. It belongs in the machine's database, apart from cached metadata; when it cannot be read
/// nothing may be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStore {
    /// The newest trusted root.json.
    root: String,
    /// The highest versions seen.
    versions: Versions,
    /// Per package the highest `min_sequence` seen in a published manifest.
    floors: BTreeMap<String, u64>,
    /// The last signed time.
    signed_time: UnixSeconds,
}

impl TrustStore {
    /// Begins with the first root, whose text must have the hash in the join code.
    ///
    /// # Errors
    /// [`TrustError::WrongFirstRoot`] for another root; [`TrustError::Forged`] or [`TrustError::UnsoundRoot`] for one
    /// that is not signed by its own keys or mixes up roles. Its expiry is looked at when metadata is checked.
    pub fn enrol(root_json: &str, expected: Digest) -> Result<Self, TrustError> {
        within("root.json", root_json.len(), limits::METADATA_BYTES)?;
        let found = Digest::of(root_json.as_bytes());
        if found != expected {
            return Err(TrustError::WrongFirstRoot { expected, found });
        }
        let set = TrustedMetadataSet::from_root(root_json.as_bytes())
            .map_err(|source| TrustError::Forged { role: "root", source })?;
        root::check_sound(set.root())?;
        Ok(Self {
            root: root_json.to_owned(),
            versions: Versions { root: set.root().version, ..Versions::default() },
            floors: BTreeMap::new(),
            signed_time: UnixSeconds::default(),
        })
    }
    /// Checks a release: the metadata as [`TrustStore::refresh`] does, then the manifest against it and the floors.
    /// `wanted` is the BLAKE3 of the manifest in the order.
    ///
    /// # Errors
    /// See [`TrustError`]; [`TrustError::reason`] sorts them.
    pub fn check(
        &self,
        release: &ReleaseProof,
        wanted: Digest,
        now: UnixSeconds,
    ) -> Result<(TrustedRelease, Self), TrustError> {
        let (metadata, mut store) = self.refresh(&release.metadata, now)?;
        let release = TrustedRelease::find(&metadata, &release.manifest, wanted)?;
        store.take_floor(release.manifest())?;
        Ok((release, store))
    }
    /// As [`TrustStore::check`]; but where the offered metadata cannot prove the release because it is stale, the
    /// machine's own newest metadata (from a cache, so it is checked like any other) may prove it. An honest sender that
    /// has heard less from the server than this machine is a common case, not an attack.
    ///
    /// # Errors
    /// Of the two verdicts the one that says more: about the release when one of them got so far.
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
            Err(error) => Err(error),
        }
    }
    /// Checks metadata alone: limits, the chain of roots, signatures, expiry, that the files belong together, and the
    /// floors.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn refresh(&self, metadata: &Metadata, now: UnixSeconds) -> Result<(TrustedMetadata, Self), TrustError> {
        for (what, text) in [
            ("timestamp.json", &metadata.timestamp),
            ("snapshot.json", &metadata.snapshot),
            ("targets.json", &metadata.targets),
        ] {
            within(what, text.len(), limits::METADATA_BYTES)?;
        }
        let (mut set, mut store) = self.with_roots(&metadata.roots)?;
        let now = self.time(now);
        let at = timestamp(now);
        let failed = |role| move |error| TrustError::from_library(role, error, now);
        let not_below = |role, seen: u64, offered: u64| {
            if offered < seen { Err(TrustError::RolledBack { role, seen, offered }) } else { Ok(()) }
        };
        // The order of the TUF specification, 5.3.10 to 5.6; our floors (rule T4) stand right behind each role.
        set.check_root_expired(at).map_err(failed("root"))?;
        set.update_timestamp(metadata.timestamp.as_bytes(), at).map_err(failed("timestamp"))?;
        let version = set.timestamp().map_or(0, |role| role.version);
        not_below("timestamp", store.versions.timestamp, version)?;
        store.versions.timestamp = version;
        set.update_snapshot(metadata.snapshot.as_bytes(), at).map_err(failed("snapshot"))?;
        let version = set.snapshot().map_or(0, |role| role.version);
        not_below("snapshot", store.versions.snapshot, version)?;
        store.versions.snapshot = version;
        let version = set.update_targets(metadata.targets.as_bytes(), at).map_err(failed("targets"))?.version;
        not_below("targets", store.versions.targets, version)?;
        store.versions.targets = version;
        Ok((TrustedMetadata::new(set, store.versions), store))
    }
    /// Follows roots only: those at or below the trusted one are skipped, the others must follow without a gap, each
    /// signed by the one before and by itself.
    ///
    /// # Errors
    /// [`TrustError::TooLarge`], [`TrustError::RootGap`], [`TrustError::Forged`], [`TrustError::UnsoundRoot`].
    pub fn update_roots(&self, roots: &[String]) -> Result<Self, TrustError> {
        Ok(self.with_roots(roots)?.1)
    }
    /// What a targets.json lists, if the trusted root's targets keys signed it. Expiry is not looked at: this is for the
    /// publisher and the server, who renew it, never for a decision to install.
    ///
    /// # Errors
    /// [`TrustError::TooLarge`] or [`TrustError::Forged`].
    pub fn published(&self, targets_json: &str) -> Result<Published, TrustError> {
        within("targets.json", targets_json.len(), limits::METADATA_BYTES)?;
        Published::verify(self.set()?.root(), targets_json)
    }
    /// Takes note of a time in a document signed by the server, after its signature was verified.
    pub fn believe_time(&mut self, signed: UnixSeconds) {
        self.signed_time = self.signed_time.max(signed);
    }
    /// The time to decide by: this machine's clock, never before the last signed time (rule T6).
    #[must_use]
    pub fn time(&self, now: UnixSeconds) -> UnixSeconds {
        now.max(self.signed_time)
    }
    /// The same root and floors for a machine that now belongs to a server: it goes by the server's lists from now on, and
    /// one that was only ever seen in a package file must not make it refuse them (rule T9).
    #[must_use]
    pub fn for_server(&self) -> Self {
        let versions = Versions { root: self.versions.root, ..Versions::default() };
        Self { versions, ..self.clone() }
    }
    /// The highest versions seen.
    #[must_use]
    pub fn versions(&self) -> Versions {
        self.versions
    }
    /// The lowest sequence of a package that this machine takes.
    #[must_use]
    pub fn floor(&self, package: &str) -> u64 {
        self.floors.get(package).copied().unwrap_or(0)
    }
    /// The newest trusted root.json.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A verifier that trusts the kept root. It is made anew for every check, so that it has no floors of its own that
    /// could differ from ours.
    fn set(&self) -> Result<TrustedMetadataSet, TrustError> {
        let set = TrustedMetadataSet::from_root(self.root.as_bytes())
            .map_err(|error| TrustError::StoreDamaged(error.to_string()))?;
        if set.root().version != self.versions.root {
            return Err(TrustError::StoreDamaged("the root has another version than was noted".into()));
        }
        Ok(set)
    }
    fn with_roots(&self, roots: &[String]) -> Result<(TrustedMetadataSet, Self), TrustError> {
        within("the chain of roots", roots.len(), limits::ROOTS)?;
        let (mut set, mut store) = (self.set()?, self.clone());
        for text in roots {
            within("root.json", text.len(), limits::METADATA_BYTES)?;
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
            root::check_sound(set.root())?;
            store.begin_anew_after(&old, set.root());
            store.root.clone_from(text);
            store.versions.root = offered;
        }
        Ok((set, store))
    }
    /// Refuses a release below its package's floor, and learns the floor that it sets (rule T5). A release that brings
    /// back older content has a higher sequence, so there is no exception.
    pub(crate) fn take_floor(&mut self, manifest: &Manifest) -> Result<(), TrustError> {
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
    /// Takes note of a list's version, unless a newer one was seen.
    pub(crate) fn saw_targets(&mut self, version: u64) -> Result<(), TrustError> {
        if version < self.versions.targets {
            return Err(TrustError::RolledBack { role: "targets", seen: self.versions.targets, offered: version });
        }
        self.versions.targets = version;
        Ok(())
    }
    /// Whether the trusted root's time is not over.
    pub(crate) fn root_is_fresh(&self, now: UnixSeconds) -> Result<(), TrustError> {
        let checked = self.set()?.check_root_expired(timestamp(now));
        checked.map_err(|error| TrustError::from_library("root", error, now))
    }
    /// TUF 5.3.11, recovery from a fast-forward attack: versions that replaced keys reached do not bind the new ones.
    /// Package floors stay: they never fall.
    fn begin_anew_after(&mut self, old: &Root, new: &Root) {
        if root::was_rotated(old, new, "timestamp") || root::was_rotated(old, new, "snapshot") {
            (self.versions.timestamp, self.versions.snapshot) = (0, 0);
        }
        if root::was_rotated(old, new, "targets") {
            self.versions.targets = 0;
        }
    }
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), TrustError> {
    if found > limit { Err(TrustError::TooLarge { what, found, limit }) } else { Ok(()) }
}

/// For the library. A time beyond what it can say is after every expiry.
fn timestamp(now: UnixSeconds) -> jiff::Timestamp {
    i64::try_from(now.0).ok().and_then(|s| jiff::Timestamp::from_second(s).ok()).unwrap_or(jiff::Timestamp::MAX)
}
