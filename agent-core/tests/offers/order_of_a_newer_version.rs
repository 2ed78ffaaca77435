//! An order that requires something this version does not understand, such as to uninstall, is refused by name. It is
//! never carried out as something else.

use crate::*;
use banyan_proto::{Format, signed::Document};
use serde::{Deserialize, Serialize};

/// An order as a newer server may sign it.
#[derive(Clone, Serialize, Deserialize)]
struct NewerOrder {
    #[serde(flatten)]
    order: serde_json::Value,
}
impl Format for NewerOrder {
    const KIND: &'static str = "order";
    fn must_understand(&self) -> Vec<String> {
        vec!["uninstall".into()]
    }
}
impl Document for NewerOrder {
    const CONTEXT: &'static str = Order::CONTEXT;
}

/// The same, but only its action is new.
#[derive(Clone, Serialize, Deserialize)]
struct NewerAction {
    #[serde(flatten)]
    order: serde_json::Value,
}
impl Format for NewerAction {
    const KIND: &'static str = "order";
}
impl Document for NewerAction {
    const CONTEXT: &'static str = Order::CONTEXT;
}

fn as_order<T: Document>(signed: &Signed<T>) -> Signed<Order> {
    serde_json::from_value(serde_json::to_value(signed).unwrap()).unwrap()
}

#[test]
fn is_refused_with_what_it_requires() {
    let stage = Stage::new();
    let order = serde_json::to_value(stage.order()).unwrap();
    let newer = as_order(&stage.server_key.sign(&NewerOrder { order: order.clone() }));
    stage.assert_refused(stage.signed_offer(newer), Reason::NotUnderstood);
    let mut uninstall = order;
    uninstall["action"] = "uninstall".into();
    let newer = as_order(&stage.server_key.sign(&NewerAction { order: uninstall }));
    let Err(error) = stage.check(stage.signed_offer(newer.clone())) else { panic!("the offer was accepted") };
    assert!(error.to_string().contains("action"), "{error}");
    stage.assert_refused(stage.signed_offer(newer), Reason::NotUnderstood);
}
