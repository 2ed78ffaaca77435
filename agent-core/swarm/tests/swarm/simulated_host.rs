//! One simulated host: a state machine, the driver around it, its disk, and its character.

use crate::{
    address_lists::{id, number},
    chunk_transfer::SentChunk,
    simulated_network::{Happening, ORDER, Plan, World},
};
use banyan_proto::{
    AddresseeList, MachineId, Proof, Reason,
    api::{Event, SourceChange, SourcesRequest},
    frame::{Heartbeat, Holdup, Upstream},
    order::Spread,
    peer::{OfferReply, PullReply},
};
use banyan_swarm::{
    Action, Input, InstallLane, Link, LinkInput, Now, OrderInput, OrderTask, StripeId, SwarmState,
    link_meter::LinkMeter,
    permit_limit::{ReleaseProof, may_install},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// How a host behaves towards others. Its own state machine always works correctly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Character {
    Honest,
    /// Every chunk it sends is wrong.
    Forger,
    /// Claims to hold everything and more; sends nothing.
    Boaster,
    /// Claims to hold nothing, and says nothing about others; sends nothing.
    Miser,
    /// A miser that complains to the server all the time, as if it received nothing.
    LyingMiser,
    /// Refuses every offer and every pull.
    Refuser,
}

/// The state that survives a crash.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// The stripes whose offer is stored.
    pub(crate) offered: Vec<bool>,
    pub(crate) held: Vec<u32>,
    pub(crate) verified: Option<Now>,
    pub(crate) installs: u32,
    pub(crate) outcome: Option<Result<(), Reason>>,
    /// Whether the server knows that this machine has a permit, and may be installing.
    pub(crate) has_permit: bool,
}

/// A pull that was not refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Serve {
    pub(crate) stripe: StripeId,
    pub(crate) next: u32,
    pub(crate) wait: bool,
    /// The chunks held when a pull that may not wait was accepted.
    pub(crate) until: u32,
    /// Whether the pull has a slot.
    pub(crate) active: bool,
    pub(crate) in_flight: u32,
    /// How many chunks it was given in turns.
    pub(crate) turns: u64,
    /// Whether it had nothing to send when others had their turns.
    pub(crate) is_idle: bool,
}

#[derive(Debug)]
pub(crate) enum Message {
    Offer(AddresseeList, Proof),
    OfferReply(OfferReply),
    PartsAccepted,
    /// The first chunk wanted, and whether the puller was told to wait here.
    Pull(u32, bool),
    PullReply(PullReply),
    Chunk(SentChunk),
    Heartbeat(Heartbeat),
    Confirm,
    Bye(Reason),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Timer {
    Heartbeat,
    CheckIn,
    /// The server's offers, as soon as the machine has asked for them.
    Help,
    Hashed,
    Answer(OrderTask),
    Installed,
    /// The server's answer to the report with this number.
    FlowsAnswered(u32),
    /// The server's answer to a request for a better source.
    Sources(SourcesRequest),
}

/// An input to a state machine, or an action from it.
#[derive(Debug)]
#[expect(dead_code, reason = "used when a failure is printed")]
pub(crate) enum Step {
    In(Input),
    Out(Action),
}

/// A small separate generator, so that the machines' seeds and the network's randomness are independent.
#[derive(Debug)]
pub(crate) struct Dice(u64);
impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % sides.max(1)
    }
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.roll(most.as_nanos() as u64 + 1))
    }
}

