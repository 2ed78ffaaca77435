//! Attack: an offer for another machine, or for one that is on no list.

use crate::*;

#[test]
fn an_offer_for_another_machine_is_refused() {
    let stage = Stage::new();
    let mut offer = stage.offer(&stage.order());
    (offer.sublist, offer.proof) = stage.list.locate(STRIPE, stage.machines[ME + 1]).unwrap();
    stage.assert_refused(offer, Reason::NotAddressed);
}

#[test]
fn an_order_whose_list_does_not_name_this_machine_is_refused() {
    let mut stage = Stage::new();
    let offer = stage.offer(&stage.order());
    // The same list with an outsider in this machine's place.
    let mut names: Vec<MachineId> = stage.list.ids().collect();
    names[ME] = MachineId([99; 16]);
    stage.list =
        AddresseeList::build(&names, |rest| if rest.start == 1 { rest.len() } else { rest.len().div_ceil(2) }).unwrap();
    let order = stage.order();
    let forged = Offer { order: stage.server_key.sign(&order), ..offer };
    stage.assert_refused(forged, Reason::ListForged);
}
