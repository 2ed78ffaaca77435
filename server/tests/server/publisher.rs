//! A test publisher with one root key and one targets key.

use banyan_proto::{
    Artifact, Digest, Manifest, SigningKey, UnixSeconds,
    format::Format as _,
    manifest::{ChunkHashes, InstallSpec, Kind},
};
use banyan_tuf_signing as signing;
use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU64,
};
use tough::{
    TargetName,
    schema::{Hashes, RoleKeys, RoleType, Root, Target, Targets, key::Key},
    sign::Sign as _,
};

const YEAR: u64 = 365 * 24 * 3600;

fn pair() -> signing::Ed25519KeyPair {
    signing::Ed25519KeyPair::from_pkcs8(&SigningKey::generate().1).unwrap()
}

pub(crate) struct Publisher {
    targets_key: signing::Ed25519KeyPair,
    root: Root,
    pub(crate) root_text: String,
    manifests: BTreeMap<String, String>,
    version: u64,
}

impl Publisher {
    /// Creates a publisher whose root assigns the online roles to these keys.
    pub(crate) fn new(online: &[serde_json::Value]) -> Self {
        let (root_key, targets_key) = (pair(), pair());
        let online: Vec<Key> = online.iter().map(|key| serde_json::from_value(key.clone()).unwrap()).collect();
        let mut root = Root {
            spec_version: signing::SPEC.into(),
            consistent_snapshot: false,
            version: NonZeroU64::MIN,
            expires: signing::time(UnixSeconds::now().plus(YEAR)).unwrap(),
            keys: HashMap::new(),
            roles: HashMap::new(),
            _extra: HashMap::new(),
        };
        for (role, key) in [
            (RoleType::Root, root_key.tuf_key()),
            (RoleType::Targets, targets_key.tuf_key()),
            (RoleType::Snapshot, online[0].clone()),
            (RoleType::Timestamp, online[1].clone()),
        ] {
            let id = key.key_id().unwrap();
            root.keys.insert(id.clone(), key);
            root.roles.insert(role, RoleKeys { keyids: vec![id], threshold: NonZeroU64::MIN, _extra: HashMap::new() });
        }
        let root_text = signing::sign(&root, root.clone(), &[&root_key]).unwrap();
        Self { targets_key, root, root_text, manifests: BTreeMap::new(), version: 0 }
    }
    /// Signs the next targets.json with this manifest added. Returns it and the manifest's text.
    pub(crate) fn release(&mut self, manifest: &Manifest) -> (String, String) {
        let text = serde_json::to_string(manifest).unwrap();
        self.manifests.insert(manifest.target_name(), text.clone());
        self.version += 1;
        let version = NonZeroU64::new(self.version).unwrap();
        let expires = signing::time(UnixSeconds::now().plus(YEAR)).unwrap();
        let mut targets = Targets::new(signing::SPEC.into(), version, expires);
        targets.delegations = None;
        for (name, text) in &self.manifests {
            let hashes = Hashes { sha256: signing::sha256(text.as_bytes()).into(), _extra: HashMap::new() };
            let target = Target { length: text.len() as u64, hashes, custom: HashMap::new(), _extra: HashMap::new() };
            targets.add_target(TargetName::new(name.as_str()).unwrap(), target);
        }
        (signing::sign(&self.root, targets, &[&self.targets_key]).unwrap(), text)
    }
}

/// Returns a release with one file per platform.
pub(crate) fn manifest(package: &str, sequence: u64, files: &[(&str, &[u8])]) -> Manifest {
    let artifact = |(platform, bytes): &(&str, &[u8])| {
        let chunk_size = Artifact::chunk_size_for(bytes.len() as u64);
        Artifact {
            must_understand: vec![],
            platform: (*platform).to_owned(),
            file_name: "content.tar".into(),
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            chunk_size,
            chunks: ChunkHashes(bytes.chunks(chunk_size as usize).map(Digest::of).collect()),
            install: InstallSpec::new(Kind::Archive),
        }
    };
    Manifest {
        format: Manifest::FORMAT,
        must_understand: vec![],
        title: String::new(),
        package: package.into(),
        version: format!("1.{sequence}"),
        sequence,
        min_sequence: 0,
        rollback_to: None,
        publisher: "tests".into(),
        notes: String::new(),
        artifacts: files.iter().map(artifact).collect(),
    }
}
