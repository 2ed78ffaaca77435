//! Attack: a genuine release that the publisher has since ruled out with a higher minimum sequence.

use crate::*;

#[test]
fn is_refused_even_when_everything_about_it_is_signed() {
    let mut stage = Stage::new();
    stage.check(stage.offer(&stage.order())).unwrap();
    let old = manifest("tool", 4, 1);
    stage.release = stage.publishers.publish(&old);
    stage.manifest = old;
    let order = Order { number: 11, ..stage.order() };
    stage.assert_refused(stage.offer(&order), Reason::BelowFloor);
}

#[test]
fn older_metadata_is_refused_after_newer() {
    let mut stage = Stage::new();
    let older = stage.release.clone();
    stage.release = stage.publishers.publish(&manifest("other", 1, 1));
    stage.manifest = manifest("other", 1, 1);
    stage.check(stage.offer(&stage.order())).unwrap();
    // The cache of newer metadata is gone, but the minimum sequences in the database remain.
    stage.stage.database.store_metadata(&older.metadata).unwrap();
    (stage.manifest, stage.release) = (manifest("tool", 5, 5), older);
    let order = Order { number: 12, ..stage.order() };
    stage.assert_refused(stage.offer(&order), Reason::MetadataRolledBack);
}
