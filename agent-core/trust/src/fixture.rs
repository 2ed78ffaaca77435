//! Signed test repositories. Tests hold every role's keys and can change every field, so that each test can build the
//! forgery it is named after. The module is behind the feature `fixture`; production code does not use it.

use crate::{
    Versions,
    release_list::{WITHDRAWN, sha256_hex},
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use banyan_proto::{
    Artifact, Digest, Manifest, SigningKey, UnixSeconds,
    format::Format as _,
    manifest::{ChunkHashes, InstallSpec, Kind},
    peer::{Metadata, ReleaseProof},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// A key pair of one role.
#[derive(Clone)]
pub struct TestKey(Arc<Ed25519KeyPair>);

impl TestKey {
    /// Generates a new key pair.
    ///
    /// # Panics
    /// When the system cannot provide random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let (_, pkcs8) = SigningKey::generate();
        Self(Arc::new(Ed25519KeyPair::from_pkcs8(&pkcs8).expect("a newly generated key must be valid")))
    }
    fn object(&self) -> Value {
        let public = data_encoding::HEXLOWER.encode(self.0.public_key().as_ref());
        json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } })
    }
    /// Returns the id under which roots list the key.
    #[must_use]
    pub fn id(&self) -> String {
        sha256_hex(self.object().to_string().as_bytes())
    }
}

/// The publishers and the server of one repository.
pub struct Signers {
    /// The keys of each role. The first `threshold` of them must sign.
    pub keys: BTreeMap<&'static str, Vec<TestKey>>,
    /// The number of signatures that each role requires.
    pub threshold: usize,
    /// The versions of the next metadata.
    pub versions: Versions,
    /// When each role expires.
    pub expires: BTreeMap<&'static str, UnixSeconds>,
    /// The manifest texts by target name.
    pub targets: BTreeMap<String, String>,
    /// The target names of withdrawn releases, with the version of the list that withdrew them.
    pub withdrawn: BTreeMap<String, u64>,
    /// All roots, first to newest.
    pub roots: Vec<String>,
}

