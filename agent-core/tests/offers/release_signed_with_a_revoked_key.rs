//! Attack: a targets key was stolen and revoked. The thief also has the server with all its keys, and shows the old
//! root.

use crate::*;
use banyan_trust::fixture::TestKey;

#[test]
fn is_refused_by_a_machine_that_knows_the_new_root() {
    let mut stage = Stage::new();
    let evil = manifest("tool", 6, 5);
    // The thief's metadata, from the state before the key was revoked.
    let mut thief = copy(&stage.publishers);
    let forged = thief.publish(&evil);
    stage.publishers.next_root(|signers| {
        signers.keys.insert("targets", vec![TestKey::generate()]);
    });
    let mut trust = stage.stage.trust.lock();
    let learnt = trust.update_roots(&stage.publishers.roots).unwrap();
    trust.learn(learnt).unwrap();
    drop(trust);
    (stage.manifest, stage.release) = (evil, forged);
    stage.assert_refused(stage.offer(&stage.order()), Reason::MetadataForged);
    // Adding the chain up to the new root does not help.
    stage.release.metadata.roots.clone_from(&stage.publishers.roots);
    stage.assert_refused(stage.offer(&stage.order()), Reason::MetadataForged);
}

fn copy(signers: &Signers) -> Signers {
    Signers {
        keys: signers.keys.clone(),
        threshold: signers.threshold,
        versions: signers.versions,
        expires: signers.expires.clone(),
        targets: signers.targets.clone(),
        withdrawn: signers.withdrawn.clone(),
        roots: signers.roots.clone(),
    }
}
