//! What the advisor promises, with flows that are made up.

use super::{FlowAdvisor, FlowReading, Move};
use crate::planner::{Candidate, Site};
use banyan_proto::{AddresseeList, MachineId, Reach};
use std::time::Duration;

/// Bytes of the file.
const SIZE: f64 = 1e9;
/// What links carry usually (bytes a second).
const USUAL: f64 = 1e6;

fn id(n: u8) -> MachineId {
    MachineId([n; 16])
}

/// A server (0), and machines that receive one stripe in this order: each machine feeds the next two.
struct Order {
    advisor: FlowAdvisor,
    /// The source of each machine.
    sources: Vec<u8>,
    left: Vec<f64>,
    now: Duration,
}

impl Order {
    fn new(machines: u8) -> Self {
        Self::with_copies(machines, 1.0)
    }
    fn with_copies(machines: u8, copies: f64) -> Self {
        let candidate = |n| Candidate {
            id: id(n),
            site: Site::of(&[]),
            online: true,
            forwards: true,
            reach: Reach::Everyone,
            down: None,
            up: None,
        };
        let candidates: Vec<Candidate> = (1..=machines).map(candidate).collect();
        let ids: Vec<MachineId> = (0..=machines).map(id).collect();
        let half = |rest: std::ops::Range<usize>| if rest.start == 1 { rest.len() } else { rest.len().div_ceil(2) };
        let list = AddresseeList::build(&ids, half).unwrap();
        let mut sources = vec![0; usize::from(machines) + 1];
        let mut todo = vec![list.clone()];
        while let Some(list) = todo.pop() {
            for part in list.parts().into_iter().flatten() {
                sources[usize::from(part.head().0[0])] = list.head().0[0];
                todo.push(part);
            }
        }
        let advisor = FlowAdvisor::new(id(0), &candidates, &[list], SIZE, copies);
        Self { advisor, sources, left: vec![SIZE; usize::from(machines) + 1], now: Duration::ZERO }
    }
    fn children(&self, source: u8) -> Vec<u8> {
        (1..self.sources.len() as u8).filter(|n| self.sources[usize::from(*n)] == source).collect()
    }
    /// Reports for some seconds what each machine receives, and follows the advice. Returns all moves.
    fn run(&mut self, seconds: u32, flow: impl Fn(&Self, u8) -> (f64, bool)) -> Vec<Move> {
        let mut moves = Vec::new();
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            for n in 1..self.sources.len() as u8 {
                let (rate, waited) = flow(self, n);
                let at = usize::from(n);
                self.left[at] -= rate;
                let reading =
                    FlowReading { stripe: 0, source: id(self.sources[at]), rate, waited, left: self.left[at] };
                self.advisor.record_source(self.now, id(n), 0, id(self.sources[at]));
                self.advisor.record_reading(self.now, id(n), &reading);
            }
            for step in self.advisor.advise(self.now, &|_| true) {
                self.sources[usize::from(step.machine.0[0])] = step.source.0[0];
                moves.push(step);
            }
        }
        moves
    }
}

#[test]
fn equal_flows_cause_one_trial_at_most() {
    let mut order = Order::new(15);
    // Only the server's flows are limited by a link; all others receive what has just arrived.
    let moves = order.run(60, |order, n| (USUAL, order.sources[usize::from(n)] == 0));
    assert!(moves.len() <= 2, "a trial moves two machines: {moves:?}");
}

#[test]
fn children_of_a_slow_sender_get_another_source() {
    let mut order = Order::new(15);
    let head = order.children(0)[0];
    let slow = order.children(head)[0];
    let below = order.children(slow);
    let moves = order.run(20, |order, n| {
        let source = order.sources[usize::from(n)];
        let siblings = order.children(source).len() as f64;
        if source == slow { (USUAL / 10.0 / siblings, true) } else { (USUAL, source == 0) }
    });
    assert!(moves.iter().any(|step| below.contains(&step.machine.0[0])), "{below:?}: {moves:?}");
    assert!(order.children(slow).len() < below.len());
}

#[test]
fn the_server_sends_little_more_than_it_may() {
    let mut order = Order::new(15);
    let mut sent = 0.0;
    for _ in 0..100 {
        // Everyone claims to receive little from a source that has much.
        order.run(1, |order, n| if order.sources[usize::from(n)] == 0 { (USUAL, true) } else { (USUAL / 8.0, true) });
        sent += USUAL * order.children(0).len() as f64;
    }
    let rest: f64 = order.children(0).iter().map(|n| order.left[usize::from(*n)]).sum();
    assert!(sent + rest <= 2.0 * SIZE, "{:.2} copies", (sent + rest) / SIZE);
}

/// A machine sends a quarter of what the server sends, and divides it among those that receive from it.
fn slow_uplinks(order: &Order, n: u8) -> (f64, bool) {
    let source = order.sources[usize::from(n)];
    let upload = if source == 0 { USUAL } else { USUAL / 4.0 };
    (upload / order.children(source).len() as f64, true)
}

