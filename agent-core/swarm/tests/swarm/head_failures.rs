//! The server's responsibility for parts, with scripted behaviour of their heads: what it still has to do, and until
//! when.

use crate::address_lists::{id, number};
use banyan_proto::{AddresseeList, MachineId, Proof, Reason, api::Event, peer::OfferReply};
use banyan_swarm::{Action, Config, Input, Link, LinkInput, Now, OrderInput, StripeId, SwarmState, TrustedOffer};
use std::time::Duration;

const STRIPE: StripeId = StripeId { order: crate::simulated_network::ORDER, stripe: 0 };

struct Server {
    machine: SwarmState,
    now: Now,
    seen: Vec<Action>,
}

fn list(machines: usize) -> AddresseeList {
    AddresseeList::build(&(0..=machines).map(id).collect::<Vec<_>>(), |rest| rest.len().div_ceil(2)).unwrap()
}

impl Server {
    /// Starts with seven machines: `1 (2 (3), 4)` and `5 (6, 7)`.
    fn planted(sublist: AddresseeList) -> Self {
        let machine = SwarmState::new(Config::server(id(0), 1));
        let mut server = Self { machine, now: Duration::from_secs(1), seen: Vec::new() };
        let proof = Proof::default();
        server.give(OrderInput::StartRoot(TrustedOffer {
            stripe: STRIPE,
            revision: 1,
            stripes: 1,
            chunks: 8,
            sublist,
            proof,
            held: 0,
        }));
        server
    }
    fn give(&mut self, input: impl Into<Input>) {
        self.machine.handle(self.now, input);
        assert_eq!(self.machine.broken_invariant(), None);
        self.seen = std::iter::from_fn(|| self.machine.poll_action()).collect();
    }
    fn dialled(&self) -> Vec<(usize, Link)> {
        let dial = |action: &Action| match action {
            Action::Dial { link, peer, .. } => Some((number(*peer), *link)),
            _ => None,
        };
        self.seen.iter().filter_map(dial).collect()
    }
    fn whom(&self) -> Vec<usize> {
        self.dialled().into_iter().map(|(who, _)| who).collect()
    }
    /// Lets the head take its part.
    fn takes(&mut self, link: Link) {
        self.give(LinkInput::Connected(link));
        self.give(LinkInput::OfferAnswered(link, OfferReply::Accepted));
    }
    fn wake(&mut self) {
        self.now = self.machine.next_wake().expect("a wake time is set");
        self.give(Input::Tick);
    }
    fn stepped_over(&self, who: MachineId, reason: Reason) -> bool {
        let event = Event::SteppedOver { stripe: 0, machine: who, reason };
        self.seen.contains(&Action::Report(STRIPE.order, event))
    }
}

#[test]
fn both_heads_are_dialled_at_once_and_a_delegated_part_is_forgotten() {
    let mut server = Server::planted(list(7));
    let dialled = server.dialled();
    assert_eq!(server.whom(), [1, 5]);
    for (_, link) in &dialled {
        server.takes(*link);
        server.give(LinkInput::PartsAccepted(*link));
    }
    assert_eq!(server.machine.next_wake(), None);
    server.give(LinkInput::Lost(dialled[0].1, Reason::Unreachable));
    assert_eq!(server.seen, []);
}

#[test]
fn a_head_that_cannot_be_reached_defers_or_refuses_is_skipped() {
    let detail = String::new;
    for (answer, reason) in [
        (None, Reason::Unreachable),
        (Some(OfferReply::Deferred { reason: Reason::NotNow }), Reason::NotNow),
        (Some(OfferReply::Refused { reason: Reason::BelowFloor, detail: detail() }), Reason::BelowFloor),
    ] {
        let mut server = Server::planted(list(7));
        let (who, link) = server.dialled()[0];
        match answer {
            None => server.give(LinkInput::Lost(link, Reason::Unreachable)),
            Some(answer) => {
                server.give(LinkInput::Connected(link));
                server.give(LinkInput::OfferAnswered(link, answer));
                assert!(server.seen.contains(&Action::Close(link, Reason::Done)));
            }
        }
        assert!(server.stepped_over(id(who), reason));
        assert_eq!(server.whom(), [2, 4], "the heads of its two parts");
    }
}

#[test]
fn an_offer_that_is_not_answered_in_time_is_withdrawn() {
    let mut server = Server::planted(list(7));
    let [(_, one), (_, five)] = server.dialled()[..] else { panic!("expected two parts") };
    server.takes(five);
    server.give(LinkInput::PartsAccepted(five));
    let asked = server.now;
    server.give(LinkInput::Connected(one));
    server.wake();
    assert_eq!(server.now - asked, Duration::from_secs(15));
    assert!(server.seen.contains(&Action::Close(one, Reason::Unreachable)));
    assert!(server.stepped_over(id(1), Reason::Unreachable));
}

#[test]
fn a_head_that_comes_itself_gets_the_offer_over_its_own_connection() {
    let mut server = Server::planted(list(7));
    let dialled = server.dialled();
    let (who, dial) = dialled[0];
    let own = Link(2);
    server.give(LinkInput::Pulled { link: own, peer: id(who), stripe: STRIPE, from: 0, may_wait: true });
    assert!(server.seen.contains(&Action::Close(dial, Reason::Done)), "nobody has to dial it: {:?}", server.seen);
    let is_offer = |action: &&Action| matches!(action, Action::Offer { link, sublist, .. } if *link == own && sublist.head() == id(who));
    assert_eq!(server.seen.iter().filter(is_offer).count(), 1, "{:?}", server.seen);
    server.give(LinkInput::OfferAnswered(own, OfferReply::Accepted));
    server.give(LinkInput::PartsAccepted(own));
    server.takes(dialled[1].1);
    server.give(LinkInput::PartsAccepted(dialled[1].1));
    assert_eq!(server.machine.next_wake(), None, "both parts are delegated, and nobody was skipped");
}

