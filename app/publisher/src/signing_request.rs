//! Signing requests: a root, a list of releases, or both, with the signatures made so far.
//!
//! Everything the publisher signs goes through a signing request, even if one folder has all the keys. If several
//! people sign on several computers, the request is a file that they give to each other. It contains everything needed
//! to review it: the previous roots, the previous list and the manifest. None of this is trusted: each signer checks it
//! against the root in their own key folder, and sees the changes derived from there.

use crate::{
    PublisherError, ReleaseList,
    keys::{self, Role},
    private_files,
    release_list::UnsignedList,
    roots::{RoleKeyIds, keys_of_role},
    verified_state::{self, VerifiedState},
};
use banyan_proto::{Digest, Manifest};
use banyan_trust::TrustStore;
use banyan_tuf_signing::{self as signing, Ed25519KeyPair};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tough::schema::{Root, Targets};

/// Maximum size of a request file (bytes): a list, its predecessor, a manifest, and many roots.
const MAX_REQUEST_BYTES: u64 = 128 << 20;

/// A signing request, as stored in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningRequest {
    /// Version of this format; 1.
    pub signing_request: u32,
    /// All roots so far; empty if the request is about the first one.
    pub roots: Vec<String>,
    /// The current list of releases.
    pub list: Option<String>,
    /// The next root.
    pub root: Option<String>,
    /// The next list of releases.
    pub targets: Option<String>,
    /// The manifest that the next list adds.
    pub manifest: Option<String>,
}

/// The state of the signatures on one document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentSignatures {
    /// The document, and whose keys must sign it.
    pub what: &'static str,
    /// Ids of keys that have signed.
    pub signed: Vec<String>,
    /// Ids of keys that may sign and have not.
    pub may_sign: Vec<String>,
    /// How many signatures are needed.
    pub wanted: u64,
}

impl DocumentSignatures {
    fn is_complete(&self) -> bool {
        self.signed.len() as u64 >= self.wanted
    }
}

/// A request that was verified against the root in a signer's folder.
pub struct RequestReview {
    /// The current root; `None` if the request is about the first one.
    pub current_root: Option<Root>,
    /// The next root.
    pub next_root: Option<Root>,
    /// The current list.
    pub current_list: ReleaseList,
    /// The next list.
    pub next_list: Option<ReleaseList>,
    /// The manifest that the next list adds.
    pub manifest: Option<Manifest>,
}

