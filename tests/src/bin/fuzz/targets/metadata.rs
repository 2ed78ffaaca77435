//! Fuzz target: TUF metadata as an offer carries it. After any change, only what the publishers signed may be trusted
//! (rules T1–T6).

use super::{Check, ensure};
use crate::corpus::{self, Seed};
use banyan_proto::{Digest, UnixSeconds, peer::ReleaseProof};
use banyan_trust::TrustStore;
use serde_json::Value;

/// The time of the corpus; its timestamp is valid for one day from then on.
const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// A machine that knows the first root, and the one published release.
struct Truth {
    store: TrustStore,
    proof: ReleaseProof,
    wanted: Digest,
    /// The signed part of every valid root.
    roots: Vec<Value>,
    targets: Value,
}

/// Reads the valid release.
pub(super) fn prepare(seeds: &[Seed]) -> Result<Check, String> {
    let proof: ReleaseProof = corpus::json(seeds, "release.json")?;
    let first = proof.metadata.roots.first().ok_or("release.json has no root")?;
    let store = TrustStore::enrol(first, Digest::of(first.as_bytes())).map_err(|error| error.to_string())?;
    let wanted = Digest::of(proof.manifest.as_bytes());
    let roots: Vec<Value> = proof.metadata.roots.iter().map(|root| signed_part(root)).collect();
    let targets = signed_part(&proof.metadata.targets);
    store.check(&proof, wanted, NOW).map_err(|error| format!("release.json is not trusted: {error}"))?;
    let truth = Truth { store, proof, wanted, roots, targets };
    Ok(Box::new(move |input| Ok(truth.proof(input)? | truth.file(input)?)))
}

/// Returns the part that the signatures cover. Whitespace and additional signatures may change in transit.
fn signed_part(text: &str) -> Value {
    serde_json::from_str::<Value>(text).map_or(Value::Null, |mut file| file["signed"].take())
}

impl Truth {
    fn proof(&self, input: &[u8]) -> Result<bool, String> {
        let Some(proof) = super::json::<ReleaseProof>(input)? else { return Ok(false) };
        if let Ok((release, store)) = self.store.check(&proof, self.wanted, NOW) {
            let (found, truth) = (&proof.metadata, &self.proof.metadata);
            ensure(proof.manifest == self.proof.manifest, "a different manifest is trusted")?;
            ensure(release.manifest_digest() == self.wanted, "a manifest other than the order's is trusted")?;
            // The timestamp pins the snapshot's hash, and the snapshot pins the targets'.
            ensure(found.targets == truth.targets && found.snapshot == truth.snapshot, "changed metadata is trusted")?;
            ensure(signed_part(&found.timestamp) == signed_part(&truth.timestamp), "a forged timestamp is trusted")?;
            self.kept(&store)?;
        }
        // A release other than the order's may be trusted, but never an unpublished one.
        let own = Digest::of(proof.manifest.as_bytes());
        if own != self.wanted && self.store.check(&proof, own, NOW).is_ok() {
            return Err("a release that was never published is trusted".into());
        }
        Ok(true)
    }
    /// Parses a single file as a first root, a next root, and a list of targets.
    fn file(&self, input: &[u8]) -> Result<bool, String> {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let enrolled = TrustStore::enrol(text, Digest::of(input));
        if let Ok(store) = &enrolled {
            self.kept(store)?;
        }
        if let Ok(store) = self.store.update_roots(&[text.to_owned()]) {
            self.kept(&store)?;
        }
        let published = self.store.published(text).is_ok();
        ensure(!published || signed_part(text) == self.targets, "a forged list of targets is trusted")?;
        Ok(enrolled.is_ok() | published)
    }
    /// Verifies that a machine stores a valid root and restores it from its database unchanged.
    fn kept(&self, store: &TrustStore) -> Result<(), String> {
        ensure(self.roots.contains(&signed_part(store.root())), "a forged root is trusted")?;
        let text = serde_json::to_vec(store).map_err(|error| error.to_string())?;
        let again: TrustStore = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        ensure(again == *store, "the stored state differs from the verified one")
    }
}
