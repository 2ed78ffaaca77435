//! Attack: a sender adds names to its sublist, so that this machine works for outsiders.

use crate::*;

#[test]
fn is_refused() {
    let stage = Stage::new();
    let offer = stage.offer(&stage.order());
    let names: Vec<MachineId> = offer.sublist.ids().chain([MachineId([77; 16])]).collect();
    let sublist = AddresseeList::build(&names, |rest| rest.len().div_ceil(2)).unwrap();
    stage.assert_refused(Offer { sublist, ..offer.clone() }, Reason::ListForged);
    // The same names, in a list of a different shape.
    let names: Vec<MachineId> = offer.sublist.ids().collect();
    let sublist = AddresseeList::build(&names, |rest| rest.len()).unwrap();
    stage.assert_refused(Offer { sublist, ..offer }, Reason::ListForged);
}

#[test]
fn a_list_of_another_stripe_is_refused() {
    let stage = Stage::new();
    let order = Order { stripes: vec![stage.list.subtree(0), stage.list.subtree(1)], ..stage.order() };
    let offer = stage.offer(&order);
    // The proof of stripe 0 proves nothing about stripe 1, although the names are the same.
    let mut moved = offer.clone();
    moved.proof = stage.list.locate(1, stage.machines[ME]).unwrap().1;
    stage.assert_refused(moved, Reason::ListForged);
    stage.assert_refused(Offer { stripe: 9, ..offer }, Reason::ListForged);
}
