//! Source selection of a single machine under scripted events: which source it tries, which it drops, and when.
//!
//! The machine is number 9. In stripe 0 it stands below the server, 1, 2 and 3, with 10 below it. In stripe 1 it stands
//! below 4, which stands below the server; below the machine stand 11, then 3, then 12.

use crate::address_lists::id;
use banyan_proto::{
    AddresseeList, Reason,
    api::Event,
    frame::Heartbeat,
    peer::{OfferReply, PullReply},
};
use banyan_swarm::{Action, Config, Input, Link, LinkInput, Now, OrderInput, StripeId, SwarmState, TrustedOffer};
use std::time::Duration;

const CHUNKS: u32 = 10_000;

fn heartbeat(link: Link, watermark: u32) -> LinkInput {
    LinkInput::Heartbeat(link, Heartbeat { watermark, ..Heartbeat::default() })
}

struct One {
    machine: SwarmState,
    now: Now,
    seen: Vec<Action>,
}

fn chain(names: &[usize]) -> AddresseeList {
    AddresseeList::build(&names.iter().map(|n| id(*n)).collect::<Vec<_>>(), |rest| rest.len()).unwrap()
}
fn stripe(stripe: u8) -> StripeId {
    StripeId { order: crate::simulated_network::ORDER, stripe }
}
fn offer(number: u8) -> TrustedOffer {
    let list = if number == 0 { chain(&[0, 1, 2, 3, 9, 10]) } else { chain(&[0, 4, 9, 11, 3, 12]) };
    let (sublist, proof) = list.locate(number, id(9)).unwrap();
    TrustedOffer { stripe: stripe(number), revision: 1, stripes: 2, chunks: CHUNKS, sublist, proof, held: 0 }
}

impl One {
    fn new() -> Self {
        let config = Config::agent(id(9), id(0), 8, 3);
        Self { machine: SwarmState::new(config), now: Duration::from_secs(100), seen: Vec::new() }
    }
    /// Starts with the offer of stripe 0 over link 2 from machine 3, which serves.
    fn fed() -> Self {
        let mut one = Self::new();
        one.give(LinkInput::Offered { link: Link(2), sender: id(3), offer: offer(0) });
        assert!(one.seen.contains(&Action::AnswerOffer(Link(2), OfferReply::Accepted)));
        assert!(one.seen.contains(&Action::Pull { link: Link(2), stripe: stripe(0), from: 0, wait: false }));
        one.give(LinkInput::PullAnswered(Link(2), PullReply::Serving));
        one.give(heartbeat(Link(2), 0));
        assert_eq!(one.source(), Some(3));
        one
    }
    fn give(&mut self, input: impl Into<Input>) {
        self.machine.handle(self.now, input);
        assert_eq!(self.machine.broken_invariant(), None);
        self.seen = std::iter::from_fn(|| self.machine.poll_action()).collect();
    }
    fn source(&self) -> Option<usize> {
        self.machine.source(stripe(0)).map(crate::address_lists::number)
    }
    /// Returns the machine just dialled as a source of stripe 0, waking the state machine until it dials one.
    fn dials(&mut self) -> (usize, Link) {
        let end = self.now + Duration::from_secs(60);
        for _ in 0..1000 {
            for action in &self.seen {
                if let Action::Dial { link, peer, stripe } = action
                    && stripe.stripe == 0
                    && *peer != id(10)
                {
                    return (crate::address_lists::number(*peer), *link);
                }
            }
            let wake = self.machine.next_wake().expect("a machine without a source has a wake time");
            assert!(wake < end, "the machine waits too long");
            self.now = self.now.max(wake);
            self.give(Input::Tick);
        }
        panic!("the machine keeps asking to be woken but does nothing")
    }
    fn serves(&mut self, link: Link) {
        self.give(LinkInput::Connected(link));
        self.give(LinkInput::PullAnswered(link, PullReply::Serving));
    }
    /// Advances time in steps of a second, with a heartbeat reporting `watermark` chunks at each. Returns whether the
    /// source was kept.
    fn beats(&mut self, seconds: u64, link: Link, watermark: u32) -> bool {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.give(heartbeat(link, watermark));
            if self.seen.iter().any(|action| matches!(action, Action::Close(closed, _) if *closed == link)) {
                return false;
            }
        }
        true
    }
    /// Delivers ten chunks a second for that many seconds.
    fn flows(&mut self, seconds: u64, link: Link, held: &mut u32, watermark: u32) {
        for tick in 0..seconds * 10 {
            self.now += Duration::from_millis(100);
            *held += 1;
            self.give(LinkInput::Stored { link, stripe: stripe(0), held: *held });
            if tick % 10 == 0 {
                self.give(heartbeat(link, watermark));
            }
        }
    }
}