impl Signers {
    /// Creates a repository with one key for each role, and root version 1. After `now`, root and targets are valid for
    /// a year, snapshot for a week and timestamp for a day.
    #[must_use]
    pub fn new(now: UnixSeconds) -> Self {
        let day = 24 * 3600;
        let roles = [("root", 365), ("targets", 365), ("snapshot", 7), ("timestamp", 1)];
        let mut signers = Self {
            keys: roles.iter().map(|(role, _)| (*role, vec![TestKey::generate()])).collect(),
            threshold: 1,
            versions: Versions { root: 1, ..Versions::default() },
            expires: roles.iter().map(|(role, days)| (*role, now.plus(days * day))).collect(),
            targets: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            roots: vec![],
        };
        signers.roots.push(signers.sign("root", &signers.root_body()));
        signers
    }
    /// Returns the hash of the first root, as in a join code.
    #[must_use]
    pub fn root_digest(&self) -> Digest {
        Digest::of(self.roots[0].as_bytes())
    }
    /// Builds the body of a root with the present keys.
    #[must_use]
    pub fn root_body(&self) -> Value {
        let keys: BTreeMap<String, Value> = self.keys.values().flatten().map(|key| (key.id(), key.object())).collect();
        let roles: BTreeMap<&str, Value> = self
            .keys
            .iter()
            .map(|(role, keys)| {
                let ids: Vec<String> = keys.iter().map(TestKey::id).collect();
                (*role, json!({ "keyids": ids, "threshold": self.threshold.min(ids.len()) }))
            })
            .collect();
        self.body("root", self.versions.root, &json!({ "consistent_snapshot": false, "keys": keys, "roles": roles }))
    }
    /// Adds the next root, with a new root key and after `change` to the other roles. The old root keys and the new one
    /// sign it.
    pub fn next_root(&mut self, change: impl FnOnce(&mut Self)) {
        let old = self.keys.insert("root", vec![TestKey::generate()]).unwrap_or_default();
        change(self);
        self.versions.root += 1;
        let body = self.root_body();
        let signers: Vec<&TestKey> = old.iter().chain(&self.keys["root"]).collect();
        self.roots.push(sign_with(&body, &signers));
    }
    /// Builds the body of a role's metadata.
    #[must_use]
    pub fn body(&self, role: &'static str, version: u64, more: &Value) -> Value {
        let seconds = i64::try_from(self.expires[role].0).unwrap_or(i64::MAX);
        let expires = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string();
        let mut body = json!({ "_type": role, "spec_version": "1.0.0", "version": version, "expires": expires });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        body
    }
    /// Signs a body with a role's keys.
    #[must_use]
    pub fn sign(&self, role: &str, body: &Value) -> String {
        sign_with(body, &self.keys[role].iter().collect::<Vec<_>>())
    }
    /// Publishes a manifest and raises every version except the root's.
    pub fn publish(&mut self, manifest: &Manifest) -> ReleaseProof {
        let text = json!(manifest).to_string();
        self.targets.insert(manifest.target_name(), text.clone());
        self.versions.targets += 1;
        self.versions.snapshot += 1;
        self.versions.timestamp += 1;
        ReleaseProof { metadata: self.metadata(), manifest: text }
    }
    /// Builds the targets body of the present state.
    #[must_use]
    pub fn targets_body(&self) -> Value {
        let pin = |text: &String| json!({ "length": text.len(), "hashes": { "sha256": sha256_hex(text.as_bytes()) } });
        let targets: BTreeMap<&String, Value> = self.targets.iter().map(|(name, text)| (name, pin(text))).collect();
        let mut more = json!({ "targets": targets });
        if !self.withdrawn.is_empty() {
            more[WITHDRAWN] = json!(self.withdrawn);
        }
        self.body("targets", self.versions.targets, &more)
    }
    /// Returns the present state as signed metadata.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        self.metadata_with(self.sign("targets", &self.targets_body()))
    }
    /// Signs a valid snapshot and timestamp over any targets.json, as an attacker with all of the server's keys could.
    #[must_use]
    pub fn metadata_with(&self, targets: String) -> Metadata {
        let pin = |text: &str, version| json!({ "version": version, "length": text.len(), "hashes": { "sha256": sha256_hex(text.as_bytes()) } });
        let version = self.versions.snapshot;
        let meta = json!({ "meta": { "targets.json": pin(&targets, self.versions.targets) } });
        let snapshot = self.sign("snapshot", &self.body("snapshot", version, &meta));
        let meta = json!({ "meta": { "snapshot.json": pin(&snapshot, version) } });
        let timestamp = self.sign("timestamp", &self.body("timestamp", self.versions.timestamp, &meta));
        Metadata { roots: self.roots.clone(), timestamp, snapshot, targets }
    }
}

/// Builds a manifest with one file of one chunk for any platform.
#[must_use]
pub fn manifest(package: &str, sequence: u64, min_sequence: u64) -> Manifest {
    let content = format!("{package} {sequence}");
    let digest = Digest::of(content.as_bytes());
    let artifact = Artifact {
        must_understand: vec![],
        platform: "any".into(),
        file_name: "content.tar".into(),
        size: content.len() as u64,
        digest,
        chunk_size: Artifact::chunk_size_for(content.len() as u64),
        chunks: ChunkHashes(vec![digest]),
        install: InstallSpec::new(Kind::Archive),
    };
    Manifest {
        format: Manifest::FORMAT,
        must_understand: vec![],
        title: String::new(),
        package: package.into(),
        version: format!("1.{sequence}"),
        sequence,
        min_sequence,
        rollback_to: None,
        publisher: String::new(),
        notes: String::new(),
        artifacts: vec![artifact],
    }
}

/// Signs a body with these keys, whether or not a root authorises them.
///
/// # Panics
/// For a body that contains fractions, which TUF forbids.
#[must_use]
pub fn sign_with(body: &Value, keys: &[&TestKey]) -> String {
    let signed = sigstore_tuf::canonical_json::to_canonical_bytes(body).expect("the body contains only whole numbers");
    let signature = |key: &&TestKey| json!({ "keyid": key.id(), "sig": data_encoding::HEXLOWER.encode(key.0.sign(&signed).as_ref()) });
    let signatures: Vec<Value> = keys.iter().map(signature).collect();
    json!({ "signed": body, "signatures": signatures }).to_string()
}
