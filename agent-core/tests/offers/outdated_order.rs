//! Attack: outdated orders. They have expired, are older than a stored order, or date from before the server was
//! restored.

use crate::*;

#[test]
fn an_expired_order_is_refused() {
    let stage = Stage::new();
    let expired = Order { expires: UnixSeconds(UnixSeconds::now().0 - 1), ..stage.order() };
    stage.assert_refused(stage.offer(&expired), Reason::OrderExpired);
}

#[test]
fn a_clock_set_back_does_not_bring_an_expired_order_back() {
    let stage = Stage::new();
    stage.check(stage.offer(&stage.order())).unwrap();
    // The latest signed time is remembered: whatever had expired by then stays expired.
    let now = UnixSeconds::now();
    let expired = Order { number: 11, expires: UnixSeconds(now.0 - 10), ..stage.order() };
    let long_ago = UnixSeconds(now.0 - 1_000_000);
    let Err(error) = stage.stage.check(stage.machines[1], stage.offer(&expired), long_ago) else { panic!("accepted") };
    assert_eq!(error.reason(), Reason::OrderExpired);
}

#[test]
fn an_older_order_of_the_package_is_refused() {
    let stage = Stage::new();
    stage.check(stage.offer(&stage.order())).unwrap();
    let older = Order { number: 9, ..stage.order() };
    let Err(error) = stage.check(stage.offer(&older)) else { panic!("accepted") };
    assert_eq!(error.reason(), Reason::OrderSuperseded);
}

#[test]
fn an_order_of_a_lower_epoch_is_refused() {
    let stage = Stage::new();
    let before = Order { epoch: 2, ..stage.order() };
    stage.assert_refused(stage.offer(&before), Reason::EpochBack);
}

#[test]
fn the_epoch_of_an_order_is_learnt_and_survives_a_restart() {
    let stage = Stage::new();
    let restored = Order { epoch: 4, ..stage.order() };
    stage.check(stage.offer(&restored)).unwrap();
    let before = stage.order();
    assert_eq!(refusal(&stage, &before), Some(Reason::EpochBack));
    // The epoch in the database outlives a restart, although the enrolment still says 3.
    let epoch = Epoch::open(Arc::clone(&stage.stage.database), 3).unwrap();
    assert_eq!(epoch.highest(), 4);
    let before_restart = &stage.stage.identity;
    let identity = Arc::new(Identity {
        machine: before_restart.machine,
        server: before_restart.server,
        server_addresses: before_restart.server_addresses.clone(),
        keys: before_restart.keys.clone(),
        epoch,
        stops: Stops::open(Arc::clone(&stage.stage.database), before_restart.server, before_restart.keys.clone())
            .unwrap(),
    });
    let stage = Stage { stage: OfferStage { identity, ..stage.stage }, ..stage };
    assert_eq!(refusal(&stage, &before), Some(Reason::EpochBack));
}

fn refusal(stage: &Stage, order: &Order) -> Option<Reason> {
    stage.check(stage.offer(order)).err().map(|error| error.reason())
}

#[test]
fn an_order_signed_with_another_key_raises_no_epoch() {
    let stage = Stage::new();
    let (stranger, _) = SigningKey::generate();
    let forged = stranger.sign(&Order { epoch: 9, ..stage.order() });
    stage.assert_refused(stage.signed_offer(forged), Reason::OrderForged);
    stage.check(stage.offer(&stage.order())).unwrap();
}

#[test]
fn a_restored_server_counts_its_orders_from_where_the_backup_stood() {
    let stage = Stage::new();
    let lost = stage.order();
    stage.check(stage.offer(&lost)).unwrap();
    let restored = Order { epoch: 4, number: 2, ..stage.order() };
    let accepted = stage.check(stage.offer(&restored)).unwrap();
    assert_eq!(accepted.superseded, [lost.id]);
}