pub(crate) struct Host {
    pub(crate) machine: SwarmState,
    pub(crate) boot: u32,
    pub(crate) up: bool,
    /// No connection reaches this host; it can still connect to others.
    pub(crate) unreachable: bool,
    /// The host is down, and nothing at its address answers.
    pub(crate) dark: bool,
    pub(crate) may_forward: bool,
    /// The site that it is in, if there are several; see [`World::site_links`].
    pub(crate) site: Option<usize>,
    /// Chunks a second that its link carries out.
    pub(crate) uplink_rate: f64,
    /// Chunks a second that its link carries in.
    pub(crate) downlink_rate: f64,
    pub(crate) character: Character,
    pub(crate) disk: Disk,
    pub(crate) links: BTreeMap<Link, (usize, usize)>,
    pub(crate) gave_up: BTreeSet<Link>,
    pub(crate) next_link: u64,
    pub(crate) serves: BTreeMap<Link, Serve>,
    pub(crate) uplink_busy: bool,
    pub(crate) downlink_free: Now,
    pub(crate) wake: Option<Now>,
    pub(crate) dice: Dice,
    pub(crate) reports: Vec<Event>,
    pub(crate) confirmed_to: Vec<usize>,
    pub(crate) lost_a_source: bool,
    pub(crate) chunks_sent: u64,
    /// What its link carried, as it measures it itself.
    pub(crate) link_meter: LinkMeter,
    /// The number of its last report of what arrives, if the server has not answered it.
    pub(crate) flow_report: Option<u32>,
    pub(crate) flow_reports: u32,
    /// What the server has decided since then.
    pub(crate) changes: Vec<SourceChange>,
    /// What the machines at the other ends reported to hold.
    pub(crate) watermarks: BTreeMap<Link, u32>,
    pub(crate) last_chunk: Now,
    pub(crate) permit_is_withheld: bool,
    /// What installing ends with on this machine.
    pub(crate) outcome: Result<(), Reason>,
    /// Whether others get the content although the order's spread withholds it at first.
    pub(crate) shows_content: bool,
    /// The reason for waiting that was last reported.
    pub(crate) waits: Option<Reason>,
    /// What it tells in its heartbeats, by stripe.
    pub(crate) upstream: Vec<Upstream>,
    history: VecDeque<(Now, Step)>,
}

impl Host {
    pub(crate) fn new(machine: SwarmState, plan: &Plan) -> Self {
        let k = usize::from(plan.stripes);
        Self {
            machine,
            boot: 0,
            up: true,
            unreachable: false,
            dark: false,
            may_forward: true,
            site: None,
            uplink_rate: plan.rate,
            downlink_rate: plan.rate,
            character: Character::Honest,
            disk: Disk { offered: vec![false; k], held: vec![0; k], ..Disk::default() },
            links: BTreeMap::new(),
            gave_up: BTreeSet::new(),
            next_link: 0,
            serves: BTreeMap::new(),
            uplink_busy: false,
            downlink_free: Duration::ZERO,
            wake: None,
            dice: Dice::new(plan.seed),
            reports: Vec::new(),
            confirmed_to: Vec::new(),
            lost_a_source: false,
            chunks_sent: 0,
            link_meter: LinkMeter::default(),
            flow_report: None,
            flow_reports: 0,
            changes: Vec::new(),
            watermarks: BTreeMap::new(),
            last_chunk: Duration::ZERO,
            permit_is_withheld: false,
            outcome: Ok(()),
            shows_content: false,
            waits: None,
            upstream: vec![Upstream::default(); k],
            history: VecDeque::new(),
        }
    }
    /// Restarts the host with only its disk.
    pub(crate) fn restart(&mut self, machine: SwarmState, boot: u32) {
        self.machine = machine;
        self.boot = boot;
        self.up = true;
        self.dark = false;
        self.links.clear();
        self.gave_up.clear();
        self.serves.clear();
        self.uplink_busy = false;
        self.wake = None;
        self.shows_content = false;
        self.upstream.fill(Upstream::default());
        self.flow_report = None;
        self.changes.clear();
    }
    pub(crate) fn is_up(&self, boot: u32) -> bool {
        self.up && self.boot == boot
    }
    pub(crate) fn log(&mut self, now: Now, step: Step) {
        if self.history.len() >= 60 {
            self.history.pop_front();
        }
        self.history.push_back((now, step));
    }
    /// Returns the last events on this host, for failure messages.
    pub(crate) fn history(&self) -> String {
        let line = |(now, step): &(Now, Step)| {
            let line = format!("{:.3} {step:?}", now.as_secs_f64());
            line.chars().take(300).chain(['\n']).collect::<String>()
        };
        self.history.iter().map(line).collect()
    }
}

