//! Attack: a stolen server has all of the server's keys and signs anything, but has no publisher's key.

use crate::*;

#[test]
fn cannot_have_an_unpublished_release_installed() {
    let mut stage = Stage::new();
    let evil = manifest("tool", 6, 6);
    let text = serde_json::to_string(&evil).unwrap();
    stage.publishers.targets.insert(evil.target_name(), text.clone());
    stage.publishers.versions.targets += 1;
    // Targets signed with the server's own online key, under a valid snapshot and timestamp.
    let targets = stage.publishers.sign("snapshot", &stage.publishers.targets_body());
    let metadata = stage.publishers.metadata_with(targets);
    (stage.manifest, stage.release) = (evil, ReleaseProof { metadata, manifest: text });
    stage.assert_refused(stage.offer(&stage.order()), Reason::MetadataForged);
}

#[test]
fn cannot_swap_the_manifest_of_a_published_release() {
    let mut stage = Stage::new();
    let mut swapped = stage.manifest.clone();
    swapped.artifacts[0].install.probe =
        Some(banyan_proto::manifest::CommandSpec { argv: vec!["/bin/evil".into()], timeout_seconds: 1 });
    stage.release.manifest = serde_json::to_string(&swapped).unwrap();
    stage.manifest = swapped;
    stage.assert_refused(stage.offer(&stage.order()), Reason::NotPublished);
}
