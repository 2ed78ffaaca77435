//! Attack: an order that the server did not sign.

use crate::*;

#[test]
fn is_refused() {
    let stage = Stage::new();
    let order = stage.order();
    let (thief, _) = SigningKey::generate();
    stage.assert_refused(stage.signed_offer(thief.sign(&order)), Reason::OrderForged);
    // The server's own signature on a different text.
    let mut envelope = serde_json::to_value(stage.server_key.sign(&order)).unwrap();
    envelope["payload"] = serde_json::to_string(&Order { sequence: 6, ..order.clone() }).unwrap().into();
    stage.assert_refused(stage.signed_offer(serde_json::from_value(envelope).unwrap()), Reason::OrderForged);
    // Signed by this server, but in another server's name.
    let other = Order { server: MachineId([9; 16]), ..order };
    stage.assert_refused(stage.offer(&other), Reason::OrderForged);
}
