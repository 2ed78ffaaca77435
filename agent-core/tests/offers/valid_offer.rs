//! The control for all attacks: the unmodified offer is accepted, survives a restart, and is idempotent.

use crate::*;

#[test]
fn a_missing_content_folder_is_named() {
    let mut stage = Stage::new();
    stage.stage.folder = stage.folder.path().join("content");
    let error = stage.check(stage.offer(&stage.order())).err().expect("the offer was accepted");
    assert_eq!(error.reason(), Reason::PlaceMissing);
    assert!(error.to_string().contains(&stage.stage.folder.display().to_string()), "{error}");
}
use banyan_proto::AddressHint;
use banyan_swarm::StripeId;

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

/// Otherwise every machine would go to the server, when all restart.
#[test]
fn the_addresses_of_ancestors_and_children_survive_a_restart() {
    let mut stage = Stage::new();
    let (order, now) = (stage.order(), UnixSeconds::now());
    let mut offer = stage.offer(&order);
    let (sublist, proof) = (offer.sublist.clone(), offer.proof.clone());
    let (_, part, step) = sublist.hand_on(STRIPE).into_iter().next().unwrap();
    let addresses = vec!["10.0.0.1:7".parse().unwrap()];
    let hint = |machine| AddressHint { machine, addresses: addresses.clone(), issued: now, sequence: 0 };
    offer.hints = [part.head(), stage.machines[1]].map(|machine| stage.server_key.sign(&hint(machine))).to_vec();
    let hints = offer.hints.clone();
    stage.check(offer).unwrap();
    let records = stage.stage.database.load_orders().unwrap();
    stage.stage.orders = Arc::new(ActiveOrders::new(Arc::clone(&stage.stage.identity)));
    stage.stage.restore(&records[0], now).unwrap();
    let stripe = StripeId { order: order.id, stripe: STRIPE };
    let forwarded = stage.stage.orders.make_offer(stripe, &part, &proof.then(step)).unwrap();
    assert_eq!(forwarded.hints, hints);
}

#[test]
fn supersedes_an_older_order_of_the_package() {
    let stage = Stage::new();
    let older = stage.order();
    stage.check(stage.offer(&older)).unwrap();
    let newer = Order { number: older.number + 1, ..stage.order() };
    assert_eq!(stage.check(stage.offer(&newer)).unwrap().superseded, [older.id]);
}
