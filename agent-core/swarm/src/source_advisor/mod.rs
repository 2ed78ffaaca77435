//! Which machine may be a source for one that gets nothing (rules P12, P13). Today's machines ask in no other case; older
//! ones also ask when they get much less than others.
//!
//! The server answers such requests; the simulated swarm asks the same code. Trees decide who offers to whom; bytes may
//! take better ways. `evidence` is what the server knows of who receives from whom and how much, `judgement` finds who is
//! the reason when a machine gets too little, and [`SourceAdvisor::advise`] chooses a machine that has upload to spare.

mod evidence;
mod judgement;

use crate::io::Now;
use banyan_proto::{AddresseeList, MachineId, api::SourcesRequest, frame::Holdup};
use evidence::{Edge, Evidence, Node};
use judgement::Judgement;

/// A machine that gets less than this share may share a source that is fully used.
const NEARLY_NOTHING: f64 = 0.3;
/// A machine can be a source if it has this share of what is needed to spare.
const ENOUGH: f64 = 0.7;

/// What a machine needs from a new source.
struct Need {
    machine: MachineId,
    stripe: u8,
    /// Its present source and share.
    edge: Edge,
    /// How many copies it takes from the new source in the time in which the file arrives at the best rate.
    takes: f64,
    /// What the present source gets, if it withholds that: the machine may take its place.
    vacancy: Option<Edge>,
}

/// Chooses the sources of one order.
#[derive(Debug)]
pub struct SourceAdvisor {
    evidence: Evidence,
    /// Machines pass chunks on before they have all, so one without chunks is a bad source.
    is_cut_through: bool,
}