#[test]
fn a_head_that_only_receives_keeps_its_link_and_gives_its_parts_back() {
    let mut server = Server::planted(list(7));
    let (_, link) = server.dialled()[0];
    server.give(LinkInput::Connected(link));
    server.give(LinkInput::OfferAnswered(link, OfferReply::ReceivesOnly { reason: Reason::MayNotForward }));
    assert_eq!(server.whom(), [2, 4]);
    assert!(!server.seen.iter().any(|action| matches!(action, Action::Close(..) | Action::Report(..))));
}

#[test]
fn a_head_that_took_its_part_and_disconnected_is_redialled_and_then_skipped() {
    let mut server = Server::planted(list(7));
    let (_, link) = server.dialled()[0];
    server.takes(link);
    server.give(LinkInput::Lost(link, Reason::Unreachable));
    assert_eq!(server.whom(), [1], "at once");
    assert!(!server.stepped_over(id(1), Reason::Unreachable));
    let (_, link) = server.dialled()[0];
    server.give(LinkInput::Lost(link, Reason::Unreachable));
    assert!(server.stepped_over(id(1), Reason::Unreachable));
    assert_eq!(server.whom(), [2, 4]);
}

#[test]
fn a_head_that_disconnects_repeatedly_is_skipped_in_the_end() {
    let mut server = Server::planted(list(7));
    let [(_, mut link), (_, five)] = server.dialled()[..] else { panic!("expected two parts") };
    server.takes(five);
    server.give(LinkInput::PartsAccepted(five));
    let mut times = 0;
    loop {
        server.takes(link);
        server.give(LinkInput::Lost(link, Reason::Unreachable));
        times += 1;
        if server.stepped_over(id(1), Reason::Unreachable) {
            break;
        }
        if server.dialled().is_empty() {
            server.wake();
        }
        link = server.dialled()[0].1;
        assert!(times < 10);
    }
    assert_eq!(times, 4);
}

#[test]
fn a_head_that_does_not_delegate_is_asked_again_and_keeps_its_link() {
    let mut server = Server::planted(list(7));
    let [(_, mut link), (_, five)] = server.dialled()[..] else { panic!("expected two parts") };
    server.takes(five);
    server.give(LinkInput::PartsAccepted(five));
    for _ in 0..4 {
        server.takes(link);
        let taken = server.now;
        server.wake();
        assert_eq!(server.now - taken, Duration::from_secs(60));
        assert_eq!(server.whom(), [1]);
        assert!(
            !server.seen.iter().any(|action| matches!(action, Action::Close(..))),
            "the link stays open, since the head may be pulling"
        );
        link = server.dialled()[0].1;
    }
    server.takes(link);
    assert!(server.stepped_over(id(1), Reason::Busy));
}

#[test]
fn many_dead_heads_cause_a_bounded_number_of_dials() {
    // Every machine below the server is in one long chain of parts of one: the worst possible shape.
    let names: Vec<MachineId> = (0..=600).map(id).collect();
    let mut server = Server::planted(AddresseeList::build(&names, |rest| rest.len() / 2).unwrap());
    let mut open: Vec<(usize, Link)> = server.dialled();
    let (mut tried, mut most) = (0, 0);
    while let Some((_, link)) = open.pop() {
        tried += 1;
        server.give(LinkInput::Lost(link, Reason::Unreachable));
        open.splice(0..0, server.dialled());
        most = most.max(open.len());
    }
    assert_eq!((tried, most), (600, 32));
    assert_eq!(server.machine.next_wake(), None);
}

#[test]
fn a_newer_revision_moves_the_machine_and_an_older_one_is_refused() {
    let mut machine = SwarmState::new(Config::agent(id(1), id(0), 8, 1));
    let offer = |revision, machines| {
        let (sublist, proof) = list(machines).locate(0, id(1)).unwrap();
        TrustedOffer { stripe: STRIPE, revision, stripes: 1, chunks: 8, sublist, proof, held: 0 }
    };
    let mut give = |link, offer| {
        machine.handle(Duration::ZERO, LinkInput::Offered { link: Link(link), sender: id(0), offer });
        assert_eq!(machine.broken_invariant(), None);
        std::iter::from_fn(|| machine.poll_action()).collect::<Vec<_>>()
    };
    let dials = |actions: &[Action], who: usize| {
        actions.iter().any(|action| matches!(action, Action::Dial { peer, .. } if *peer == id(who)))
    };
    assert!(dials(&give(2, offer(1, 7)), 4));
    let actions = give(4, offer(2, 15));
    assert!(dials(&actions, 2) && dials(&actions, 6), "the heads of its new parts: {actions:?}");
    let actions = give(6, offer(1, 7));
    let refused = |action: &Action| {
        matches!(action, Action::AnswerOffer(Link(6), OfferReply::Refused { reason: Reason::OrderSuperseded, .. }))
    };
    assert!(matches!(&actions[..], [action] if refused(action)), "{actions:?}");
}
