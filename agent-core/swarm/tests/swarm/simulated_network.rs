//! The simulation: virtual time, hosts, the connections between them, and faults.

use crate::{
    address_lists::{id, lists, number},
    chunk_transfer::SentChunk,
    flow_reports::{self, unknown_candidates},
    simulated_host::{Host, Message, Step, Timer},
};
use banyan_proto::{AddresseeList, OrderId, Proof, Reason, order::Spread};
use banyan_swarm::{
    Config, Input, Link, LinkInput, Now, OrderInput, StripeId, SwarmState, Timings, TrustedOffer,
    flow_advisor::FlowAdvisor, source_advisor::SourceAdvisor,
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    time::Duration,
};

pub(crate) const ORDER: OrderId = OrderId([7; 16]);

/// The parameters of a swarm.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) machines: usize,
    pub(crate) stripes: u8,
    /// The number of chunks in the whole file.
    pub(crate) chunks: u32,
    /// The bytes of a chunk, where rates have a unit.
    pub(crate) chunk_bytes: u32,
    /// Chunks a second on every link, in each direction.
    pub(crate) rate: f64,
    pub(crate) latency: Duration,
    pub(crate) seed: u64,
    pub(crate) max_children: usize,
    pub(crate) spread: Spread,
    /// The most chunks in transit on one connection.
    pub(crate) in_flight: u32,
    /// By how much the rate of each link changes by itself: 0.3 for 30 % up and down.
    pub(crate) noise: f64,
    /// Whether receivers take turns as they do at an agent (rule C8). Otherwise the least advanced one is first.
    pub(crate) takes_turns: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            machines: 16,
            stripes: 2,
            chunks: 256,
            chunk_bytes: 256 << 10,
            rate: 20.0,
            latency: Duration::from_millis(5),
            seed: 1,
            max_children: 8,
            spread: Spread::CutThrough,
            in_flight: 2,
            noise: 0.0,
            takes_turns: false,
        }
    }
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndOf {
    pub(crate) host: usize,
    pub(crate) link: Link,
    /// The host's boot number: a restarted host does not know its former connections.
    boot: u32,
}

/// A connection: the dialling end, then the accepting end.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: [EndOf; 2],
    pub(crate) stripe: StripeId,
    pub(crate) up: bool,
    /// When the last message arrives, in each direction, so that messages stay in order.
    arrival: [Now; 2],
}

/// A scheduled event.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A message reaches this side of a connection.
    Arrives(usize, usize, Message),
    /// A chunk has passed the sender's uplink and reaches the downlink of this side of a connection.
    AtDownlink(usize, usize, SentChunk),
    /// A dial ends, in a connection or not.
    Dialled {
        from: usize,
        boot: u32,
        link: Link,
        to: usize,
        stripe: StripeId,
    },
    /// A timer of the driver.
    Timer(usize, u32, Timer),
    /// The uplink can send another chunk.
    UplinkFree(usize, u32),
    Wake(usize, u32),
    Fault(Fault),
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// The process ends; its connections break at once.
    Kill(usize),
    /// The machine vanishes without any notification.
    Vanish(usize),
    /// The machine starts again with the content of its disk.
    Start(usize),
    /// All its connections break; new ones are possible.
    Cut(usize),
    /// Sets whether the machine may forward.
    Forward(usize, bool),
    /// Sets whether the machine may receive.
    Receive(usize, bool),
    /// Sets whether the machine may install.
    Install(usize, bool),
    /// Sets the rate of the machine's link in both directions (chunks a second).
    Link(usize, f64),
}

/// The link between a site and the rest of the network.
#[derive(Debug, Clone)]
pub(crate) struct SiteLink {
    /// Chunks a second, in each direction.
    rate: f64,
    out_free: Now,
    in_free: Now,
    /// How many chunks have entered the site.
    pub(crate) entered: u64,
}