impl SourceAdvisor {
    /// Begins with the planned senders. `server_copies`: how many copies the server may send. `is_cut_through`: whether
    /// machines pass chunks on before they have all.
    #[must_use]
    pub fn new(lists: &[AddresseeList], server_copies: f64, is_cut_through: bool) -> Self {
        Self { evidence: Evidence::new(lists, server_copies), is_cut_through }
    }
    /// Records the most that a machine's uplink carries, in chunks a second.
    pub fn set_uplink(&mut self, machine: MachineId, rate: f64) {
        if let Some(node) = self.evidence.nodes.get_mut(&machine) {
            node.uplink = Some(rate);
        }
    }
    /// Records the source that a machine reports.
    pub fn record_source(&mut self, machine: MachineId, stripe: u8, source: MachineId) {
        self.evidence.record_source(machine, stripe, source);
    }
    /// Records that a machine is held up. [`Self::advise`] follows a moment later, so that what others report at the same
    /// time counts, too.
    pub fn record_holdup(&mut self, now: Now, machine: MachineId, request: &SourcesRequest) {
        self.evidence.record_holdup(now, machine, request);
    }
    /// Names a machine that may be a better source of a stripe, out of those that are available. It is counted as the new
    /// source.
    pub fn advise(
        &mut self,
        now: Now,
        machine: MachineId,
        stripe: u8,
        is_available: impl Fn(MachineId) -> bool,
    ) -> Option<MachineId> {
        let mut edge = self.evidence.edge(machine, stripe)?;
        let report = edge.recent(now)?;
        let is_slow = Judgement::new(&self.evidence, now).is_slow(machine);
        if is_slow {
            self.evidence.record_slow(machine, edge.share);
        }
        let judgement = Judgement::new(&self.evidence, now);
        let is_withheld = self.is_cut_through && judgement.withholds(stripe, &edge, report);
        let helps = is_withheld || !is_slow && judgement.gives_too_little(&edge, report);
        // A slow machine takes little from anyone, so it need not take it from the server.
        let spares_server = is_slow && edge.source == self.evidence.server;
        if !helps && !spares_server || judgement.is_little_usual() && !is_withheld {
            return None;
        }
        if is_withheld {
            edge.share = 0.0;
        }
        let takes = if helps { self.evidence.unit } else { edge.share * self.evidence.unit };
        let vacancy = self.evidence.edge(edge.source, stripe).filter(|_| is_withheld);
        let named = self.choose(&judgement, &Need { machine, stripe, edge, takes, vacancy }, is_available);
        if is_withheld {
            self.evidence.record_failure(edge.source);
        }
        let named = named?;
        if vacancy.is_some_and(|vacancy| vacancy.source == named) {
            self.evidence.record_replaced(edge.source, stripe);
        }
        self.evidence.record_trial(machine, stripe, named, edge.lacked);
        if !helps {
            self.evidence.set_share(machine, stripe, edge.share);
        }
        Some(named)
    }
    /// Returns the machine with the most upload to spare whose own chunks come neither through the machine in need nor
    /// over a slow edge. Machines that failed others come after those that did not, and the server comes last.
    fn choose(
        &self,
        judgement: &Judgement<'_>,
        need: &Need,
        is_available: impl Fn(MachineId) -> bool,
    ) -> Option<MachineId> {
        let Need { machine, stripe, edge, .. } = *need;
        let is_held_up = |id| match need.vacancy {
            Some(_) => judgement.is_starved(id, stripe, machine, edge.source),
            None => judgement.is_held_up(id, stripe, machine),
        };
        let candidate = |(id, node): (&MachineId, &Node)| {
            let spare = self.vacant_place(need, *id, node).or_else(|| self.spare(judgement, need, *id, node))?;
            let is_possible = *id != machine && *id != edge.source && !is_held_up(*id) && is_available(*id);
            let complains = self.evidence.edge(*id, stripe).is_some_and(|edge| edge.recent(judgement.now).is_some());
            is_possible.then_some((node.failures, spare, (complains, *id == self.evidence.server, *id)))
        };
        let candidates = self.evidence.nodes.iter().filter_map(candidate);
        let best = candidates.min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        best.map(|(.., (.., id))| id)
    }
    /// Returns what a machine can send instead of feeding a source that withholds it from the machine in need. It then
    /// sends no more than planned, apart from what the former receiver takes all the same.
    fn vacant_place(&self, need: &Need, id: MachineId, node: &Node) -> Option<f64> {
        let vacancy = need.vacancy.filter(|vacancy| vacancy.source == id)?;
        let spare = node.planned - node.load + vacancy.share * self.evidence.unit;
        (spare + 0.01 >= need.takes).then_some(spare)
    }
    /// Returns what a machine has to spare, if it is enough. The server sends more than planned only to those whose links
    /// are slow, or whose sources are.
    fn spare(&self, judgement: &Judgement<'_>, need: &Need, id: MachineId, node: &Node) -> Option<f64> {
        let spare = node.rate - node.load;
        let is_enough = node.rate >= need.takes
            && (need.vacancy.is_none() || id != self.evidence.server)
            && self.promised(judgement, id) + need.edge.lacked * self.evidence.unit <= node.limit + 0.01
            && spare + Self::shared_load(judgement, need, id) >= need.takes * ENOUGH;
        is_enough.then_some(spare)
    }
    /// Returns how many copies a machine has still been asked to send. A slow receiver is moved elsewhere before it has
    /// taken everything.
    fn promised(&self, judgement: &Judgement<'_>, id: MachineId) -> f64 {
        let is_slow = |id: &MachineId| self.evidence.nodes.get(id).is_some_and(Node::is_slow);
        let receivers = judgement.receivers(id).iter();
        receivers.filter(|(id, _)| !is_slow(id)).map(|(_, edge)| edge.lacked * self.evidence.unit).sum()
    }
    /// Returns how much more a fully used source can give to a machine that gets nearly nothing.
    fn shared_load(judgement: &Judgement<'_>, need: &Need, id: MachineId) -> f64 {
        let complains = judgement.receivers(id).iter().any(|(_, edge)| edge.is_held_up(Holdup::Here));
        if need.edge.share < NEARLY_NOTHING && !complains { 0.5 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{evidence::RECENT, *};
    use banyan_proto::OrderId;
    use std::time::Duration;

    const NOW: Now = Duration::from_secs(100);

    fn id(n: u8) -> MachineId {
        MachineId([n; 16])
    }
    /// The server 0 feeds 1, which feeds 2 and 5; 2 feeds 3 and 4, and 5 feeds 6 and 7. In the other stripe, the machines
    /// stand in the opposite order.
    fn advisor() -> SourceAdvisor {
        let single = |rest: std::ops::Range<usize>| if rest.start == 1 { rest.len() } else { rest.len().div_ceil(2) };
        let list = |names: [u8; 8]| AddresseeList::build(&names.map(id), single).unwrap();
        SourceAdvisor::new(&[list([0, 1, 2, 3, 4, 5, 6, 7]), list([0, 7, 6, 5, 4, 3, 2, 1])], 1.0, true)
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
            starves: false,
        };
        advisor.record_holdup(NOW, id(machine), &request);
    }
    fn starve(advisor: &mut SourceAdvisor, machine: u8, source: u8, holdup: Holdup, seconds: u32) {
        let request = SourcesRequest {
            order: OrderId([1; 16]),
            stripe: 0,
            source: id(source),
            rate_percent: 0,
            chunks_per_minute: None,
            held_percent: 0,
            holdup,
            in_every_stripe: false,
            starves: true,
        };
        for second in (0..=seconds).step_by(5) {
            advisor.record_holdup(NOW - Duration::from_secs((seconds - second).into()), id(machine), &request);
        }
    }

    #[test]
    fn a_source_that_withholds_chunks_is_left_and_one_that_starves_itself_is_kept() {
        let advise = |advisor: &mut SourceAdvisor| advisor.advise(NOW, id(3), 0, |_| true);
        let mut starving = advisor();
        starve(&mut starving, 3, 2, Holdup::Above, 10);
        assert_eq!(advise(&mut starving), None, "the source may need some time to find another source itself");
        let mut starving = advisor();
        starve(&mut starving, 3, 2, Holdup::Above, 15);
        let named = advise(&mut starving).unwrap();
        assert!(![2, 3, 4].map(id).contains(&named), "{named:?}");
        for (holdup, seconds, is_left) in
            [(Holdup::Above, 20, false), (Holdup::Above, 25, true), (Holdup::Here, 25, false)]
        {
            let mut both = advisor();
            starve(&mut both, 2, 1, holdup, seconds);
            starve(&mut both, 3, 2, Holdup::Above, seconds);
            assert_eq!(advise(&mut both).is_some(), is_left, "{holdup:?} for {seconds} seconds");
        }
        // The server has everything, so 1 lies.
        let mut lied_to = advisor();
        starve(&mut lied_to, 1, 0, Holdup::Above, 60);
        starve(&mut lied_to, 2, 1, Holdup::Above, 15);
        assert!(lied_to.advise(NOW, id(2), 0, |_| true).is_some());
        let mut later = advisor();
        later.is_cut_through = false;
        starve(&mut later, 3, 2, Holdup::Above, 60);
        assert_eq!(advise(&mut later), None, "the source has none to pass on until it has all");
    }

    #[test]
    fn a_machine_that_was_named_and_delivers_nothing_is_not_named_again_at_once() {
        let mut advisor = advisor();
        let mut named = Vec::new();
        for _ in 0..4 {
            starve(&mut advisor, 3, 2, Holdup::Above, 15);
            named.extend(advisor.advise(NOW, id(3), 0, |_| true));
        }
        let mut once = named.clone();
        once.sort_unstable();
        once.dedup();
        assert!(once.len() == named.len() && once.len() > 1, "{named:?}");
    }

    #[test]
    fn each_machine_that_withholds_chunks_costs_the_server_one_more_copy_at_most() {
        let mut advisor = advisor();
        let server_alone = |machine| machine == id(0);
        starve(&mut advisor, 2, 1, Holdup::Above, 30);
        assert_eq!(advisor.advise(NOW, id(2), 0, server_alone), Some(id(0)), "2 takes the place of 1");
        advisor.record_source(id(2), 0, id(0));
        // Nobody else below 1 is sent to the server.
        for (machine, source) in [(5, 1), (6, 5), (7, 5), (3, 1), (4, 1), (6, 1), (7, 1)] {
            starve(&mut advisor, machine, source, Holdup::Above, 30);
            assert_eq!(advisor.advise(NOW, id(machine), 0, server_alone), None, "{machine} accuses {source}");
        }
    }

    #[test]
    fn machines_below_a_slow_one_get_another_source_and_the_slow_one_does_not() {
        let mut advisor = advisor();
        report(&mut advisor, 2, 1, Holdup::Here, true);
        report(&mut advisor, 3, 2, Holdup::Above, false);
        assert_eq!(advisor.advise(NOW, id(2), 0, |_| true), None);
        let named = advisor.advise(NOW, id(3), 0, |_| true).unwrap();
        assert!(![0, 2, 3, 4].map(id).contains(&named), "not the server, and nothing below the slow one: {named:?}");
        report(&mut advisor, 4, 2, Holdup::Above, false);
        assert_ne!(advisor.advise(NOW, id(4), 0, |machine| machine != named), Some(named), "only if available");
    }

    #[test]
    fn a_source_that_sends_slowly_to_everyone_is_left() {
        let mut advisor = advisor();
        report(&mut advisor, 3, 2, Holdup::Here, false);
        assert_eq!(advisor.advise(NOW, id(3), 0, |_| true), None, "the other machine below it does not complain");
        report(&mut advisor, 4, 2, Holdup::Here, false);
        assert!(advisor.advise(NOW, id(3), 0, |_| true).is_some());
    }

    #[test]
    fn a_source_that_sends_what_its_uplink_carries_is_kept() {
        let mut advisor = advisor();
        let uplink = |advisor: &mut SourceAdvisor, rate| {
            advisor.set_uplink(id(2), rate);
            report(advisor, 3, 2, Holdup::Here, false);
            report(advisor, 4, 2, Holdup::Here, false);
            advisor.advise(NOW, id(3), 0, |_| true).is_some()
        };
        assert!(!uplink(&mut advisor, 2.0), "each of the two gets one chunk a second");
        assert!(uplink(&mut advisor, 20.0));
    }

    #[test]
    fn nothing_changes_when_most_machines_are_held_up_or_the_report_is_old() {
        let mut advisor = advisor();
        report(&mut advisor, 2, 1, Holdup::Here, true);
        report(&mut advisor, 3, 2, Holdup::Above, false);
        assert_eq!(advisor.advise(NOW + RECENT, id(3), 0, |_| true), None);
        for machine in [4, 5, 6, 7] {
            report(&mut advisor, machine, 1, Holdup::Here, true);
        }
        assert_eq!(advisor.advise(NOW, id(3), 0, |_| true), None);
    }
}
