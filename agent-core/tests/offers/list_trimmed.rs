//! Attack: a sender removes names from its sublist, so that those machines never get the update.

use crate::*;
use banyan_proto::list::Addressee;

#[test]
fn is_refused() {
    let stage = Stage::new();
    let order = stage.order();
    let offer = stage.offer(&order);
    let entries: Vec<Addressee> = offer.sublist.clone().into();
    for leave_out in 1..entries.len() {
        let mut names: Vec<MachineId> = entries.iter().map(|entry| entry.id).collect();
        names.remove(leave_out);
        let sublist = AddresseeList::build(&names, |rest| rest.len().div_ceil(2)).unwrap();
        stage.assert_refused(Offer { sublist, ..offer.clone() }, Reason::ListForged);
    }
    let alone = AddresseeList::build(&[stage.machines[ME]], |_| 0).unwrap();
    stage.assert_refused(Offer { sublist: alone, ..offer }, Reason::ListForged);
}
