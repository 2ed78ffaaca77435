//! Which machine may be a better source for one that gets much less than others (rule P12).
//!
//! The server answers such requests; the simulated swarm asks the same code. Trees decide who offers to whom; bytes may
//! take better ways. The advisor knows who receives from whom and how much, and so who has upload to spare.

use crate::io::Now;
use banyan_proto::{AddresseeList, MachineId, api::SourcesRequest, frame::Holdup};
use std::{collections::HashMap, time::Duration};

/// The copies that a machine can send in the time in which it receives one, as long as nothing else is known.
const USUAL_COPIES: f64 = 1.0;
/// The most copies that a machine may be asked to send in all.
const MOST_COPIES: f64 = 1.5;
/// What the server may send beyond what the administrator allows, when machines are slow (copies).
const SERVER_EXTRA: f64 = 0.5;
/// The most machines that are named at once.
const MOST_NAMED: usize = 1;
/// A machine that gets less than this share of the best rate is held up.
const HELD_UP: f64 = 0.5;
/// A machine that gets less than this share may share a source that is fully used.
const NEARLY_NOTHING: f64 = 0.3;
/// A machine can be a source if it has this share of what is needed to spare.
const ENOUGH: f64 = 0.7;
/// A source that sends this share of what its uplink carries has no more to give.
const AT_LIMIT: f64 = 0.7;
/// A report counts for this long. Machines repeat it more often.
const RECENT: Duration = Duration::from_secs(8);

/// Who sends a stripe to a machine.
#[derive(Debug, Clone, Copy)]
struct Edge {
    source: MachineId,
    /// How much the machine takes: 1 at the best rate.
    share: f64,
    /// How much of the stripe it still lacked when it began with this source.
    lacked: f64,
    /// What it last said of this source.
    report: Option<Report>,
}

/// A machine's report that it is held up.
#[derive(Debug, Clone, Copy)]
struct Report {
    at: Now,
    holdup: Holdup,
    in_every_stripe: bool,
    /// The rate at which the stripe arrives, in chunks a second, as far as it is reported.
    rate: Option<f64>,
}

impl Report {
    fn is_recent(&self, now: Now) -> bool {
        now.saturating_sub(self.at) < RECENT
    }
}

impl Edge {
    fn recent(&self, now: Now) -> Option<Report> {
        self.report.filter(|report| report.is_recent(now))
    }
}

/// The machines below each source.
type Below = HashMap<MachineId, Vec<(MachineId, Edge)>>;

/// What is known about one machine of an order.
#[derive(Debug, Clone)]
struct Node {
    /// By stripe.
    edges: Vec<Option<Edge>>,
    /// How many copies it can send in the time in which the file arrives at the best rate.
    rate: f64,
    /// How many copies the machines below it take in that time.
    load: f64,
    /// How many copies it may send in all.
    limit: f64,
    /// The most that its uplink carries, in chunks a second, if that is known.
    uplink: Option<f64>,
}

/// The sources of one order.
#[derive(Debug)]
pub struct SourceAdvisor {
    /// One copy of a stripe, in copies of the file.
    unit: f64,
    server: MachineId,
    nodes: HashMap<MachineId, Node>,
}