#[test]
fn the_nearest_ancestor_first_then_the_alternate_parent_then_the_server() {
    let mut one = One::fed();
    one.give(LinkInput::Offered { link: Link(4), sender: id(4), offer: offer(1) });
    one.give(LinkInput::Lost(Link(2), Reason::Unreachable));
    // The connection may merely have broken.
    let (who, link) = one.dials();
    assert_eq!(who, 3);
    one.give(LinkInput::Lost(link, Reason::Unreachable));
    let (who, link) = one.dials();
    assert_eq!(who, 2);
    one.give(LinkInput::Lost(link, Reason::Unreachable));
    let (who, link) = one.dials();
    assert_eq!(who, 1);
    one.give(LinkInput::Lost(link, Reason::Unreachable));
    // In the other stripe, 3 stands below 11. Machine 11 stands below this machine there, but not here.
    let (who, link) = one.dials();
    assert_eq!(who, 11);
    one.give(LinkInput::Connected(link));
    one.give(LinkInput::PullAnswered(link, PullReply::NotHere));
    let (who, link) = one.dials();
    assert_eq!(who, 0);
    one.serves(link);
    let sources: Vec<_> = one.seen.iter().filter(|action| matches!(action, Action::Report(..))).collect();
    let expected = Event::Source { stripe: 0, source: id(0), left: Some(Reason::Unreachable) };
    assert_eq!(
        sources,
        [&Action::Report(crate::simulated_network::ORDER, expected)],
        "only the machine that actually serves is reported"
    );
}

#[test]
fn heads_that_the_sender_skipped_are_not_tried_first() {
    let mut one = One::new();
    // Machine 1 offers: it could not reach 2 and 3.
    one.give(LinkInput::Offered { link: Link(2), sender: id(1), offer: offer(0) });
    one.give(LinkInput::PullAnswered(Link(2), PullReply::Serving));
    one.give(LinkInput::Lost(Link(2), Reason::NotNow));
    assert_eq!(one.dials().0, 0);
}

#[test]
fn a_machine_below_this_one_is_never_a_source() {
    let mut one = One::new();
    // 10 stands below this machine in stripe 0 and is the parent of 3 in stripe 1.
    let (sublist, proof) = chain(&[0, 4, 9, 10, 3]).locate(1, id(9)).unwrap();
    one.give(LinkInput::Offered { link: Link(4), sender: id(4), offer: TrustedOffer { sublist, proof, ..offer(1) } });
    one.give(LinkInput::Offered { link: Link(2), sender: id(3), offer: offer(0) });
    one.give(LinkInput::Lost(Link(2), Reason::NotNow));
    for expected in [2, 1, 0] {
        let (who, link) = one.dials();
        assert_eq!(who, expected);
        one.give(LinkInput::Lost(link, Reason::Unreachable));
    }
}

#[test]
fn a_source_without_waiting_is_dropped_when_it_has_no_more_chunks() {
    let mut one = One::fed();
    one.give(LinkInput::Offered { link: Link(4), sender: id(4), offer: offer(1) });
    one.give(LinkInput::Lost(Link(2), Reason::MayNotForward));
    for expected in [2, 1] {
        let (who, link) = one.dials();
        assert_eq!(who, expected);
        one.give(LinkInput::Lost(link, Reason::Unreachable));
    }
    let (who, link) = one.dials();
    assert_eq!(who, 11);
    one.serves(link);
    one.give(LinkInput::Stored { link, stripe: stripe(0), held: 5 });
    assert!(one.beats(1, link, 5));
    assert!(!one.beats(1, link, 5), "waiting there is not allowed");
    assert_eq!(one.dials().0, 0);
}

