//! The owner's limit on uploads: fewer pulls are served at once, and every machine still completes.

use crate::simulated_network::{Plan, World};
use banyan_proto::{AddresseeList, MachineId, Proof, Reason, api::Event, peer::PullReply};
use banyan_swarm::{Action, Config, Input, Link, LinkInput, OrderInput, StripeId, SwarmState, TrustedOffer};
use std::time::Duration;

#[test]
fn with_one_upload_each_everyone_still_gets_it() {
    for stripes in [1, 2] {
        let mut world = World::new(Plan { stripes, chunks: 64, max_children: 1, ..Plan::default() });
        world.plant();
        assert!(world.run_until(Duration::from_secs(200), World::all_installed), "{stripes} stripes");
    }
}

fn holder(max_children: usize) -> (SwarmState, StripeId) {
    let me = MachineId([1; 16]);
    let mut machine = SwarmState::new(Config::agent(me, MachineId([0; 16]), max_children, 1));
    let stripe = StripeId { order: crate::simulated_network::ORDER, stripe: 0 };
    let sublist = AddresseeList::build(&[me], |_| 0).unwrap();
    let offer = TrustedOffer { stripe, revision: 1, stripes: 1, chunks: 9, sublist, proof: Proof::default(), held: 9 };
    machine.handle(Duration::ZERO, OrderInput::Restored(offer));
    drain(&mut machine);
    (machine, stripe)
}
fn drain(machine: &mut SwarmState) -> Vec<Action> {
    let actions = std::iter::from_fn(|| machine.poll_action()).collect();
    assert_eq!(machine.broken_invariant(), None);
    actions
}
fn pull(machine: &mut SwarmState, stripe: StripeId, link: u64, peer: u8, ancestor: bool) -> Vec<Action> {
    let peer = MachineId([peer; 16]);
    machine.handle(Duration::ZERO, LinkInput::Pulled { link: Link(link), peer, stripe, from: 3, may_wait: ancestor });
    drain(machine)
}
fn serve(stripe: StripeId, link: u64, wait: bool) -> Action {
    Action::Serve { link: Link(link), stripe, from: 3, wait }
}

#[test]
fn queued_pulls_are_served_in_order() {
    let (mut machine, stripe) = holder(2);
    assert_eq!(pull(&mut machine, stripe, 2, 10, true), [serve(stripe, 2, true)]);
    assert_eq!(pull(&mut machine, stripe, 4, 11, true), [serve(stripe, 4, true)]);
    let detail = "pulls waiting for a slot: 1".to_owned();
    let waits = Action::Report(stripe.order, Event::Waits { reason: Reason::Busy, detail });
    assert_eq!(pull(&mut machine, stripe, 6, 12, true), [waits], "the server may replan the lists");
    assert_eq!(pull(&mut machine, stripe, 8, 13, true), []);
    assert_eq!((machine.served_pulls(), machine.queued_pulls()), (2, 2));
    // A queued pull whose peer hangs up changes nothing for the others.
    assert_eq!(pull(&mut machine, stripe, 12, 14, true), []);
    machine.handle(Duration::ZERO, LinkInput::Lost(Link(12), Reason::Unreachable));
    assert_eq!(drain(&mut machine), []);
    assert_eq!((machine.served_pulls(), machine.queued_pulls()), (2, 2));
    machine.handle(Duration::ZERO, LinkInput::Sent(Link(4)));
    assert_eq!(drain(&mut machine), [serve(stripe, 6, true)]);
    machine.handle(Duration::ZERO, LinkInput::Lost(Link(2), Reason::Unreachable));
    assert_eq!(drain(&mut machine), [serve(stripe, 8, true)]);
    // A machine that asks again keeps its own slot.
    assert_eq!(
        pull(&mut machine, stripe, 10, 12, true),
        [Action::RefusePull(Link(6), PullReply::NotHere), serve(stripe, 10, true)]
    );
}

#[test]
fn a_peer_that_may_not_wait_gets_the_held_chunks_and_is_then_refused() {
    let (mut machine, stripe) = holder(2);
    assert_eq!(pull(&mut machine, stripe, 2, 10, false), [serve(stripe, 2, false)]);
    machine.handle(Duration::ZERO, LinkInput::Sent(Link(2)));
    assert_eq!(drain(&mut machine), [Action::RefusePull(Link(2), PullReply::NotHere)]);
}

#[test]
fn a_peer_that_may_not_wait_is_refused_when_no_new_chunk_is_here() {
    let (me, server) = (MachineId([1; 16]), MachineId([0; 16]));
    let mut machine = SwarmState::new(Config::agent(me, server, 2, 1));
    let stripe = StripeId { order: crate::simulated_network::ORDER, stripe: 0 };
    let sublist = AddresseeList::build(&[me], |_| 0).unwrap();
    let offer = TrustedOffer { stripe, revision: 1, stripes: 1, chunks: 9, sublist, proof: Proof::default(), held: 3 };
    machine.handle(Duration::ZERO, OrderInput::Restored(offer));
    drain(&mut machine);
    assert_eq!(
        pull(&mut machine, stripe, 2, 10, false),
        [Action::RefusePull(Link(2), PullReply::NotHere)],
        "refused at once, without taking a slot"
    );
    assert_eq!(pull(&mut machine, stripe, 4, 11, true), [serve(stripe, 4, true)]);
}

#[test]
fn a_pull_that_cannot_be_served_is_refused() {
    let refused = |link, reason| [Action::RefusePull(Link(link), PullReply::Refused { reason })];
    let (mut machine, stripe) = holder(2);
    let foreign = StripeId { order: banyan_proto::OrderId([9; 16]), stripe: 0 };
    assert_eq!(pull(&mut machine, foreign, 2, 10, true), refused(2, Reason::OrderExpired));
    let second = StripeId { stripe: 1, ..stripe };
    assert_eq!(pull(&mut machine, second, 4, 10, true), [Action::RefusePull(Link(4), PullReply::NotHere)]);
    machine.handle(Duration::ZERO, Input::MayForward(Err(Reason::NotNow)));
    assert_eq!(pull(&mut machine, stripe, 6, 10, true), refused(6, Reason::NotNow));
    let (mut machine, stripe) = holder(0);
    assert_eq!(pull(&mut machine, stripe, 8, 10, true), refused(8, Reason::MayNotForward));
}
