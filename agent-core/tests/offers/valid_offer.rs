//! The control for all attacks: the unmodified offer is accepted, survives a restart, and is idempotent.

use crate::*;

#[test]
fn is_accepted_and_survives_a_restart() {
    let stage = Stage::new();
    let order = stage.order();
    let offer = stage.offer(&order);
    let accepted = stage.check(offer.clone()).unwrap();
    assert_eq!(accepted.trusted.stripe.order, order.id);
    assert_eq!(accepted.trusted.sublist.head(), stage.machines[ME]);
    assert!(accepted.superseded.is_empty());
    stage.check(offer).unwrap();
    let records = stage.stage.database.load_orders().unwrap();
    assert_eq!(records.len(), 1);
    stage.stage.restore(&records[0], UnixSeconds::now()).unwrap();
}

#[test]
fn supersedes_an_older_order_of_the_package() {
    let stage = Stage::new();
    let older = stage.order();
    stage.check(stage.offer(&older)).unwrap();
    let newer = Order { number: older.number + 1, ..stage.order() };
    assert_eq!(stage.check(stage.offer(&newer)).unwrap().superseded, [older.id]);
}