#[test]
fn a_broken_connection_is_retried_at_once_but_not_twice() {
    let mut one = One::fed();
    let mut held = 0;
    one.flows(1, Link(2), &mut held, 10);
    one.give(LinkInput::Lost(Link(2), Reason::Unreachable));
    let (who, link) = one.dials();
    assert_eq!(who, 3);
    one.serves(link);
    one.flows(1, link, &mut held, 20);
    one.give(LinkInput::Lost(link, Reason::Unreachable));
    assert_eq!(one.dials().0, 2, "a second redial within a short time is not allowed");
}

#[test]
fn a_silent_source_is_dropped_after_three_seconds_and_retried_much_later() {
    let mut one = One::fed();
    let heard = one.now;
    let (who, link) = one.dials();
    assert_eq!((who, one.now - heard), (2, Duration::from_secs(3)));
    one.serves(link);
    one.give(LinkInput::Lost(link, Reason::NotNow));
    let (who, link) = one.dials();
    assert_eq!(who, 1, "3 was silent a moment ago");
    one.serves(link);
    assert!(one.beats(31, link, 0));
    one.give(LinkInput::Lost(link, Reason::NotNow));
    assert_eq!(one.dials().0, 3);
}

#[test]
fn a_chunk_that_cannot_be_stored_is_reported_and_no_source_is_blamed() {
    let mut one = One::fed();
    let full = |link| LinkInput::NotStored { link, reason: Reason::DiskFull, detail: String::new() };
    let waits = Event::Waits { reason: Reason::DiskFull, detail: String::new() };
    let report = Action::Report(crate::simulated_network::ORDER, waits);
    let (mut link, mut pauses) = (Link(2), Vec::new());
    for attempt in 0..8 {
        one.give(full(link));
        assert!(one.seen.contains(&Action::Close(link, Reason::DiskFull)));
        assert_eq!(one.seen.contains(&report), attempt == 0, "it is reported once");
        let before = one.now;
        let (who, next) = one.dials();
        assert_eq!(who, 3, "the source did nothing wrong");
        pauses.push(one.now - before);
        one.serves(next);
        link = next;
    }
    assert!(pauses[0] >= Duration::from_millis(500) && pauses[0] <= Duration::from_secs(1), "{pauses:?}");
    assert!(pauses[7] > Duration::from_secs(7) && pauses[7] <= Duration::from_secs(15), "{pauses:?}");
    one.give(LinkInput::Stored { link, stripe: stripe(0), held: 1 });
    one.give(full(link));
    assert!(one.seen.contains(&report), "it is a new trouble after a chunk was stored");
}

#[test]
fn bytes_of_a_large_chunk_are_a_sign_of_life() {
    let mut one = One::fed();
    for _ in 0..14 {
        one.now += Duration::from_secs(2);
        one.give(LinkInput::Alive(Link(2)));
    }
    assert_eq!(one.source(), Some(3));
}

#[test]
fn a_source_whose_first_chunk_never_ends_is_dropped_after_thirty_seconds() {
    let mut one = One::fed();
    let asked = one.now;
    // The chunk's bytes show that the source holds it: it sends no heartbeats.
    while one.source() == Some(3) {
        assert!(one.now - asked < Duration::from_secs(40), "still waiting");
        one.now += Duration::from_secs(1);
        one.give(LinkInput::Alive(Link(2)));
    }
    assert!(one.now - asked >= Duration::from_secs(30), "{:?}", one.now - asked);
    assert_eq!(one.dials().0, 2);
}

#[test]
fn a_source_that_holds_chunks_and_sends_no_byte_is_dropped_after_ten_seconds() {
    let mut one = One::fed();
    let mut held = 0;
    for delivered in [0, 3] {
        // A few chunks do not make a usual rate.
        for _ in 0..delivered {
            held += 1;
            one.give(LinkInput::Stored { link: Link(2), stripe: stripe(0), held });
        }
        let stopped = one.now;
        assert!(one.beats(9, Link(2), CHUNKS), "it is given some time");
        if delivered > 0 {
            assert!(!one.beats(3, Link(2), CHUNKS));
            assert!((10..=12).contains(&(one.now - stopped).as_secs()), "{:?}", one.now - stopped);
        }
    }
    assert_eq!(one.dials().0, 2);
}

