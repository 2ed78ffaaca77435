//! Attack: a machine that is not upstream of this one copies a valid offer, or falsifies the path that the offer took.

use crate::*;

#[test]
fn is_refused() {
    let stage = Stage::new();
    let offer = stage.offer(&stage.order());
    let below = offer.sublist.ids().nth(1).unwrap();
    for sender in [below, stage.machines[11], MachineId([88; 16])] {
        let path = vec![stage.machines[0], sender];
        stage.assert_refused_from(sender, Offer { path, ..offer.clone() }, Reason::NotAncestor);
    }
}

#[test]
fn a_path_that_does_not_lead_down_the_tree_to_the_sender_is_refused() {
    let stage = Stage::new();
    let offer = stage.offer(&stage.order());
    let [server, head, other] = [stage.machines[0], stage.machines[1], stage.machines[7]];
    for path in
        [vec![], vec![head], vec![server], vec![server, other, head], vec![head, server], vec![server, head, head]]
    {
        stage.assert_refused(Offer { path, ..offer.clone() }, Reason::NotAncestor);
    }
}