impl SigningRequest {
    /// Creates a request about the first root.
    ///
    /// # Errors
    /// Returns an error when the root cannot be serialised.
    pub fn for_first_root(root: Root) -> Result<Self, PublisherError> {
        let root = Some(signing::unsigned(root)?);
        Ok(Self { signing_request: 1, roots: vec![], list: None, root, targets: None, manifest: None })
    }
    /// Creates a request about a first root that already has signatures.
    pub fn for_signed_first_root(root: String) -> Self {
        Self { signing_request: 1, roots: vec![], list: None, root: Some(root), targets: None, manifest: None }
    }
    /// Creates a request about the next root, the next list, or both.
    ///
    /// # Errors
    /// Returns an error when the root cannot be serialised.
    pub fn for_changes(
        state: &VerifiedState,
        root: Option<Root>,
        list: Option<UnsignedList>,
    ) -> Result<Self, PublisherError> {
        let (targets, manifest) = list.map_or((None, None), |next| (Some(next.targets), next.manifest));
        Ok(Self {
            signing_request: 1,
            roots: state.roots.clone(),
            list: state.list.clone(),
            root: root.map(signing::unsigned).transpose()?,
            targets,
            manifest,
        })
    }
    /// Reads a request file.
    ///
    /// # Errors
    /// Returns an error when the file is not a signing request.
    pub fn read(path: &Path) -> Result<Self, PublisherError> {
        let wrong = |why: String| PublisherError::InvalidRequest { path: path.to_owned(), why };
        let size = std::fs::metadata(path).map_err(private_files::disk_error("read", path))?.len();
        if size > MAX_REQUEST_BYTES {
            return Err(wrong(format!("{size} bytes is too large")));
        }
        let text = std::fs::read(path).map_err(private_files::disk_error("read", path))?;
        let request: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        match request.signing_request {
            1 => Ok(request),
            other => Err(wrong(format!("format {other} needs a newer version of Banyan"))),
        }
    }
    /// Writes the request file.
    ///
    /// # Errors
    /// Returns an error when the disk fails.
    pub fn write(&self, path: &Path) -> Result<(), PublisherError> {
        let text = serde_json::to_vec(self).map_err(|error| PublisherError::Unwritable(error.to_string()))?;
        private_files::write_atomically(path, &text)
    }
    /// Returns a name for the file.
    pub fn file_name(&self) -> String {
        let version = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok()?["signed"]["version"].as_u64();
        let number = |text: &Option<String>| text.as_deref().and_then(version);
        match (number(&self.root), number(&self.targets)) {
            (Some(root), _) => format!("root-{root}.tosign"),
            (None, list) => format!("releases-{}.tosign", list.unwrap_or(0)),
        }
    }
    /// Signs with every suitable key in these folders. Returns the number of signatures made.
    ///
    /// # Errors
    /// Returns an error when a folder or a key cannot be read.
    pub fn sign(&mut self, folders: &[PathBuf]) -> Result<usize, PublisherError> {
        let load = |role| -> Result<Vec<Ed25519KeyPair>, PublisherError> {
            let mut pairs = vec![];
            for folder in folders {
                pairs.extend(keys::load_keys(role, folder)?.into_iter().map(|file| file.pair));
            }
            Ok(pairs)
        };
        let mut made = 0;
        if let Some(text) = &self.root {
            let pairs = load(Role::Root)?;
            let mut roots = vec![signing::parse_root(text)?];
            roots.extend(self.roots.last().map(|root| signing::parse_root(root)).transpose()?);
            let roots: Vec<&Root> = roots.iter().collect();
            let (text, more) = signing::add::<Root>(text, &roots, &pairs.iter().collect::<Vec<_>>())?;
            self.root = Some(text);
            made += more;
        }
        if let (Some(text), Some(root)) = (&self.targets, self.signing_root()) {
            let (pairs, root) = (load(Role::Targets)?, signing::parse_root(root)?);
            let (text, more) = signing::add::<Targets>(text, &[&root], &pairs.iter().collect::<Vec<_>>())?;
            self.targets = Some(text);
            made += more;
        }
        Ok(made)
    }
    /// Returns the root whose targets keys sign the next list.
    fn signing_root(&self) -> Option<&String> {
        self.root.as_ref().or(self.roots.last())
    }
    /// Returns what still needs signatures, and by which keys; empty when the request is complete.
    ///
    /// # Errors
    /// Returns an error when a document in it is malformed.
    pub fn missing_signatures(&self) -> Result<Vec<DocumentSignatures>, PublisherError> {
        Ok(self.signatures()?.into_iter().filter(|missing| !missing.is_complete()).collect())
    }
    /// Returns the signatures of every document.
    ///
    /// # Errors
    /// Returns an error when a document in it is malformed.
    pub fn signatures(&self) -> Result<Vec<DocumentSignatures>, PublisherError> {
        let of = |what, root: &str, role: Role, text: &str| -> Result<DocumentSignatures, PublisherError> {
            let RoleKeyIds { ids, threshold: wanted } = keys_of_role(&signing::parse_root(root)?, role.role_type());
            let signed = banyan_trust::valid_signers(root, role.name(), text).map_err(PublisherError::Untrusted)?;
            let may_sign = ids.into_iter().filter(|id| !signed.contains(id)).collect();
            Ok(DocumentSignatures { what, signed, may_sign, wanted })
        };
        let mut found = vec![];
        if let Some(text) = &self.root {
            if let Some(current_root) = self.roots.last() {
                found.push(of("the new root, by keys of the current one", current_root, Role::Root, text)?);
            }
            found.push(of("the new root, by its own keys", text, Role::Root, text)?);
        }
        if let (Some(text), Some(root)) = (&self.targets, self.signing_root()) {
            found.push(of("the list of releases", root, Role::Targets, text)?);
        }
        Ok(found)
    }
    /// Verifies the request against the root in a folder. Signatures need not be complete. A first root has nothing to
    /// be verified against.
    ///
    /// # Errors
    /// Returns an error when the request does not follow from what the folder trusts, or contradicts itself.
    pub fn review(&self, folder: &Path) -> Result<RequestReview, PublisherError> {
        let inconsistent = |why: &str| PublisherError::InconsistentRequest(why.to_owned());
        let root = self.root.as_deref().map(signing::parse_root).transpose()?;
        let current = match (self.roots.first(), verified_state::read_first_root(folder)?) {
            (None, None) => None,
            (None, Some(first)) if self.root.as_ref() == Some(&first) => None,
            (None, Some(_)) => return Err(inconsistent("it is about a first root, but this folder already has one")),
            (Some(_), None) => return Err(PublisherError::NoRoot(folder.to_owned())),
            (Some(_), Some(first)) => {
                let root = self.roots.last().cloned().unwrap_or_default();
                let claimed = banyan_proto::admin::CurrentTargets {
                    root,
                    targets: self.list.clone(),
                    roots: self.roots.iter().filter(|root| **root != first).cloned().collect(),
                };
                Some(verified_state::verify_state(folder, &claimed)?)
            }
        };
        let follows =
            |root: &Root| current.as_ref().is_none_or(|state| root.version.get() == state.root.version.get() + 1);
        if root.as_ref().is_some_and(|root| !follows(root)) {
            return Err(inconsistent("its root does not follow the current one"));
        }
        let list = current.as_ref().map(|state| state.published.clone()).unwrap_or_default();
        let targets = self.targets.as_deref().map(parse_unverified).transpose()?;
        if targets.as_ref().is_some_and(|next| next.version <= list.version) {
            return Err(inconsistent("its list does not follow the current one"));
        }
        let manifest = self.manifest.as_deref().map(|text| Manifest::parse(text.as_bytes())).transpose()?;
        let lists = |(text, manifest): (&String, &Manifest)| {
            targets.as_ref().is_some_and(|next| next.lists(&manifest.target_name(), text))
        };
        if self.manifest.as_ref().zip(manifest.as_ref()).is_some_and(|both| !lists(both)) {
            return Err(inconsistent("its list does not contain its manifest"));
        }
        if let Some(next) = &targets {
            let named = manifest.as_ref().map(Manifest::target_name);
            let unexplained =
                |name: &&String| list.targets.get(*name) != next.targets.get(*name) && named.as_ref() != Some(name);
            if let Some(name) = next.targets.keys().find(unexplained) {
                return Err(inconsistent(&format!("its list adds or changes {name} without a manifest for it")));
            }
        }
        Ok(RequestReview {
            current_root: current.map(|state| state.root),
            next_root: root,
            current_list: list,
            next_list: targets,
            manifest,
        })
    }
    /// Checks with the machines' own verification code that they would accept this, before anyone else receives it.
    ///
    /// # Errors
    /// Returns an error when machines would not accept it.
    pub fn verify_as_machine(&self) -> Result<(), PublisherError> {
        let chain: Vec<String> = self.roots.iter().chain(&self.root).cloned().collect();
        let Some(first) = chain.first() else {
            return Err(PublisherError::InconsistentRequest("it contains no root".into()));
        };
        let trust: TrustStore = verified_state::follow_roots(first, &chain)?;
        self.targets
            .as_deref()
            .map_or(Ok(()), |list| trust.published(list).map(drop))
            .map_err(PublisherError::Untrusted)
    }
    /// Records the accepted request in the folders, and moves keys that the new root no longer names into `old/`.
    /// Returns the moved key files.
    ///
    /// # Errors
    /// Returns an error when the disk fails.
    pub fn record_accepted(&self, folders: &[PathBuf]) -> Result<Vec<PathBuf>, PublisherError> {
        let roots: Vec<String> = self.roots.iter().chain(&self.root).cloned().collect();
        let mut retired = vec![];
        for folder in folders {
            verified_state::record_state(folder, &roots, self.targets.as_deref())?;
            let (Some(current_root), Some(next_root)) = (self.roots.last(), &self.root) else { continue };
            let (current_root, next_root) = (signing::parse_root(current_root)?, signing::parse_root(next_root)?);
            for role in [Role::Root, Role::Targets] {
                for file in keys::load_keys(role, folder)? {
                    let id = file.id()?;
                    let names = |root: &Root| keys_of_role(root, role.role_type()).ids.contains(&id);
                    if names(&current_root) && !names(&next_root) {
                        keys::retire_key(&file.path)?;
                        retired.push(file.path);
                    }
                }
            }
        }
        Ok(retired)
    }
    /// Returns the hash of the first root, for the profile and the join codes. `None` if the request is not about it.
    pub fn first_root_digest(&self) -> Option<Digest> {
        self.root.as_ref().filter(|_| self.roots.is_empty()).map(|root| Digest::of(root.as_bytes()))
    }
}

/// Parses a list whose signatures may be incomplete. Only for display and comparison.
fn parse_unverified(text: &str) -> Result<ReleaseList, PublisherError> {
    let wrong =
        |error: serde_json::Error| PublisherError::InconsistentRequest(format!("its list cannot be read: {error}"));
    let list: tough::schema::Signed<Targets> = serde_json::from_str(text).map_err(wrong)?;
    let withdrawn = list.signed._extra.get(banyan_trust::WITHDRAWN).cloned().unwrap_or(serde_json::json!({}));
    let target = |(name, target): (&tough::TargetName, &tough::schema::Target)| {
        let sha256 = data_encoding::HEXLOWER.encode(&target.hashes.sha256);
        (name.raw().to_owned(), banyan_trust::Target { length: target.length, sha256 })
    };
    Ok(ReleaseList {
        version: list.signed.version.get(),
        expires: banyan_proto::UnixSeconds(u64::try_from(list.signed.expires.as_second()).unwrap_or(0)),
        targets: list.signed.targets.iter().map(target).collect(),
        withdrawn: serde_json::from_value(withdrawn).map_err(wrong)?,
    })
}