#[test]
fn the_time_in_a_queue_does_not_count_as_withholding() {
    let mut one = One::new();
    one.give(LinkInput::Offered { link: Link(2), sender: id(3), offer: offer(0) });
    assert!(one.beats(14, Link(2), CHUNKS), "its turn comes late");
    one.give(LinkInput::PullAnswered(Link(2), PullReply::Serving));
    assert!(one.beats(9, Link(2), CHUNKS));
    assert_eq!(one.source(), Some(3));
}

#[test]
fn a_starving_source_is_kept() {
    let mut one = One::fed();
    let mut held = 0;
    one.flows(20, Link(2), &mut held, 200);
    assert!(one.beats(55, Link(2), held), "the source has nothing new, so it is kept");
    assert_eq!(one.source(), Some(3));
}

#[test]
fn a_source_that_holds_chunks_and_does_not_deliver_is_dropped() {
    let mut one = One::fed();
    let mut held = 0;
    one.flows(20, Link(2), &mut held, 200);
    let stopped = one.now;
    assert!(!one.beats(60, Link(2), CHUNKS));
    assert!((5..=7).contains(&(one.now - stopped).as_secs()), "{:?}", one.now - stopped);
    assert_eq!(one.dials().0, 2);
}

#[test]
fn a_source_at_a_third_of_the_usual_rate_is_kept_and_one_at_a_tenth_is_dropped() {
    for (every, kept) in [(3, true), (10, false)] {
        let mut one = One::fed();
        let mut held = 0;
        one.flows(20, Link(2), &mut held, CHUNKS);
        for tick in 0..300 {
            one.now += Duration::from_millis(100);
            if tick % every == 0 && one.source() == Some(3) {
                held += 1;
                one.give(LinkInput::Stored { link: Link(2), stripe: stripe(0), held });
            }
            if tick % 10 == 0 {
                one.give(heartbeat(Link(2), CHUNKS));
            }
        }
        assert_eq!(one.source() == Some(3), kept, "a chunk every {every} ticks");
    }
}

#[test]
fn a_queued_pull_waits_for_fifteen_seconds() {
    let mut one = One::new();
    one.give(LinkInput::Offered { link: Link(2), sender: id(3), offer: offer(0) });
    let asked = one.now;
    assert!(!one.beats(60, Link(2), 500));
    assert!((15..=17).contains(&(one.now - asked).as_secs()), "{:?}", one.now - asked);
    assert_eq!(one.dials().0, 2);
}

#[test]
fn a_starving_machine_probes_an_ancestor_and_keeps_its_source_unless_the_ancestor_delivers() {
    for delivers in [false, true] {
        let mut one = One::fed();
        let started = one.now;
        let link = loop {
            assert!(one.beats(1, Link(2), 0), "the source is kept meanwhile");
            let dialled = one.seen.iter().find_map(|action| match action {
                Action::Dial { link, peer, .. } if *peer == id(2) => Some(*link),
                _ => None,
            });
            if let Some(link) = dialled {
                break link;
            }
            assert!(one.now - started < Duration::from_secs(150));
        };
        assert!(one.now - started > Duration::from_secs(60));
        one.serves(link);
        assert_eq!(one.source(), Some(3));
        if delivers {
            one.give(heartbeat(link, 7));
            assert_eq!(one.source(), Some(3), "claims are not enough");
            one.give(LinkInput::Stored { link, stripe: stripe(0), held: 1 });
            assert_eq!(one.source(), Some(2));
        } else {
            one.give(heartbeat(link, 0));
            assert!(one.seen.contains(&Action::Close(link, Reason::Done)));
            assert_eq!(one.source(), Some(3));
        }
    }
}

#[test]
fn a_sender_of_bad_bytes_is_dropped_in_every_stripe() {
    let mut one = One::new();
    let mut second = offer(1);
    (second.sublist, second.proof) = chain(&[0, 3, 9]).locate(1, id(9)).unwrap();
    one.give(LinkInput::Offered { link: Link(4), sender: id(3), offer: second });
    one.give(LinkInput::Offered { link: Link(2), sender: id(3), offer: offer(0) });
    one.give(LinkInput::BadChunk(Link(2), 17));
    let event = Event::BadChunk { source: id(3), index: 17 };
    assert_eq!(one.seen[0], Action::Report(crate::simulated_network::ORDER, event));
    for link in [Link(2), Link(4)] {
        assert!(one.seen.contains(&Action::Close(link, Reason::BadChunk)));
    }
    // Not even when it offers again.
    one.give(LinkInput::Offered { link: Link(6), sender: id(3), offer: offer(0) });
    assert!(one.seen.contains(&Action::AnswerOffer(Link(6), OfferReply::Accepted)));
    assert!(!one.seen.iter().any(|action| matches!(action, Action::Pull { .. })));
}

