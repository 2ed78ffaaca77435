//! The rates that a plan leads to when every link is a pipe: children share their sender's uplink and their own
//! downlink max-min fairly, and nobody forwards faster than it receives.

use super::{SERVER, machine_number};
use banyan_proto::AddresseeList;

/// The rates of a network, in any one unit. Machines are known by their number.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) server: f64,
    pub(super) down: Vec<f64>,
    /// Zero for a machine that does not forward.
    pub(super) up: Vec<f64>,
}

/// One stripe on its way to one machine.
struct Edge {
    /// The sender; `None` for the server.
    from: Option<usize>,
    to: usize,
    /// The edge on which the sender receives the stripe.
    above: Option<usize>,
    rate: Option<f64>,
}

impl Network {
    /// Returns when each machine holds a file of size 1, if all rates stay as they are at the start.
    pub(super) fn times(&self, lists: &[AddresseeList]) -> Vec<f64> {
        let mut edges = Vec::new();
        lists.iter().for_each(|list| self.add_edges(list, &mut edges));
        self.fill(&mut edges);
        let stripe = 1.0 / lists.len() as f64;
        let mut times = vec![0_f64; self.down.len()];
        for edge in edges {
            times[edge.to] = times[edge.to].max(stripe / edge.rate.unwrap_or(0.0));
        }
        times
    }
    /// Adds a stripe's edges. The parts below a machine that does not forward stay with its sender (rule P4).
    fn add_edges(&self, list: &AddresseeList, edges: &mut Vec<Edge>) {
        let mut todo = vec![(list.clone(), None, None)];
        while let Some((list, from, above)) = todo.pop() {
            let sender = if list.head() == SERVER {
                (None, None)
            } else {
                let to = machine_number(list.head());
                edges.push(Edge { from, to, above, rate: None });
                if self.up[to] > 0.0 { (Some(to), Some(edges.len() - 1)) } else { (from, above) }
            };
            todo.extend(list.parts().into_iter().flatten().map(|part| (part, sender.0, sender.1)));
        }
    }
    /// Raises all rates together. A full link stops its edges, and an edge that stops stops those that it feeds.
    fn fill(&self, edges: &mut [Edge]) {
        let machines = self.down.len();
        let mut fed = vec![vec![]; edges.len()];
        // Links: the uplinks, the downlinks, the server's uplink.
        let capacity = [&self.up[..], &self.down, &[self.server]].concat();
        let mut used = vec![0.0; capacity.len()];
        let mut active = vec![vec![]; capacity.len()];
        let links = |edge: &Edge| [edge.from.unwrap_or(2 * machines), machines + edge.to];
        for (at, edge) in edges.iter().enumerate() {
            edge.above.into_iter().for_each(|above| fed[above].push(at));
            links(edge).into_iter().for_each(|link| active[link].push(at));
        }
        let share = |link: usize, used: &[f64], active: &[Vec<usize>]| {
            let room: f64 = capacity[link] - used[link];
            room / active[link].len() as f64
        };
        while let Some(full) = (0..capacity.len())
            .filter(|&link| !active[link].is_empty())
            .min_by(|&a, &b| share(a, &used, &active).total_cmp(&share(b, &used, &active)))
        {
            let level = share(full, &used, &active);
            let mut stopped = active[full].clone();
            while let Some(at) = stopped.pop() {
                if edges[at].rate.is_none() {
                    edges[at].rate = Some(level);
                    for link in links(&edges[at]) {
                        used[link] += level;
                        active[link].retain(|&other| other != at);
                    }
                    stopped.extend(&fed[at]);
                }
            }
        }
    }
    /// Returns the time before which no plan lets this machine finish, if all machines finish as late as the last.
    pub(super) fn bound(&self, machine: usize) -> f64 {
        let all = self.down.len() as f64 / (self.server + self.up.iter().sum::<f64>());
        all.max(1.0 / self.server).max(1.0 / self.down[machine])
    }
}
