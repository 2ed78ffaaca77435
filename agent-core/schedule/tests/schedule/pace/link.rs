//! A simulated bottleneck with a drop-tail queue, senders before it, and our receiver behind it. Packets of one size,
//! virtual time, and only a seeded jitter: the same case always gives the same numbers.

use super::senders::{Cubic, Sender};
use banyan_schedule::pace::{Config, Pace};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

pub(super) const PACKET: u64 = 1500;
pub(super) type Ns = u64;
pub(super) const MS: Ns = 1_000_000;
pub(super) const SECOND: Ns = 1_000 * MS;

/// The link.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The rate (bytes a second).
    pub(super) rate: u64,
    /// The maximum queue (bytes).
    pub(super) buffer: u64,
    /// The maximum random delay added to each round trip.
    pub(super) jitter: Ns,
    pub(super) seed: u64,
}

/// A flow through the link.
pub(super) struct Flow {
    pub(super) from: Ns,
    pub(super) until: Ns,
    /// The round trip without a queue.
    pub(super) rtt: Ns,
    pub(super) sender: Box<dyn Sender>,
    /// The maximum sending rate (bytes a second), for example of a video.
    pub(super) wants: Option<u64>,
    /// Set if the flow is ours, received through [`Pace`].
    pub(super) ours: Option<Lever>,
}

/// How our receiver slows its sender down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lever {
    /// It requests bytes, and the sender sends only those.
    Asking,
    /// It reads slowly from a socket with a receive buffer of this size (bytes).
    Reading(u64),
}