impl SourceAdvisor {
    /// Begins with the planned senders. `server_copies`: how many copies the server may send.
    #[must_use]
    pub fn new(lists: &[AddresseeList], server_copies: f64) -> Self {
        let server = lists.first().map_or(MachineId([0; 16]), AddresseeList::head);
        let mut advisor = Self { server, unit: 1.0 / lists.len().max(1) as f64, nodes: HashMap::new() };
        let edges = vec![None; lists.len()];
        let node = Node { edges, rate: USUAL_COPIES, load: 0.0, limit: MOST_COPIES, uplink: None };
        for id in lists.iter().flat_map(AddresseeList::ids) {
            advisor.nodes.entry(id).or_insert_with(|| node.clone());
        }
        for (list, stripe) in lists.iter().zip(0..) {
            let mut todo = vec![list.clone()];
            while let Some(list) = todo.pop() {
                for part in list.parts().into_iter().flatten() {
                    advisor.set_source(part.head(), stripe, list.head(), 1.0);
                    todo.push(part);
                }
            }
        }
        if let Some(server) = advisor.nodes.get_mut(&server) {
            (server.rate, server.limit) = (server_copies, server_copies + SERVER_EXTRA);
        }
        advisor
    }
    /// Records the most that a machine's uplink carries, in chunks a second.
    pub fn set_uplink(&mut self, machine: MachineId, rate: f64) {
        if let Some(node) = self.nodes.get_mut(&machine) {
            node.uplink = Some(rate);
        }
    }
    /// Records the source that a machine reports.
    pub fn record_source(&mut self, machine: MachineId, stripe: u8, source: MachineId) {
        if let Some(edge) = self.edge(machine, stripe).filter(|edge| edge.source != source) {
            self.set_source(machine, stripe, source, edge.lacked);
        }
    }
    /// Records that a machine is held up. [`Self::advise`] follows a moment later, so that what others report at the same
    /// time counts, too.
    pub fn record_holdup(&mut self, now: Now, machine: MachineId, request: &SourcesRequest) {
        let (stripe, source) = (request.stripe, request.source);
        let lacks = 1.0 - f64::from(request.held_percent.min(100)) / 100.0;
        if self.edge(machine, stripe).is_none_or(|edge| edge.source != source) {
            self.set_source(machine, stripe, source, lacks);
        }
        self.set_share(machine, stripe, f64::from(request.rate_percent.min(100)) / 100.0);
        if let Some(edge) = self.edge_mut(machine, stripe) {
            edge.lacked = lacks;
            edge.report = Some(Report {
                at: now,
                holdup: request.holdup,
                in_every_stripe: request.in_every_stripe,
                rate: request.chunks_per_minute.map(|chunks| f64::from(chunks) / 60.0),
            });
        }
    }
    /// Names machines that may be better sources of a stripe, the best first, out of those that are available. The first
    /// one is counted as the new source.
    pub fn advise(
        &mut self,
        now: Now,
        machine: MachineId,
        stripe: u8,
        is_available: impl Fn(MachineId) -> bool,
    ) -> Vec<MachineId> {
        let Some(edge) = self.edge(machine, stripe) else { return Vec::new() };
        let Some(report) = edge.report.filter(|report| report.is_recent(now)) else { return Vec::new() };
        let below = self.edges_by_source();
        let is_slow = self.is_slow(now, machine, &below);
        if is_slow {
            self.record_slow(machine, edge.share);
        }
        let helps = match report.holdup {
            _ if is_slow => false,
            Holdup::Here => {
                !self.is_at_limit(edge.source, report, &below) && self.sends_slowly(now, edge.source, &below)
            }
            Holdup::Above => self.is_slow(now, edge.source, &below),
        };
        let gets_little = |node: &&Node| {
            node.edges.iter().flatten().any(|edge| edge.recent(now).is_some_and(|report| report.in_every_stripe))
        };
        if self.nodes.values().filter(gets_little).count() * 2 > self.nodes.len() {
            // Most machines get that little: it is the usual rate.
            return Vec::new();
        }
        // A slow machine takes little from anyone, so it need not take it from the server.
        let spares_server = is_slow && edge.source == self.server;
        if !helps && !spares_server {
            return Vec::new();
        }
        let takes = if helps { self.unit } else { edge.share * self.unit };
        let promised = |id: &MachineId| {
            let edges = below.get(id).into_iter().flatten();
            // A slow machine is moved elsewhere before it has taken everything.
            let is_slow = |id: &MachineId| self.nodes.get(id).is_some_and(|node| node.rate < HELD_UP);
            edges.filter(|(id, _)| !is_slow(id)).map(|(_, edge)| edge.lacked * self.unit).sum::<f64>()
        };
        let more = |id: &MachineId| {
            let is_held_up_here = |edge: &Edge| edge.report.is_some_and(|report| report.holdup == Holdup::Here);
            let complains = below.get(id).into_iter().flatten().any(|(_, edge)| is_held_up_here(edge));
            if edge.share < NEARLY_NOTHING && !complains { 0.5 } else { 0.0 }
        };
        let mut found: Vec<(f64, MachineId)> = self
            .nodes
            .iter()
            .filter(|(id, node)| **id != machine && **id != edge.source && node.rate > takes)
            .filter(|(id, node)| promised(id) + edge.lacked * self.unit <= node.limit + 0.01)
            .filter(|(id, node)| node.rate - node.load + more(id) >= takes * ENOUGH)
            .map(|(id, node)| (node.rate - node.load, *id))
            .filter(|(_, id)| !self.is_held_up(*id, stripe, machine) && is_available(*id))
            .collect();
        let is_server = |id: MachineId| id == self.server;
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then((is_server(a.1), a.1).cmp(&(is_server(b.1), b.1))));
        let named: Vec<MachineId> = found.into_iter().take(MOST_NAMED).map(|(_, id)| id).collect();
        if let Some(best) = named.first() {
            self.set_source(machine, stripe, *best, edge.lacked);
            if !helps {
                self.set_share(machine, stripe, edge.share);
            }
        }
        named
    }
    /// Returns whether a machine's own link is slow: it gets little in every stripe, and less than its source has, while
    /// others get enough from the same source.
    fn is_slow(&self, now: Now, machine: MachineId, below: &Below) -> bool {
        if self.nodes.get(&machine).is_some_and(|node| node.rate < HELD_UP) {
            return true;
        }
        let edges = self.nodes.get(&machine).into_iter().flat_map(|node| node.edges.iter().flatten());
        edges.filter_map(|edge| Some((edge, edge.recent(now)?))).any(|(edge, report)| {
            let others = || below.get(&edge.source).into_iter().flatten().filter(|(id, _)| *id != machine);
            report.in_every_stripe
                && report.holdup == Holdup::Here
                && (others().count() == 0 || others().any(|(_, other)| other.recent(now).is_none()))
        })
    }
    /// Returns whether everyone gets less from a machine than it has, though one of them gets enough elsewhere.
    fn sends_slowly(&self, now: Now, machine: MachineId, below: &Below) -> bool {
        let edges = || below.get(&machine).into_iter().flatten().filter_map(|(_, edge)| edge.recent(now));
        let count = below.get(&machine).map_or(0, Vec::len);
        if self.nodes.get(&machine).is_some_and(|node| node.load > node.rate + self.unit * ENOUGH) {
            return true;
        }
        edges().filter(|report| report.holdup == Holdup::Here).count() == count
            && edges().any(|report| !report.in_every_stripe)
    }
    /// Returns whether a source sends a machine its share of what the source's uplink is known to carry. The plan has
    /// taken that into account.
    fn is_at_limit(&self, source: MachineId, report: Report, below: &Below) -> bool {
        let uplink = self.nodes.get(&source).and_then(|node| node.uplink);
        let count = below.get(&source).map_or(1, Vec::len);
        uplink.zip(report.rate).is_some_and(|(uplink, rate)| rate >= AT_LIMIT * uplink / count as f64)
    }
    /// Records that a machine's link is slow: it takes less in every stripe, and sends less.
    fn record_slow(&mut self, machine: MachineId, share: f64) {
        for stripe in 0..self.stripes() {
            self.set_share(machine, stripe, share);
        }
        if let Some(node) = self.nodes.get_mut(&machine) {
            node.rate = node.rate.min(share.min(HELD_UP / 2.0));
        }
    }
    fn edges_by_source(&self) -> Below {
        let mut found = Below::new();
        for (id, node) in &self.nodes {
            for edge in node.edges.iter().flatten() {
                found.entry(edge.source).or_default().push((*id, *edge));
            }
        }
        found
    }
    fn stripes(&self) -> u8 {
        (1.0 / self.unit) as u8
    }
    fn edge(&self, machine: MachineId, stripe: u8) -> Option<Edge> {
        self.nodes.get(&machine)?.edges.get(usize::from(stripe)).copied()?
    }
    fn edge_mut(&mut self, machine: MachineId, stripe: u8) -> Option<&mut Edge> {
        self.nodes.get_mut(&machine)?.edges.get_mut(usize::from(stripe))?.as_mut()
    }
    fn set_share(&mut self, machine: MachineId, stripe: u8, share: f64) {
        let Some(edge) = self.edge_mut(machine, stripe) else { return };
        let change = share - std::mem::replace(&mut edge.share, share);
        let (source, unit) = (edge.source, self.unit);
        if let Some(node) = self.nodes.get_mut(&source) {
            node.load += change * unit;
        }
    }
    fn set_source(&mut self, machine: MachineId, stripe: u8, source: MachineId, lacked: f64) {
        let edge = Edge { source, share: 1.0, lacked, report: None };
        let slot = self.nodes.get_mut(&machine).and_then(|node| node.edges.get_mut(usize::from(stripe)));
        let Some(before) = slot.map(|slot| slot.replace(edge)) else { return };
        if let Some(before) = before
            && let Some(node) = self.nodes.get_mut(&before.source)
        {
            node.load -= before.share * self.unit;
        }
        if let Some(node) = self.nodes.get_mut(&source) {
            node.load += self.unit;
        }
    }
    /// Returns whether the chunks of `machine` come through `through`, or over a slow edge.
    fn is_held_up(&self, machine: MachineId, stripe: u8, through: MachineId) -> bool {
        let mut at = machine;
        for _ in 0..=self.nodes.len() {
            match self.edge(at, stripe) {
                Some(edge) if edge.source == through || edge.share < HELD_UP => return true,
                Some(edge) => at = edge.source,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::OrderId;

    const NOW: Now = Duration::from_secs(10);

    fn id(n: u8) -> MachineId {
        MachineId([n; 16])
    }
    /// The server 0 feeds 1, which feeds 2 and 5; 2 feeds 3 and 4, and 5 feeds 6 and 7. In the other stripe, the machines
    /// stand in the opposite order.
    fn advisor() -> SourceAdvisor {
        let single = |rest: std::ops::Range<usize>| if rest.start == 1 { rest.len() } else { rest.len().div_ceil(2) };
        let list = |names: [u8; 8]| AddresseeList::build(&names.map(id), single).unwrap();
        SourceAdvisor::new(&[list([0, 1, 2, 3, 4, 5, 6, 7]), list([0, 7, 6, 5, 4, 3, 2, 1])], 1.0)
    }
    fn report(advisor: &mut SourceAdvisor, machine: u8, source: u8, holdup: Holdup, in_every_stripe: bool) {
        let request = SourcesRequest {
            order: OrderId([1; 16]),
            stripe: 0,
            source: id(source),
            rate_percent: 10,
            chunks_per_minute: Some(60),
            held_percent: 10,
            holdup,
            in_every_stripe,
        };
        advisor.record_holdup(NOW, id(machine), &request);
    }

    #[test]
    fn machines_below_a_slow_one_get_another_source_and_the_slow_one_does_not() {
        let mut advisor = advisor();
        report(&mut advisor, 2, 1, Holdup::Here, true);
        report(&mut advisor, 3, 2, Holdup::Above, false);
        assert_eq!(advisor.advise(NOW, id(2), 0, |_| true), []);
        let named = advisor.advise(NOW, id(3), 0, |_| true);
        assert_eq!(named.len(), 1);
        assert!(![0, 2, 3, 4].map(id).contains(&named[0]), "not the server, and nothing below the slow one: {named:?}");
        report(&mut advisor, 4, 2, Holdup::Above, false);
        assert!(!advisor.advise(NOW, id(4), 0, |machine| machine != named[0]).contains(&named[0]), "only if available");
    }

    #[test]
    fn a_source_that_sends_slowly_to_everyone_is_left() {
        let mut advisor = advisor();
        report(&mut advisor, 3, 2, Holdup::Here, false);
        assert_eq!(advisor.advise(NOW, id(3), 0, |_| true), [], "the other machine below it does not complain");
        report(&mut advisor, 4, 2, Holdup::Here, false);
        assert_eq!(advisor.advise(NOW, id(3), 0, |_| true).len(), 1);
    }

    #[test]
    fn a_source_that_sends_what_its_uplink_carries_is_kept() {
        let mut advisor = advisor();
        let uplink = |advisor: &mut SourceAdvisor, rate| {
            advisor.set_uplink(id(2), rate);
            report(advisor, 3, 2, Holdup::Here, false);
            report(advisor, 4, 2, Holdup::Here, false);
            advisor.advise(NOW, id(3), 0, |_| true).len()
        };
        assert_eq!(uplink(&mut advisor, 2.0), 0, "each of the two gets one chunk a second");
        assert_eq!(uplink(&mut advisor, 20.0), 1);
    }

    #[test]
    fn nothing_changes_when_most_machines_are_held_up_or_the_report_is_old() {
        let mut advisor = advisor();
        report(&mut advisor, 2, 1, Holdup::Here, true);
        report(&mut advisor, 3, 2, Holdup::Above, false);
        assert_eq!(advisor.advise(NOW + RECENT, id(3), 0, |_| true), []);
        for machine in [4, 5, 6, 7] {
            report(&mut advisor, machine, 1, Holdup::Here, true);
        }
        assert_eq!(advisor.advise(NOW, id(3), 0, |_| true), []);
    }
}
