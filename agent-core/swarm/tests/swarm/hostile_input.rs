//! Hostile input: unrequested answers, unknown links, numbers out of range, everything out of order. It must cause no
//! panic, no violated invariant and no deadlock. Afterwards the same machine works with a well-behaved server.

use crate::address_lists::{id, lists};
use banyan_proto::{
    OrderId, Reason,
    frame::Heartbeat,
    peer::{OfferReply, PullReply},
};
use banyan_swarm::{
    Action, Config, Input, InstallLane, Link, LinkInput, Now, OrderInput, OrderTask, StripeId, SwarmState, TrustedOffer,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

const MACHINES: usize = 9;
const ME: usize = 2;

fn offer(stripe: u8, revision: u32, held: u32, head: usize) -> TrustedOffer {
    let (sublist, proof) = lists(MACHINES, 2)[usize::from(stripe % 2)].locate(stripe, id(head)).unwrap();
    let stripe = StripeId { order: OrderId([1; 16]), stripe };
    TrustedOffer { stripe, revision, stripes: 2, chunks: 20, sublist, proof, held }
}

fn inputs() -> impl Strategy<Value = Input> {
    let link = || (0u64..40).prop_map(Link);
    let who = || (0usize..=MACHINES).prop_map(id);
    let order = || (1u8..3).prop_map(|n| OrderId([n; 16]));
    let stripe = || (1u8..3, 0u8..4).prop_map(|(n, stripe)| StripeId { order: OrderId([n; 16]), stripe });
    let reason = || {
        prop::sample::select(vec![Reason::Unreachable, Reason::Done, Reason::NoSource, Reason::Busy, Reason::Revoked])
    };
    let number = || prop_oneof![0u32..25, Just(u32::MAX)];
    let offers = || {
        (0u8..3, 0u32..3, number(), prop_oneof![9 => Just(ME), 1 => 0usize..=MACHINES])
            .prop_map(|(stripe, revision, held, head)| offer(stripe, revision, held, head))
    };
    let offer_reply = prop_oneof![
        Just(OfferReply::Accepted),
        reason().prop_map(|reason| OfferReply::ReceivesOnly { reason }),
        reason().prop_map(|reason| OfferReply::Deferred { reason }),
        reason().prop_map(|reason| OfferReply::Refused { reason, detail: String::new() }),
    ];
    let pull_reply = prop_oneof![
        Just(PullReply::Serving),
        Just(PullReply::NotHere),
        reason().prop_map(|reason| PullReply::Refused { reason }),
    ];
    let of_links = prop_oneof![
        6 => (link(), who(), offers()).prop_map(|(link, sender, offer)| LinkInput::Offered { link, sender, offer }),
        8 => link().prop_map(LinkInput::Connected),
        6 => (link(), offer_reply).prop_map(|(link, reply)| LinkInput::OfferAnswered(link, reply)),
        3 => link().prop_map(LinkInput::PartsAccepted),
        6 => (link(), pull_reply).prop_map(|(link, reply)| LinkInput::PullAnswered(link, reply)),
        8 => (link(), stripe(), number()).prop_map(|(link, stripe, held)| LinkInput::Stored { link, stripe, held }),
        1 => (link(), number()).prop_map(|(link, index)| LinkInput::BadChunk(link, index)),
        6 => (link(), number()).prop_map(|(link, watermark)| {
            LinkInput::Heartbeat(link, Heartbeat { watermark, ..Heartbeat::default() })
        }),
        2 => link().prop_map(LinkInput::Alive),
        2 => link().prop_map(LinkInput::Sent),
        6 => (link(), who(), stripe(), number(), any::<bool>())
            .prop_map(|(link, peer, stripe, from, may_wait)| LinkInput::Pulled { link, peer, stripe, from, may_wait }),
        6 => (link(), reason()).prop_map(|(link, reason)| LinkInput::Lost(link, reason)),
    ];
    let of_orders = prop_oneof![
        offers().prop_map(OrderInput::Restored),
        offers().prop_map(OrderInput::StartRoot),
        order().prop_map(OrderInput::ArtifactVerified),
        (order(), prop::collection::vec(number(), 0..4))
            .prop_map(|(order, held)| OrderInput::ArtifactDamaged(order, held)),
        order().prop_map(OrderInput::Receipted),
        (order(), any::<bool>()).prop_map(|(order, system)| {
            OrderInput::InstallPermit(order, if system { InstallLane::System } else { InstallLane::Own })
        }),
        (order(), reason()).prop_map(|(order, reason)| OrderInput::RetryLater(order, reason, String::new())),
    ];
    let of_machine = prop_oneof![
        Just(Input::MayForward(Ok(()))),
        reason().prop_map(|reason| Input::MayForward(Err(reason))),
        Just(Input::Tick),
    ];
    // The weights keep every input as likely as its neighbours.
    prop_oneof![
        40 => of_links.prop_map(Input::Link),
        7 => of_orders.prop_map(Input::Order),
        3 => of_machine,
    ]
}

/// Simulates a server that connects, serves and answers at once, while every other machine is unreachable.
fn behave(machine: &mut SwarmState, mut now: Now) -> bool {
    let mut installed = 0;
    let mut dials: BTreeMap<Link, bool> = BTreeMap::new();
    for _ in 0..20_000 {
        let Some(action) = machine.poll_action() else {
            let Some(wake) = machine.next_wake() else { break };
            now = now.max(wake);
            machine.handle(now, Input::Tick);
            continue;
        };
        let inputs: Vec<Input> = match action {
            Action::Dial { link, peer, .. } if peer == id(0) => {
                dials.insert(link, true);
                vec![LinkInput::Connected(link).into()]
            }
            Action::Dial { link, .. } => vec![LinkInput::Lost(link, Reason::Unreachable).into()],
            Action::Pull { link, stripe, .. } if dials.contains_key(&link) => vec![
                LinkInput::PullAnswered(link, PullReply::Serving).into(),
                LinkInput::Stored { link, stripe, held: 20 }.into(),
            ],
            Action::Run(order, OrderTask::VerifyArtifact) => vec![OrderInput::ArtifactVerified(order).into()],
            Action::Run(order, OrderTask::RequestReceipt) => vec![OrderInput::Receipted(order).into()],
            Action::Run(order, OrderTask::RequestInstallPermit) => {
                vec![OrderInput::InstallPermit(order, InstallLane::Own).into()]
            }
            Action::Run(order, OrderTask::Install) => {
                installed += 1;
                vec![OrderInput::InstallEnded(order, Ok(())).into()]
            }
            _ => vec![],
        };
        for input in inputs {
            machine.handle(now, input);
            assert_eq!(machine.broken_invariant(), None);
        }
    }
    installed == 1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(150), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn hostile_input_breaks_no_invariant_and_blocks_nothing(
        happenings in prop::collection::vec((inputs(), 0u64..3000), 0..120),
        max_children in 0usize..3,
    ) {
        let mut machine = SwarmState::new(Config::agent(id(ME), id(0), max_children, 5));
        let mut now = Duration::from_secs(1);
        for (input, pause) in happenings {
            now += Duration::from_millis(pause);
            machine.handle(now, input.clone());
            prop_assert_eq!(machine.broken_invariant(), None, "after {:?}", input);
            let mut actions = 0;
            while machine.poll_action().is_some() {
                actions += 1;
                prop_assert!(actions < 1000, "too many actions after {:?}", input);
            }
        }
        // Links with pending answers are lost and the order starts again.
        for link in 0..1500 {
            machine.handle(now, LinkInput::Lost(Link(link), Reason::Unreachable));
        }
        machine.handle(now, OrderInput::Dropped(OrderId([1; 16]), Reason::OrderSuperseded));
        while machine.poll_action().is_some() {}
        prop_assert_eq!(machine.next_wake(), None, "a dropped order leaves nothing pending");
        for stripe in 0..2 {
            machine.handle(now, OrderInput::Restored(offer(stripe, 9, 0, ME)));
        }
        prop_assert!(behave(&mut machine, now));
    }
    /// The same without restarting: hostile input to an order must not prevent it from finishing.
    #[test]
    fn an_order_finishes_despite_hostile_input(
        happenings in prop::collection::vec((inputs(), 0u64..3000), 0..60),
    ) {
        let mut machine = SwarmState::new(Config::agent(id(ME), id(0), 2, 5));
        let mut now = Duration::from_secs(1);
        for stripe in 0..2 {
            machine.handle(now, OrderInput::Restored(offer(stripe, 9, 0, ME)));
        }
        for (input, pause) in happenings {
            // Inputs that only the driver itself can produce; the driver is trusted.
            let own = matches!(
                input,
                Input::Order(
                    OrderInput::ArtifactVerified(_)
                        | OrderInput::Receipted(_)
                        | OrderInput::InstallPermit(..)
                        | OrderInput::RetryLater(..)
                )
            );
            if own {
                continue;
            }
            now += Duration::from_millis(pause);
            machine.handle(now, input);
            prop_assert_eq!(machine.broken_invariant(), None);
            // The hash is requested at most once; the request is remembered for the end.
            let mut verify = false;
            while let Some(action) = machine.poll_action() {
                verify |= matches!(action, Action::Run(_, OrderTask::VerifyArtifact));
            }
            if verify {
                machine.handle(now, OrderInput::ArtifactDamaged(OrderId([1; 16]), vec![]));
            }
        }
        for link in 0..1500 {
            machine.handle(now, LinkInput::Lost(Link(link), Reason::Unreachable));
        }
        prop_assert!(behave(&mut machine, now));
    }
}
