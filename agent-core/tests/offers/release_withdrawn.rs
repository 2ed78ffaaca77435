//! A withdrawn release: the sender does not know about the withdrawal, this machine does.

use crate::*;

#[test]
fn is_refused_even_if_the_sender_does_not_know_of_it() {
    let mut stage = Stage::new();
    let before = stage.release.clone();
    stage.publishers.targets.clear();
    stage.publishers.withdrawn.insert("tool/5.json".into(), 2);
    let news = stage.publishers.publish(&manifest("other", 1, 1));
    // Metadata with the withdrawal, together with the release itself.
    stage.release.metadata = news.metadata.clone();
    stage.assert_refused(stage.offer(&stage.order()), Reason::Withdrawn);
    // Old metadata sent to a machine that has the new.
    let mut trust = stage.stage.trust.lock();
    let (_, learnt) = trust.refresh(&news.metadata, UnixSeconds::now()).unwrap();
    trust.learn(learnt).unwrap();
    drop(trust);
    stage.stage.database.store_metadata(&news.metadata).unwrap();
    stage.release = before;
    stage.assert_refused(stage.offer(&stage.order()), Reason::Withdrawn);
}
