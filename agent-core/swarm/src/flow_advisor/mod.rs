//! Which machines of an order change their source, judged by the flows of the whole order (rule P13).
//!
//! Machines report what they receive of each stripe. The server compares these flows: at the end that limits a flow, no
//! other flow is faster. So it learns what each link carries, and finds sources with upload to spare.
//!
//! Every report is a machine's own claim. Reports about unknown machines are ignored, and impossible numbers count as
//! possible ones.

mod demand;
mod flows;
mod free_upload;
mod heads;
mod limits;
mod load;
mod round;
mod slow_flows;
mod source_choice;
#[cfg(test)]
mod tests;

use self::{
    flows::{FlowId, OrderFlows, SERVER},
    heads::HeadChanges,
    limits::Traffic,
    round::Round,
};
use crate::{io::Now, planner::Candidate};
use banyan_proto::{AddresseeList, MachineId};

/// What a machine has received of one stripe since its last reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowReading {
    /// The stripe.
    pub stripe: u8,
    /// The machine that sends it.
    pub source: MachineId,
    /// Bytes a second.
    pub rate: f64,
    /// Whether the source always had more.
    pub waited: bool,
    /// Bytes of the stripe that are missing.
    pub left: f64,
}

/// A machine that is to receive a stripe from another machine than now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The machine.
    pub machine: MachineId,
    /// The stripe.
    pub stripe: u8,
    /// Its new source.
    pub source: MachineId,
}

/// Returns whether a receiver may change from its present source to another one.
pub type MayChange<'a> = &'a dyn Fn(&Change) -> bool;

/// A change of a receiver's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The machine that receives.
    pub receiver: MachineId,
    /// Its present source.
    pub from: MachineId,
    /// The source that it would have then.
    pub to: MachineId,
}

/// The flows of one order, and what they show about the machines' links.
#[derive(Debug)]
pub struct FlowAdvisor {
    flows: OrderFlows,
    heads: HeadChanges,
}

impl FlowAdvisor {
    /// Begins with the plan. `bytes`: the size of the file; `server_copies`: how many copies of it the server may send.
    #[must_use]
    pub fn new(
        server: MachineId,
        candidates: &[Candidate],
        lists: &[AddresseeList],
        bytes: f64,
        server_copies: f64,
    ) -> Self {
        let flows = OrderFlows::new(server, candidates, lists, bytes, server_copies);
        Self { flows, heads: HeadChanges::default() }
    }
    /// Sets how many copies of the file the server may send from now on; infinite for any number.
    pub fn allow_server_copies(&mut self, copies: f64) {
        self.flows.most_server_copies = copies.max(self.flows.server_copies);
    }
    /// Records whether a machine is there, forwards, and can be dialled.
    pub fn record_state(&mut self, machine: MachineId, online: bool, forwards: bool, dialable: bool) {
        let Some(at) = self.flows.place(machine).filter(|at| *at != SERVER) else { return };
        let node = &mut self.flows.nodes[at];
        (node.online, node.forwards, node.dialable) = (online, forwards, dialable);
    }
    /// Records the source that a machine reports.
    pub fn record_source(&mut self, now: Now, machine: MachineId, stripe: u8, source: MachineId) {
        let Some((id, source)) = self.flow_of(machine, stripe).zip(self.flows.place(source)) else { return };
        if id.machine != source {
            self.flows.flow_mut(id).set_source(now, source);
        }
    }
    /// Records that a machine holds a whole stripe.
    pub fn record_complete(&mut self, machine: MachineId, stripe: u8) {
        let Some(id) = self.flow_of(machine, stripe) else { return };
        let flow = self.flows.flow_mut(id);
        (flow.is_complete, flow.left, flow.rate, flow.waited) = (true, 0.0, 0.0, false);
    }
    /// Records a reading. One that names another source than the machine's last report does not count.
    pub fn record_reading(&mut self, now: Now, machine: MachineId, reading: &FlowReading) {
        let Some((id, source)) = self.flow_of(machine, reading.stripe).zip(self.flows.place(reading.source)) else {
            return;
        };
        self.flows.record_reading(now, id, source, reading);
    }
    /// Returns who receives from a machine, or did until it was complete, and the share of each one's content that comes
    /// from there.
    pub fn receivers_of(&self, machine: MachineId) -> Vec<(MachineId, f64)> {
        let Some(source) = self.flows.place(machine) else { return Vec::new() };
        let share = |node: &flows::Node| {
            let from = node.flows.iter().filter(|flow| flow.source == source).count();
            (from > 0).then(|| (node.id, from as f64 / node.flows.len() as f64))
        };
        self.flows.nodes.iter().skip(1).filter_map(share).collect()
    }
    /// Returns the machines of the order, without the server.
    pub fn machines(&self) -> impl Iterator<Item = MachineId> + '_ {
        self.flows.nodes.iter().skip(1).map(|node| node.id)
    }
    /// Returns which machines change their source now. `may`: whether a receiver may leave its present source for another
    /// one, and can connect to that one.
    pub fn advise(&mut self, now: Now, may: MayChange<'_>) -> Vec<Move> {
        self.flows.begin(now);
        let traffic = Traffic::of(&self.flows);
        limits::learn(&mut self.flows, &traffic);
        let mut round = Round::new(&mut self.flows, traffic, may);
        round.relieve_overloaded_sources();
        round.replace_slow_sources();
        round.use_free_upload();
        round.relieve_server_of_slow_machines();
        round.unload_server();
        round.unload_machines();
        self.heads.run(&mut round);
        round.moves
    }
    fn flow_of(&self, machine: MachineId, stripe: u8) -> Option<FlowId> {
        let machine = self.flows.place(machine).filter(|at| *at != SERVER)?;
        let stripe = usize::from(stripe);
        (stripe < self.flows.stripes).then_some(FlowId { machine, stripe })
    }
}