#[test]
fn the_server_takes_over_machines_with_slow_sources_if_it_may() {
    let mut order = Order::with_copies(15, f64::INFINITY);
    order.run(20, slow_uplinks);
    let heads = order.children(0).len();
    assert!((2..=4).contains(&heads), "each head must get twice what it got: {heads}");
    order.advisor.allow_server_copies(1.0);
    order.run(60, slow_uplinks);
    assert!(order.children(0).len() < heads, "the server sends to {:?}", order.children(0));
}

#[test]
fn the_server_sends_no_more_than_the_copies_that_were_set() {
    for copies in [1.5, 2.0, 4.0] {
        let (mut order, mut sent) = (Order::with_copies(15, copies), 0.0);
        for _ in 0..4000 {
            let before: Vec<f64> = order.left.clone();
            order.run(1, |order, n| {
                let (rate, waited) = slow_uplinks(order, n);
                (rate.min(order.left[usize::from(n)]), waited)
            });
            let gone = |n: u8| before[usize::from(n)] - order.left[usize::from(n)];
            sent += order.children(0).into_iter().map(gone).sum::<f64>();
        }
        assert!(sent <= (copies + 0.5) * SIZE, "{:.2} of {copies} copies", sent / SIZE);
    }
}

#[test]
fn equal_links_cause_no_further_copies() {
    let mut order = Order::with_copies(15, f64::INFINITY);
    let equal = |order: &Order, n: u8| {
        let is_limit = order.sources[usize::from(n)] == 0;
        (if is_limit { USUAL / order.children(0).len() as f64 } else { USUAL }, is_limit)
    };
    order.run(60, equal);
    assert_eq!(order.children(0).len(), 1);
}

#[test]
fn a_machine_that_is_to_send_too_much_loses_one_child() {
    let mut order = Order::new(15);
    let head = order.children(0)[0];
    let leaf = (1..=15).find(|n| order.children(*n).is_empty() && order.sources[usize::from(*n)] != head).unwrap();
    order.sources[usize::from(leaf)] = head;
    let before = order.children(head);
    let moves = order.run(10, |order, n| (USUAL, order.sources[usize::from(n)] == 0));
    // One of them may also be tried as a head.
    let left = moves.iter().filter(|step| before.contains(&step.machine.0[0]) && step.source != id(0)).count();
    assert_eq!(left, 1, "{before:?}: {moves:?}");
}

#[test]
fn impossible_reports_are_ignored() {
    let mut order = Order::new(3);
    let rates = [f64::NAN, f64::INFINITY, -1.0, f64::MAX, 0.0];
    let (now, advisor) = (Duration::from_secs(5), &mut order.advisor);
    for (machine, source) in [(1, 99), (99, 1), (0, 1), (1, 1), (1, 0), (2, 1), (1, 2)] {
        for stripe in [0, 1, 255] {
            advisor.record_source(now, id(machine), stripe, id(source));
            for rate in rates {
                for left in rates {
                    let reading = FlowReading { stripe, source: id(source), rate, waited: true, left };
                    advisor.record_reading(now, id(machine), &reading);
                }
            }
            advisor.advise(now, &|_| true);
        }
        advisor.record_state(id(machine), true, true, false);
    }
    // Machines that name each other as sources form a circle.
    (0..100).for_each(|second| _ = advisor.advise(now + Duration::from_secs(second), &|_| true));
    [1, 2, 99, 0].into_iter().for_each(|machine| advisor.record_complete(id(machine), 7));
    assert!(FlowAdvisor::new(id(0), &[], &[], f64::NAN, 1.0).advise(now, &|_| true).is_empty());
}

#[test]
fn a_machine_that_claims_a_high_rate_moves_nobody() {
    let mut order = Order::new(15);
    let leaf = (1..=15).find(|n| order.children(*n).is_empty()).unwrap();
    let moves = order.run(60, |order, n| {
        let is_limit = order.sources[usize::from(n)] == 0;
        if n == leaf { (1e9, true) } else { (USUAL, is_limit) }
    });
    assert!(moves.len() <= 4, "{moves:?}");
}

#[test]
fn a_receiver_leaves_a_source_with_three_for_one_that_is_done() {
    let mut order = Order::new(15);
    let inner = order.children(order.children(0)[0]);
    let [done, full] = inner[..] else { panic!("{inner:?}") };
    let leaf = order.children(order.children(done)[0])[0];
    order.sources[usize::from(leaf)] = full;
    let flow = |order: &Order, n: u8| {
        let source = order.sources[usize::from(n)];
        let rate = if source == full { 2.0 * USUAL / order.children(full).len() as f64 } else { USUAL };
        (rate, source == full)
    };
    order.run(1, flow);
    let mut below = vec![done];
    while let Some(n) = below.pop() {
        below.extend(order.children(n));
        order.advisor.record_complete(id(n), 0);
    }
    let moves = order.run(6, flow);
    assert_eq!(order.children(full).len(), 2, "{moves:?}");
    assert_eq!(moves.len(), 1, "the others get enough then: {moves:?}");
}