/// How long the server collects reports before it answers one.
const ADVICE_DELAY: Duration = Duration::from_millis(500);

/// How long a machine checks the signatures of an offer that it has fetched.
const OFFER_CHECK: Duration = Duration::from_millis(20);

/// How often a serving machine sends a heartbeat.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

impl World {
    /// Carries out an action, as the driver would.
    pub(crate) fn act(&mut self, n: usize, action: Action) {
        let boot = self.hosts[n].boot;
        let round_trip = self.plan.latency * 2;
        match action {
            Action::Dial { link, peer, stripe } => {
                let to = number(peer);
                assert_ne!(to, n, "a machine dialled itself");
                let there = &self.hosts[to];
                let pause = if there.dark || there.unreachable { Duration::from_secs(2) } else { round_trip };
                self.after(pause, Happening::Dialled { from: n, boot, link, to, stripe });
            }
            Action::Offer { link, sublist, proof, .. } => self.say(n, link, Message::Offer(sublist, proof)),
            Action::AnswerOffer(link, reply) => self.say(n, link, Message::OfferReply(reply)),
            Action::SendPartsAccepted(link) => self.say(n, link, Message::PartsAccepted),
            Action::Pull { link, stripe, from, wait } => {
                assert_eq!(from, self.held(n, stripe.stripe), "pulls begin at the first missing chunk");
                self.say(n, link, Message::Pull(from, wait));
            }
            Action::Serve { link, stripe, from, wait } => {
                let until = self.shown(n, stripe.stripe);
                if let Some((connection, side)) = self.hosts[n].links.get(&link).copied() {
                    let puller = self.connections[connection].ends[1 - side].host;
                    let is_circle = self.hosts[n].upstream[usize::from(stripe.stripe)].path.contains(&id(puller));
                    assert!(!wait || !is_circle, "{puller} waits at {n}, whose chunks come through it");
                }
                let serve =
                    Serve { stripe, next: from, wait, until, active: true, in_flight: 0, turns: 0, is_idle: true };
                if self.hosts[n].links.contains_key(&link) {
                    self.hosts[n].serves.insert(link, serve);
                    self.say(n, link, Message::PullReply(PullReply::Serving));
                    if !wait && from >= until {
                        self.give(n, LinkInput::Sent(link));
                    }
                    self.send_chunk(n);
                } else {
                    self.give(n, LinkInput::Lost(link, Reason::Unreachable));
                }
            }
            Action::RefusePull(link, reply) => {
                self.hosts[n].serves.remove(&link);
                self.say(n, link, Message::PullReply(reply));
            }
            Action::Confirm(link, _) => self.say(n, link, Message::Confirm),
            Action::Close(link, reason) => {
                self.hosts[n].serves.remove(&link);
                if self.hosts[n].links.contains_key(&link) {
                    self.say(n, link, Message::Bye(reason));
                    self.hosts[n].links.remove(&link);
                } else {
                    self.hosts[n].gave_up.insert(link);
                }
            }
            Action::Run(_, OrderTask::VerifyArtifact) => {
                self.after(Duration::from_millis(1), Happening::Timer(n, boot, Timer::Hashed));
            }
            Action::Run(_, task @ (OrderTask::RequestReceipt | OrderTask::RequestInstallPermit)) => {
                self.after(round_trip, Happening::Timer(n, boot, Timer::Answer(task)));
            }
            Action::Run(_, OrderTask::Install) => {
                assert_eq!(self.hosts[n].disk.installs, 0, "machine {n} installed twice");
                self.after(Duration::from_millis(300), Happening::Timer(n, boot, Timer::Installed));
            }
            Action::SetUpstream(stripe, upstream) => {
                self.hosts[n].upstream[usize::from(stripe.stripe)] = upstream;
            }
            Action::ReportFlows(request) => self.record_flows(n, &request),
            Action::RequestSources(request) => {
                if self.hosts[0].up && self.gives_advice {
                    self.advisor.record_holdup(self.now, id(n), &request);
                    self.after(round_trip + ADVICE_DELAY, Happening::Timer(n, boot, Timer::Sources(request)));
                }
            }
            Action::Report(_, event) => {
                if let Event::Source { stripe, source, .. } = event {
                    self.advisor.record_source(id(n), stripe, source);
                }
                if let Event::SteppedOver { machine, reason: Reason::Unreachable, .. } = event {
                    self.remind(number(machine));
                }
                self.follow_install(n, &event);
                self.hosts[n].lost_a_source |=
                    matches!(event, Event::Source { left: Some(reason), .. } if reason != Reason::Busy);
                self.hosts[n].reports.push(event);
            }
        }
    }
    fn say(&mut self, n: usize, link: Link, message: Message) {
        if let Some((connection, side)) = self.hosts[n].links.get(&link).copied()
            && self.connections[connection].up
        {
            self.send(connection, side, message);
        }
    }
    pub(crate) fn receive(&mut self, connection: usize, side: usize, message: Message) {
        let stripe = self.connections[connection].stripe;
        let (here, there) = (self.connections[connection].ends[side], self.connections[connection].ends[1 - side]);
        let (n, link, peer) = (here.host, here.link, there.host);
        if !self.hosts[n].links.contains_key(&link) && !matches!(message, Message::Chunk(_)) {
            return;
        }
        match message {
            Message::Offer(..) if self.hosts[n].character == Character::Refuser => {
                let reply = OfferReply::Refused { reason: Reason::NotAddressed, detail: "no".into() };
                self.say(n, link, Message::OfferReply(reply));
            }
            Message::Offer(sublist, proof) => {
                assert!(self.is_above(stripe.stripe, peer, n), "the offer came from below");
                let offer = self.offer(n, stripe.stripe, sublist, proof);
                assert_eq!(offer.sublist, self.offer_for(n, stripe.stripe).sublist, "the list was altered in transit");
                assert_eq!(offer.proof, self.offer_for(n, stripe.stripe).proof);
                // The agent stores a valid offer before the state machine answers it, whatever the answer is.
                self.hosts[n].disk.offered[usize::from(stripe.stripe)] = true;
                self.give(n, LinkInput::Offered { link, sender: crate::address_lists::id(peer), offer });
            }
            Message::OfferReply(reply) => self.give(n, LinkInput::OfferAnswered(link, reply)),
            Message::PartsAccepted => self.give(n, LinkInput::PartsAccepted(link)),
            Message::Pull(..) if self.hosts[n].character == Character::Refuser => {
                let reply = PullReply::Refused { reason: Reason::NotAddressed };
                self.say(n, link, Message::PullReply(reply));
            }
            // The agent checks the puller's proof against its own copy of the order.
            Message::Pull(..) if n > 0 && self.hosts[n].disk.offered.iter().all(|offered| !offered) => {
                self.say(n, link, Message::PullReply(PullReply::NotHere));
            }
            Message::Pull(from, wait) => {
                let may_wait = wait || n == 0 || self.is_above(stripe.stripe, n, peer);
                let serve = Serve {
                    stripe,
                    next: from,
                    wait: may_wait,
                    until: 0,
                    active: false,
                    in_flight: 0,
                    turns: 0,
                    is_idle: true,
                };
                self.hosts[n].serves.insert(link, serve);
                self.give(n, LinkInput::Pulled { link, peer: crate::address_lists::id(peer), stripe, from, may_wait });
            }
            Message::PullReply(reply) => self.give(n, LinkInput::PullAnswered(link, reply)),
            Message::Chunk(chunk) => {
                if self.hosts[n].links.contains_key(&link) {
                    self.take_chunk(connection, side, chunk);
                }
            }
            Message::Heartbeat(heartbeat) => {
                self.hosts[n].watermarks.insert(link, heartbeat.watermark);
                self.give(n, LinkInput::Heartbeat(link, heartbeat));
            }
            Message::Confirm => {
                assert!(self.is_verified(peer), "a confirmation was sent before the artifact was verified");
                self.hosts[peer].confirmed_to.push(n);
            }
            Message::Bye(reason) => self.break_connection(connection, Some(1 - side), reason),
        }
    }
    pub(crate) fn timer(&mut self, n: usize, timer: Timer) {
        let boot = self.hosts[n].boot;
        match timer {
            Timer::Heartbeat => {
                let beats: Vec<(Link, u8)> =
                    self.hosts[n].serves.iter().map(|(link, serve)| (*link, serve.stripe.stripe)).collect();
                for (link, stripe) in beats {
                    let upstream = self.hosts[n].upstream[usize::from(stripe)].clone();
                    let heartbeat = match self.hosts[n].character {
                        Character::Boaster => Heartbeat { watermark: u32::MAX, upstream },
                        Character::Miser | Character::LyingMiser => Heartbeat::default(),
                        _ => Heartbeat { watermark: self.shown(n, stripe), upstream },
                    };
                    self.say(n, link, Message::Heartbeat(heartbeat));
                }
                if self.hosts[n].character == Character::LyingMiser {
                    self.complain(n);
                }
                self.after(HEARTBEAT_INTERVAL, Happening::Timer(n, boot, Timer::Heartbeat));
            }
            // A machine without every offer asks the server for help.
            Timer::CheckIn => {
                if n > 0 && self.hosts[0].up && self.now > Duration::from_secs(20) {
                    self.help(n);
                }
                self.after(Duration::from_secs(10), Happening::Timer(n, boot, Timer::CheckIn));
            }
            Timer::Help => {
                if self.hosts[0].up {
                    // It asks because it was told that somebody could not dial it.
                    self.known_undialable.insert(n);
                    self.help(n);
                }
            }
            Timer::Hashed => {
                let now = self.now;
                self.hosts[n].disk.verified.get_or_insert(now);
                if self.plan.spread == Spread::Verified {
                    self.show_content(n);
                }
                self.give(n, OrderInput::ArtifactVerified(ORDER));
            }
            Timer::Answer(task) => {
                let answer = match task {
                    _ if !self.hosts[0].up => OrderInput::RetryLater(ORDER, Reason::ServerAway, String::new()),
                    OrderTask::RequestReceipt => OrderInput::Receipted(ORDER),
                    _ if self.hosts[n].permit_is_withheld => {
                        OrderInput::RetryLater(ORDER, Reason::Halted, String::new())
                    }
                    _ => match self.request_permit(n) {
                        Ok(()) => OrderInput::InstallPermit(ORDER, InstallLane::Own),
                        Err(reason) => OrderInput::RetryLater(ORDER, reason, String::new()),
                    },
                };
                self.give(n, answer);
            }
            Timer::FlowsAnswered(number) => self.answer_flows(n, number),
            Timer::Sources(request) => {
                if self.hosts[0].up {
                    let named = self.advise(n, request.stripe);
                    let stripe = StripeId { order: ORDER, stripe: request.stripe };
                    self.give(n, OrderInput::Sources(stripe, Vec::from_iter(named)));
                }
            }
            Timer::Installed => {
                let outcome = self.hosts[n].outcome;
                self.hosts[n].disk.installs += u32::from(outcome.is_ok());
                self.hosts[n].disk.outcome = Some(outcome);
                self.hosts[n].disk.has_permit = false;
                if self.plan.spread == Spread::AfterInstall {
                    self.show_content(n);
                }
                self.give(n, OrderInput::InstallEnded(ORDER, outcome));
            }
        }
    }
    /// Names a better source, as the server does. Connections of a process that ended break at once, so the server knows.
    fn advise(&mut self, n: usize, stripe: u8) -> Option<MachineId> {
        let is_available = |machine: MachineId| {
            let machine = number(machine);
            let is_there = || self.hosts[machine].up || self.hosts[machine].dark;
            machine == 0 || is_there() && !self.known_undialable.contains(&machine)
        };
        self.advisor.advise(self.now, id(n), stripe, is_available)
    }
    /// Tells the server that nothing arrives from the planned sources.
    fn complain(&mut self, n: usize) {
        for stripe in 0..self.plan.stripes {
            let Some(source) = self.offer_for(n, stripe).proof.ancestors().next_back() else { continue };
            let request = SourcesRequest {
                order: ORDER,
                stripe,
                source,
                rate_percent: 0,
                chunks_per_minute: None,
                held_percent: 0,
                holdup: Holdup::Above,
                in_every_stripe: true,
                starves: true,
            };
            self.advisor.record_holdup(self.now, id(n), &request);
        }
    }
    /// Decides about an install permit as the server does. Its record of permits survives a restart.
    fn request_permit(&mut self, n: usize) -> Result<(), Reason> {
        let others = |what: &dyn Fn(&Host) -> bool| {
            self.hosts.iter().enumerate().skip(1).filter(|(other, host)| *other != n && what(host)).count()
        };
        let tells = |host: &Host| matches!(host.disk.outcome, Some(Err(reason)) if reason.tells_against_release());
        let proof = ReleaseProof {
            proven: others(&|host| host.disk.installs > 0),
            failed: others(&tells),
            installing: others(&|host| host.disk.has_permit),
        };
        may_install(self.plan.spread, proof)?;
        self.hosts[n].disk.has_permit = true;
        if matches!(self.plan.spread, Spread::Proven | Spread::AfterInstall) {
            assert!(proof.installing < proof.proven.max(2), "{} install unproven", proof.installing + 1);
        }
        Ok(())
    }
    /// Does what agent and server do when the machine reports that it waits or installs.
    fn follow_install(&mut self, n: usize, event: &Event) {
        match event {
            Event::Waits { reason: Reason::Busy, .. } => {}
            Event::Waits { reason, .. } => {
                self.hosts[n].waits = Some(*reason);
                self.hosts[n].disk.has_permit = false;
                let decided = !matches!(reason, Reason::ServerAway | Reason::WaitsForProof)
                    && self.hosts[n].disk.verified.is_some();
                if self.plan.spread == Spread::AfterInstall && decided {
                    self.show_content(n);
                }
            }
            Event::Installing => self.hosts[n].waits = None,
            _ => {}
        }
    }
    fn show_content(&mut self, n: usize) {
        self.hosts[n].shows_content = true;
        self.send_chunk(n);
    }
    /// Answers the check-in of a machine that nobody could dial. The machine then asks for its offers.
    pub(crate) fn remind(&mut self, n: usize) {
        if self.hosts[0].up && self.hosts[n].up {
            let pause = self.plan.latency * 4 + OFFER_CHECK;
            self.after(pause, Happening::Timer(n, self.hosts[n].boot, Timer::Help));
        }
    }
    fn help(&mut self, n: usize) {
        if self.hosts[n].machine.complete_offers().next().is_some() {
            return;
        }
        for stripe in 0..self.plan.stripes {
            self.hosts[n].disk.offered[usize::from(stripe)] = true;
            let offer = self.offer_for(n, stripe);
            self.give(n, OrderInput::Restored(offer));
        }
    }
}
