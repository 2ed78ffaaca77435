//! The simulated server's part in choosing sources: it takes reports of what machines receive, and answers each one when
//! the machine should change a source, or after a moment (rule P12).

use crate::{
    address_lists::id,
    chunk_transfer::CHUNK_BYTES,
    simulated_host::Timer,
    simulated_network::{Happening, ORDER, World},
};
use banyan_proto::{
    Address, AddresseeList, Reach,
    api::{FlowsRequest, SourceChange},
};
use banyan_swarm::{
    OrderInput,
    flow_advisor::{FlowAdvisor, FlowReading},
    planner::{Candidate, Site},
};
use std::time::Duration;

/// How long the server keeps a report without an answer.
const HOLD: Duration = Duration::from_millis(500);
/// How often the server looks for better sources at most.
const ADVICE: Duration = Duration::from_millis(250);
/// How long a machine waits when the server is away.
const AWAY: Duration = Duration::from_secs(5);

/// Returns candidates of which nothing is known, of one site.
pub(crate) fn unknown_candidates(machines: usize) -> Vec<Candidate> {
    let site = |n: usize| Site::of(&[format!("10.0.0.{}:1", n % 250 + 1).parse::<Address>().unwrap()]);
    let candidate = |n: usize| Candidate {
        id: id(n),
        site: site(n),
        online: true,
        forwards: true,
        reach: Reach::Everyone,
        down: None,
        up: None,
    };
    (1..=machines).map(candidate).collect()
}

/// Returns an advisor for these lists.
pub(crate) fn advisor(candidates: &[Candidate], lists: &[AddresseeList], chunks: u32, copies: f64) -> FlowAdvisor {
    FlowAdvisor::new(id(0), candidates, lists, f64::from(chunks) * CHUNK_BYTES as f64, copies)
}

impl World {
    /// Records what a machine receives, and keeps the report until there is something to answer.
    pub(crate) fn record_flows(&mut self, n: usize, request: &FlowsRequest) {
        self.hosts[n].flow_reports += 1;
        let (number, boot) = (self.hosts[n].flow_reports, self.hosts[n].boot);
        self.hosts[n].flow_report = Some(number);
        if !self.hosts[0].up {
            return self.after(AWAY, Happening::Timer(n, boot, Timer::FlowsAnswered(number)));
        }
        for flow in &request.flows {
            let chunks = self.chunks_of(flow.stripe);
            if flow.held >= chunks {
                self.flow_advisor.record_complete(id(n), flow.stripe);
                continue;
            }
            self.flow_advisor.record_source(self.now, id(n), flow.stripe, flow.source);
            if let Some(rate) = flow.chunks_per_minute {
                let rate = f64::from(rate) / 60.0 * CHUNK_BYTES as f64;
                let left = f64::from(chunks - flow.held) * CHUNK_BYTES as f64;
                let reading = FlowReading { stripe: flow.stripe, source: flow.source, rate, waited: flow.waits, left };
                self.flow_advisor.record_reading(self.now, id(n), &reading);
            }
        }
        self.after(HOLD, Happening::Timer(n, boot, Timer::FlowsAnswered(number)));
        self.advise_flows();
    }
    fn advise_flows(&mut self) {
        if !self.gives_advice || self.now < self.advised_at + ADVICE {
            return;
        }
        self.advised_at = self.now;
        for n in 1..self.hosts.len() {
            let forwards = self.hosts[n].may_forward;
            let is_dialable = !self.known_undialable.contains(&n);
            self.flow_advisor.record_state(id(n), self.hosts[n].up || self.hosts[n].dark, forwards, is_dialable);
        }
        for change in self.flow_advisor.advise(self.now, &|_| true) {
            let n = crate::address_lists::number(change.machine);
            self.hosts[n].changes.push(SourceChange { stripe: change.stripe, source: change.source });
            if let Some(number) = self.hosts[n].flow_report {
                let boot = self.hosts[n].boot;
                self.after(self.plan.latency * 2, Happening::Timer(n, boot, Timer::FlowsAnswered(number)));
            }
        }
    }
    /// Answers a report, unless that was done earlier.
    pub(crate) fn answer_flows(&mut self, n: usize, number: u32) {
        if self.hosts[n].flow_report == Some(number) {
            self.hosts[n].flow_report = None;
            let changes = std::mem::take(&mut self.hosts[n].changes);
            self.give(n, OrderInput::FlowsAnswered(ORDER, changes));
        }
    }
}