impl SiteLink {
    pub(crate) fn new(rate: f64) -> Self {
        Self { rate, out_free: Now::ZERO, in_free: Now::ZERO, entered: 0 }
    }
    fn chunk_time(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
    /// Returns when a chunk that is there at this time has left the site.
    pub(crate) fn leave(&mut self, at: Now) -> Now {
        self.out_free = at.max(self.out_free + self.chunk_time());
        self.out_free
    }
    /// Returns when a chunk that is there at this time has entered the site.
    pub(crate) fn enter(&mut self, at: Now) -> Now {
        self.entered += 1;
        self.in_free = at.max(self.in_free + self.chunk_time());
        self.in_free
    }
}

struct Entry(Now, u64, Happening);
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) lists: Vec<AddresseeList>,
    /// What the server knows of the sources.
    pub(crate) advisor: SourceAdvisor,
    /// What machines receive, and who should change a source.
    pub(crate) flow_advisor: FlowAdvisor,
    pub(crate) advised_at: Now,
    /// The machines of which the server knows that nobody can dial them.
    pub(crate) known_undialable: BTreeSet<usize>,
    /// The links of the sites that hosts name.
    pub(crate) site_links: Vec<SiteLink>,
    /// Whether every invariant is checked after each input, and the last events are kept for failure messages.
    pub(crate) is_checked: bool,
    /// Whether the server answers requests for better sources.
    pub(crate) gives_advice: bool,
    pub(crate) now: Now,
    pub(crate) hosts: Vec<Host>,
    pub(crate) connections: Vec<Connection>,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    /// The number of events processed without time passing.
    at_once: u32,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let lists = lists(plan.machines, plan.stripes);
        Self::with_lists(plan, lists)
    }
    pub(crate) fn with_lists(plan: Plan, lists: Vec<AddresseeList>) -> Self {
        let hosts = (0..=plan.machines).map(|n| Host::new(Self::machine(&plan, n, 0), &plan)).collect();
        let advisor = SourceAdvisor::new(&lists, 1.0, !plan.spread.withholds());
        let candidates = unknown_candidates(plan.machines);
        let flow_advisor = flow_reports::advisor(&candidates, &lists, plan.chunks, 1.0);
        let mut world = Self {
            plan,
            lists,
            advisor,
            flow_advisor,
            advised_at: Duration::ZERO,
            known_undialable: BTreeSet::new(),
            site_links: Vec::new(),
            is_checked: true,
            gives_advice: true,
            now: Duration::ZERO,
            hosts,
            connections: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            at_once: 0,
        };
        for n in 0..world.hosts.len() {
            world.start_timers(n);
        }
        world
    }
    fn machine(plan: &Plan, n: usize, boot: u32) -> SwarmState {
        SwarmState::new(Config {
            me: id(n),
            server: id(0),
            max_children: if n == 0 { usize::MAX } else { plan.max_children },
            timings: Timings::default(),
            seed: plan.seed ^ ((n as u64) << 32) ^ u64::from(boot),
        })
    }
    /// Starts the server as the root of the lists.
    pub(crate) fn plant(&mut self) {
        for stripe in 0..self.plan.stripes {
            let offer = self.offer_for(0, stripe);
            self.give(0, OrderInput::StartRoot(offer));
        }
    }
    pub(crate) fn stripe(&self, stripe: u8) -> StripeId {
        StripeId { order: ORDER, stripe }
    }
    pub(crate) fn chunks_of(&self, stripe: u8) -> u32 {
        let (all, k) = (self.plan.chunks, u32::from(self.plan.stripes));
        (all + k - 1 - u32::from(stripe)) / k
    }
    /// Returns the offer this machine would get directly from the server.
    pub(crate) fn offer_for(&self, n: usize, stripe: u8) -> TrustedOffer {
        let (sublist, proof) = self.lists[usize::from(stripe)].locate(stripe, id(n)).unwrap();
        self.offer(n, stripe, sublist, proof)
    }
    pub(crate) fn offer(&self, n: usize, stripe: u8, sublist: AddresseeList, proof: Proof) -> TrustedOffer {
        TrustedOffer {
            stripe: self.stripe(stripe),
            revision: 1,
            stripes: self.plan.stripes,
            chunks: self.chunks_of(stripe),
            sublist,
            proof,
            held: if n == 0 { self.chunks_of(stripe) } else { self.hosts[n].disk.held[usize::from(stripe)] },
        }
    }
    /// Returns whether `above` stands above `below` in this stripe's tree.
    pub(crate) fn is_above(&self, stripe: u8, above: usize, below: usize) -> bool {
        let (_, proof) = self.lists[usize::from(stripe)].locate(stripe, id(below)).unwrap();
        proof.ancestors().any(|head| head == id(above))
    }

    pub(crate) fn at(&mut self, time: Now, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(time.max(self.now), self.sequence, what)));
    }
    pub(crate) fn after(&mut self, pause: Duration, what: Happening) {
        self.at(self.now + pause, what);
    }
    pub(crate) fn fault_at(&mut self, time: Duration, fault: Fault) {
        self.at(time, Happening::Fault(fault));
    }
    fn start_timers(&mut self, n: usize) {
        let boot = self.hosts[n].boot;
        // Hosts do not send heartbeats in step.
        let offset = Duration::from_millis((n as u64 * 137) % 1000);
        self.after(offset, Happening::Timer(n, boot, Timer::Heartbeat));
        self.after(offset + Duration::from_secs(1), Happening::Timer(n, boot, Timer::CheckIn));
    }

    /// Runs until `done`, or until the virtual time is `end`. Returns whether `done` was reached.
    pub(crate) fn run_until(&mut self, end: Duration, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            match self.queue.pop() {
                Some(Reverse(Entry(time, _, what))) if time <= end => {
                    self.at_once = if time == self.now { self.at_once + 1 } else { 0 };
                    assert!(self.at_once < 20_000, "events repeat without end at {time:?}: {what:?}");
                    self.now = time;
                    self.happen(what);
                }
                Some(entry) => {
                    self.queue.push(entry);
                    self.now = end;
                    return done(self);
                }
                None => return done(self),
            }
        }
        true
    }
    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrives(connection, side, message) => {
                let Connection { up, ends, .. } = self.connections[connection];
                if up && self.is_here(ends[side]) {
                    self.receive(connection, side, message);
                }
            }
            Happening::AtDownlink(connection, side, chunk) => {
                let Connection { up, ends, .. } = self.connections[connection];
                if up && self.is_here(ends[side]) {
                    self.at_downlink(connection, side, chunk);
                }
            }
            Happening::Dialled { from, boot, link, to, stripe } => {
                let from = EndOf { host: from, link, boot };
                if self.is_here(from) {
                    self.dialled(from, to, stripe);
                }
            }
            Happening::Timer(n, boot, timer) if self.hosts[n].is_up(boot) => self.timer(n, timer),
            Happening::UplinkFree(n, boot) if self.hosts[n].is_up(boot) => {
                self.hosts[n].uplink_busy = false;
                self.send_chunk(n);
            }
            Happening::Wake(n, boot) if self.hosts[n].is_up(boot) => {
                self.hosts[n].wake = None;
                if self.hosts[n].machine.next_wake().is_some_and(|at| at <= self.now) {
                    self.give(n, Input::Tick);
                } else {
                    self.schedule_wake(n);
                }
            }
            Happening::Timer(..) | Happening::UplinkFree(..) | Happening::Wake(..) => {}
            Happening::Fault(fault) => self.fault(fault),
        }
    }
    fn is_here(&self, end: EndOf) -> bool {
        self.hosts[end.host].is_up(end.boot)
    }
    fn dialled(&mut self, from: EndOf, to: usize, stripe: StripeId) {
        let reachable = self.hosts[to].up && !self.hosts[to].unreachable;
        if !reachable {
            return self.give(from.host, LinkInput::Lost(from.link, Reason::Unreachable));
        }
        if self.hosts[from.host].gave_up.remove(&from.link) {
            return;
        }
        self.hosts[to].next_link += 2;
        let other = EndOf { host: to, link: Link(self.hosts[to].next_link), boot: self.hosts[to].boot };
        let connection = self.connections.len();
        self.connections.push(Connection { ends: [from, other], stripe, up: true, arrival: [self.now; 2] });
        self.hosts[from.host].links.insert(from.link, (connection, 0));
        self.hosts[to].links.insert(other.link, (connection, 1));
        self.give(from.host, LinkInput::Connected(from.link));
    }
    /// Sends a message from this side of the connection.
    pub(crate) fn send(&mut self, connection: usize, side: usize, message: Message) {
        let jitter = self.hosts[0].dice.up_to(self.plan.latency / 2);
        let arrival = (self.now + self.plan.latency + jitter).max(self.connections[connection].arrival[1 - side]);
        self.connections[connection].arrival[1 - side] = arrival;
        self.at(arrival, Happening::Arrives(connection, 1 - side, message));
    }
    /// Breaks a connection; each living end except `knows` is notified.
    pub(crate) fn break_connection(&mut self, connection: usize, knows: Option<usize>, reason: Reason) {
        if !std::mem::replace(&mut self.connections[connection].up, false) {
            return;
        }
        for side in 0..2 {
            let end = self.connections[connection].ends[side];
            if self.is_here(end) {
                self.hosts[end.host].links.remove(&end.link);
                self.hosts[end.host].serves.remove(&end.link);
                if knows != Some(side) {
                    self.give(end.host, LinkInput::Lost(end.link, reason));
                }
            }
        }
    }
    fn connections_of(&self, n: usize) -> Vec<usize> {
        let of = |connection: &Connection| connection.up && connection.ends.iter().any(|end| end.host == n);
        (0..self.connections.len()).filter(|at| of(&self.connections[*at])).collect()
    }
    pub(crate) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(n) => {
                self.hosts[n].up = false;
                for connection in self.connections_of(n) {
                    self.break_connection(connection, None, Reason::Unreachable);
                }
            }
            Fault::Vanish(n) => {
                self.hosts[n].up = false;
                self.hosts[n].dark = true;
            }
            Fault::Start(n) if !self.hosts[n].up => {
                let boot = self.hosts[n].boot + 1;
                for connection in self.connections_of(n) {
                    self.break_connection(connection, None, Reason::Unreachable);
                }
                let machine = Self::machine(&self.plan, n, boot);
                self.hosts[n].restart(machine, boot);
                self.start_timers(n);
                if n == 0 {
                    return self.plant();
                }
                for stripe in 0..self.plan.stripes {
                    if self.hosts[n].disk.offered[usize::from(stripe)] {
                        let offer = self.offer_for(n, stripe);
                        self.give(n, OrderInput::Restored(offer));
                    }
                }
                if let Some(outcome) = self.hosts[n].disk.outcome {
                    self.hosts[n].shows_content = true;
                    self.give(n, OrderInput::InstallEnded(ORDER, outcome));
                }
            }
            Fault::Start(_) => {}
            Fault::Cut(n) => {
                for connection in self.connections_of(n) {
                    self.break_connection(connection, None, Reason::Unreachable);
                }
            }
            Fault::Link(n, rate) => (self.hosts[n].downlink_rate, self.hosts[n].uplink_rate) = (rate, rate),
            Fault::Receive(n, may) => {
                self.give(n, OrderInput::MayReceive(ORDER, may.then_some(()).ok_or(Reason::NotNow)));
            }
            Fault::Install(n, may) => {
                self.give(n, OrderInput::MayInstall(ORDER, may.then_some(()).ok_or(Reason::NotNow)));
            }
            Fault::Forward(n, may) => {
                self.hosts[n].may_forward = may;
                if self.hosts[n].up {
                    let may = if may { Ok(()) } else { Err(Reason::MayNotForward) };
                    self.give(n, Input::MayForward(may));
                }
            }
        }
    }
    /// Gives the state machine an input, carries out its actions, and checks every invariant.
    pub(crate) fn give(&mut self, n: usize, input: impl Into<Input>) {
        let input = input.into();
        if !self.hosts[n].up {
            return;
        }
        if self.is_checked {
            self.hosts[n].log(self.now, Step::In(input.clone()));
        }
        self.hosts[n].machine.handle(self.now, input);
        if self.is_checked
            && let Some(broken) = self.hosts[n].machine.broken_invariant()
        {
            panic!("machine {n} at {:?}: {broken}\n{}", self.now, self.hosts[n].history());
        }
        while let Some(action) = self.hosts[n].machine.poll_action() {
            if self.is_checked {
                self.hosts[n].log(self.now, Step::Out(action.clone()));
            }
            self.act(n, action);
        }
        self.schedule_wake(n);
    }
    fn schedule_wake(&mut self, n: usize) {
        let host = &mut self.hosts[n];
        if let Some(at) = host.machine.next_wake()
            && host.wake.is_none_or(|wake| at < wake)
        {
            host.wake = Some(at);
            let boot = host.boot;
            self.at(at, Happening::Wake(n, boot));
        }
    }

    // Measurements for tests.

    pub(crate) fn is_verified(&self, n: usize) -> bool {
        self.hosts[n].disk.verified.is_some()
    }
    pub(crate) fn everyone(&self, what: impl Fn(&Host) -> bool) -> bool {
        self.hosts[1..].iter().all(what)
    }
    pub(crate) fn all_installed(&self) -> bool {
        self.everyone(|host| host.disk.installs > 0)
    }
    /// Returns the time until the last of these machines held the verified artifact, in units of file size / link rate.
    pub(crate) fn makespan(&self, of: impl Iterator<Item = usize>) -> f64 {
        let last =
            of.map(|n| self.hosts[n].disk.verified.expect("every machine has the artifact")).max().unwrap_or_default();
        last.as_secs_f64() / self.file_time().as_secs_f64()
    }
    /// Returns the time in which a link transfers the file once.
    pub(crate) fn file_time(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.plan.chunks) / self.plan.rate)
    }
    /// Returns the number of copies of the file that this host has sent.
    pub(crate) fn copies(&self, n: usize) -> f64 {
        self.hosts[n].chunks_sent as f64 / f64::from(self.plan.chunks)
    }
    /// Returns the machines that lost their source; one that changed to a better source has not.
    pub(crate) fn fled(&self) -> Vec<usize> {
        (1..self.hosts.len()).filter(|n| self.hosts[*n].lost_a_source).collect()
    }
    pub(crate) fn number(&self, id: banyan_proto::MachineId) -> usize {
        number(id)
    }
    pub(crate) fn arrives(&mut self, at: Now, connection: usize, side: usize, chunk: SentChunk) {
        self.at(at, Happening::Arrives(connection, side, Message::Chunk(chunk)));
    }
}