impl Flow {
    pub(super) fn other(sender: impl Sender + 'static, rtt: Ns) -> Self {
        Self { from: 0, until: Ns::MAX, rtt, sender: Box::new(sender), wants: None, ours: None }
    }
    pub(super) fn ours(rtt: Ns, lever: Lever) -> Self {
        Self { ours: Some(lever), ..Self::other(Cubic::new(rtt), rtt) }
    }
    pub(super) fn during(self, from: Ns, until: Ns) -> Self {
        Self { from, until, ..self }
    }
    pub(super) fn wanting(self, bytes_per_second: u64) -> Self {
        Self { wants: Some(bytes_per_second), ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The packet at the head of the queue has passed the link.
    Through,
    /// A packet reaches its receiver.
    Arrives { flow: usize, sent: Ns, delivered: u64, delivered_at: Ns },
    /// Its acknowledgement reaches the sender.
    Acked { flow: usize, sent: Ns, delivered: u64, delivered_at: Ns },
    /// The sender detects a loss.
    Lost { flow: usize, sent: Ns },
    /// The sender may send.
    Turn { flow: usize },
    /// Our receiver may read.
    Read { flow: usize },
    /// The sender learns that more was read.
    Window { flow: usize, read: u64 },
}

#[derive(Default)]
struct State {
    in_flight: u64,
    sent: u64,
    delivered: u64,
    delivered_at: Ns,
    next_turn: Ns,
    turn_asked: bool,
    // State of our receiver.
    pace: Option<Pace>,
    arrived: u64,
    read: u64,
    read_known: u64,
    tokens_at: Ns,
    read_asked: bool,
}

pub(super) struct World {
    plan: Plan,
    now: Ns,
    flows: Vec<(Flow, State)>,
    events: BinaryHeap<Reverse<(Ns, u64, Event)>>,
    order: u64,
    queue: VecDeque<(usize, Ns, u64, Ns)>,
    random: u64,
}

impl World {
    pub(super) fn new(plan: Plan, flows: Vec<Flow>) -> Self {
        let random = plan.seed;
        let mut world = Self {
            plan,
            now: 0,
            flows: Vec::new(),
            events: BinaryHeap::new(),
            order: 0,
            queue: VecDeque::new(),
            random,
        };
        for (n, flow) in flows.into_iter().enumerate() {
            let pace = flow.ours.map(|_| Pace::new(Config::default(), Duration::from_nanos(flow.from)));
            world.at(flow.from, Event::Turn { flow: n });
            if pace.is_some() {
                world.at(flow.from, Event::Read { flow: n });
            }
            let state = State {
                turn_asked: true,
                read_asked: pace.is_some(),
                pace,
                tokens_at: flow.from,
                delivered_at: flow.from,
                ..State::default()
            };
            world.flows.push((flow, state));
        }
        world
    }
    /// Runs until the given time. Returns the bytes that each flow's receiver has (read) by then.
    pub(super) fn run(&mut self, until: Ns) -> Vec<u64> {
        while let Some(Reverse((at, _, _))) = self.events.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, event))) = self.events.pop() else { break };
            self.now = at;
            self.take(event);
        }
        self.now = until;
        self.flows
            .iter()
            .map(|(flow, state)| if flow.ours.is_some() { state.arrived } else { state.delivered })
            .collect()
    }
    /// Changes the link's rate.
    pub(super) fn set_rate(&mut self, rate: u64) {
        self.plan.rate = rate;
    }
    fn at(&mut self, at: Ns, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }
    fn jitter(&mut self) -> Ns {
        if self.plan.jitter == 0 {
            return 0;
        }
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % self.plan.jitter
    }
    fn transmit(&self) -> Ns {
        PACKET * SECOND / self.plan.rate
    }
    fn take(&mut self, event: Event) {
        match event {
            Event::Turn { flow } => {
                self.flows[flow].1.turn_asked = false;
                self.send(flow);
            }
            Event::Through => {
                let Some((flow, sent, delivered, delivered_at)) = self.queue.pop_front() else { return };
                let half = self.flows[flow].0.rtt / 2;
                let jitter = self.jitter();
                self.at(self.now + half + jitter, Event::Arrives { flow, sent, delivered, delivered_at });
                if !self.queue.is_empty() {
                    self.at(self.now + self.transmit(), Event::Through);
                }
            }
            Event::Arrives { flow, sent, delivered, delivered_at } => {
                let half = self.flows[flow].0.rtt / 2;
                self.at(self.now + half, Event::Acked { flow, sent, delivered, delivered_at });
                let took = Duration::from_nanos(self.now + half - sent);
                let now = Duration::from_nanos(self.now);
                let (of, state) = &mut self.flows[flow];
                state.arrived += PACKET;
                if let Some(pace) = &mut state.pace {
                    pace.round_trip(now, 0, took);
                    if of.ours == Some(Lever::Asking) {
                        pace.received(now, PACKET);
                    }
                    self.read(flow);
                }
            }
            Event::Acked { flow, sent, delivered, delivered_at } => {
                let (of, state) = &mut self.flows[flow];
                state.in_flight -= PACKET;
                state.delivered += PACKET;
                let since = self.now - delivered_at;
                state.delivered_at = self.now;
                let rate = ((state.delivered - delivered) as f64 * 1e9 / since.max(1) as f64) as u64;
                let limited = of.wants.is_some();
                of.sender.acked(self.now, sent, rate, state.in_flight, state.delivered, delivered, limited);
                self.send(flow);
            }
            Event::Lost { flow, sent } => {
                let (of, state) = &mut self.flows[flow];
                state.in_flight -= PACKET;
                // The packet is sent again at some time, so it does not count as sent.
                state.sent -= PACKET;
                of.sender.lost(self.now, sent);
                self.send(flow);
            }
            Event::Read { flow } => {
                self.flows[flow].1.read_asked = false;
                self.read(flow);
            }
            Event::Window { flow, read } => {
                self.flows[flow].1.read_known = read;
                self.send(flow);
            }
        }
    }
    fn send(&mut self, flow: usize) {
        loop {
            let (of, state) = &mut self.flows[flow];
            if self.now >= of.until || state.in_flight + PACKET > of.sender.window() {
                return;
            }
            let allowed = match of.ours {
                None => u64::MAX,
                Some(Lever::Asking) => state.read_known,
                Some(Lever::Reading(buffer)) => state.read_known + buffer,
            };
            if state.sent + PACKET > allowed {
                return;
            }
            if self.now < state.next_turn {
                let at = state.next_turn;
                if !state.turn_asked {
                    state.turn_asked = true;
                    self.at(at, Event::Turn { flow });
                }
                return;
            }
            let pacing = of.sender.pacing().into_iter().chain(of.wants).min();
            if let Some(rate) = pacing {
                state.next_turn = state.next_turn.max(self.now.saturating_sub(MS)) + PACKET * SECOND / rate.max(1000);
            }
            if state.in_flight == 0 {
                state.delivered_at = self.now;
            }
            state.in_flight += PACKET;
            state.sent += PACKET;
            let packet = (flow, self.now, state.delivered, state.delivered_at);
            let rtt = of.rtt;
            if (self.queue.len() as u64 + 1) * PACKET > self.plan.buffer {
                // The loss is detected when the packets behind it are acknowledged.
                let waits = self.queue.len() as u64 * self.transmit();
                self.at(self.now + rtt + waits, Event::Lost { flow, sent: self.now });
                continue;
            }
            self.queue.push_back(packet);
            if self.queue.len() == 1 {
                self.at(self.now + self.transmit(), Event::Through);
            }
        }
    }
    /// Our receiver reads or requests what its pace allows. It may make up for a little of what it missed.
    fn read(&mut self, flow: usize) {
        const CATCH_UP: Ns = 4 * MS;
        let now = Duration::from_nanos(self.now);
        let (of, state) = &mut self.flows[flow];
        let (Some(pace), Some(lever)) = (&mut state.pace, of.ours) else { return };
        let half = of.rtt / 2;
        pace.tick(now);
        state.tokens_at = state.tokens_at.max(self.now.saturating_sub(CATCH_UP));
        let before = state.read;
        let most = match lever {
            // Requests are limited to somewhat more than what arrives, because the sender may have nothing.
            Lever::Asking => state.arrived + pace.outstanding() + PACKET,
            Lever::Reading(_) => state.arrived,
        };
        while state.read < most && state.tokens_at <= self.now {
            state.read += PACKET;
            state.tokens_at += PACKET * SECOND / pace.bytes_per_second();
            if let Lever::Reading(_) = lever {
                pace.received(now, PACKET);
            }
        }
        let wake = Duration::as_nanos(&pace.next_wake()) as Ns;
        let next = if state.read < most { state.tokens_at.min(wake) } else { wake }.max(self.now + MS / 2);
        let (read, ask) = (state.read, !state.read_asked);
        state.read_asked = true;
        if read > before {
            self.at(self.now + half, Event::Window { flow, read });
        }
        if ask {
            self.at(next, Event::Read { flow });
        }
    }
}