#[test]
fn the_server_is_retried_forever_after_growing_pauses() {
    let mut one = One::new();
    let (sublist, proof) = chain(&[0, 9]).locate(0, id(9)).unwrap();
    one.give(OrderInput::Restored(TrustedOffer { sublist, proof, ..offer(0) }));
    let mut pauses = Vec::new();
    let mut complaints = 0;
    for _ in 0..30 {
        let before = one.now;
        let (who, link) = one.dials();
        assert_eq!(who, 0);
        pauses.push(one.now - before);
        one.give(LinkInput::Lost(link, Reason::Unreachable));
        let waits =
            |action: &&Action| matches!(action, Action::Report(_, Event::Waits { reason: Reason::NoSource, .. }));
        complaints += one.seen.iter().filter(waits).count();
    }
    assert!(pauses[0] < Duration::from_secs(1));
    assert!(pauses[29] > Duration::from_secs(7) && pauses[29] <= Duration::from_secs(15), "{pauses:?}");
    assert_eq!(complaints, 1);
}

#[test]
fn a_new_offer_gives_a_source_to_a_machine_without_one_and_changes_nothing_otherwise() {
    let mut one = One::fed();
    one.give(LinkInput::Offered { link: Link(6), sender: id(2), offer: offer(0) });
    assert!(one.seen.contains(&Action::AnswerOffer(Link(6), OfferReply::Accepted)));
    assert!(!one.seen.iter().any(|action| matches!(action, Action::Pull { .. })));
    let reported = one.seen.iter().any(|action| matches!(action, Action::Report(..)));
    assert!(!reported, "a known offer is not reported again");
    one.give(LinkInput::Lost(Link(2), Reason::NotNow));
    one.give(LinkInput::Offered { link: Link(8), sender: id(1), offer: offer(0) });
    assert!(one.seen.contains(&Action::Pull { link: Link(8), stripe: stripe(0), from: 0, wait: false }));
}

#[test]
fn an_offer_over_the_dialled_link_is_accepted() {
    let mut one = One::new();
    one.give(OrderInput::Restored(offer(0)));
    let (who, link) = one.dials();
    one.give(LinkInput::Offered { link, sender: id(who), offer: offer(0) });
    assert!(one.seen.contains(&Action::Pull { link, stripe: stripe(0), from: 0, wait: false }));
    assert!(!one.seen.iter().any(|action| matches!(action, Action::Close(..))));
}

#[test]
fn a_machine_that_was_suspended_drops_no_source() {
    let mut one = One::fed();
    one.now += Duration::from_secs(3600);
    one.give(Input::Tick);
    assert_eq!(one.source(), Some(3));
    one.now += Duration::from_secs(1);
    one.give(heartbeat(Link(2), 0));
    assert_eq!(one.source(), Some(3));
}

#[test]
fn the_sender_is_informed_when_the_part_is_taken() {
    let mut one = One::new();
    one.give(LinkInput::Offered { link: Link(2), sender: id(3), offer: offer(0) });
    let child = one.seen.iter().find_map(|action| match action {
        Action::Dial { link, peer, .. } if *peer == id(10) => Some(*link),
        _ => None,
    });
    let child = child.expect("the head of the part is dialled at once");
    one.give(LinkInput::Connected(child));
    let (list, way) = chain(&[0, 1, 2, 3, 9, 10]).locate(0, id(10)).unwrap();
    assert_eq!(one.seen, [Action::Offer { link: child, stripe: stripe(0), sublist: list, proof: way }]);
    one.give(LinkInput::OfferAnswered(child, OfferReply::Accepted));
    assert_eq!(one.seen, [Action::SendPartsAccepted(Link(2))]);
    // The same applies to any machine that offers the same again.
    one.give(LinkInput::Offered { link: Link(6), sender: id(2), offer: offer(0) });
    assert!(one.seen.contains(&Action::SendPartsAccepted(Link(6))));
}
