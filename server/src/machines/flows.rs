//! Takes reports of what machines receive, and tells machines to change their sources (rules P12, P13).

use crate::{
    deployments::{active_orders::ActiveOrder, order_lifecycle::OrderLifecycle, policies::GroupPolicies},
    identity::registry::Registry,
    machines::site_budgets::SiteBudgets,
    net::connections::Connections,
    refusal::Refusal,
};
use banyan_proto::{
    MachineId, Reach, ServerCopies, UnixSeconds,
    api::{Flow, FlowsReply, FlowsRequest, SourceChange},
};
use banyan_swarm::{
    flow_advisor::{Change, FlowAdvisor, FlowReading},
    known_rates,
    planner::{Candidate, Site},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a report is kept without an answer: long enough that all machines of an order together send about 200
/// reports a second.
const SHORTEST_HOLD: Duration = Duration::from_millis(500);
const HOLD_EACH: Duration = Duration::from_millis(5);
const LONGEST_HOLD: Duration = Duration::from_secs(15);

/// Answers reports of what machines receive.
pub(crate) struct Flows {
    registry: Arc<Registry>,
    policies: Arc<GroupPolicies>,
    connections: Connections,
    orders: Arc<OrderLifecycle>,
    site_budgets: Arc<SiteBudgets>,
    started: Instant,
}

impl Flows {
    pub(crate) fn new(
        registry: Arc<Registry>,
        policies: Arc<GroupPolicies>,
        connections: Connections,
        orders: Arc<OrderLifecycle>,
        site_budgets: Arc<SiteBudgets>,
    ) -> Self {
        Self { registry, policies, connections, orders, site_budgets, started: Instant::now() }
    }

    /// Records what a machine receives. Returns when it should change a source, or after a moment.
    pub(crate) async fn answer(&self, machine: MachineId, request: &FlowsRequest) -> Result<FlowsReply, Refusal> {
        let open = self.orders.find_active(request.order, machine).await?;
        let machines = open.tree(0).map_or(1, |tree| tree.list().len());
        let hold = HOLD_EACH.saturating_mul(u32::try_from(machines).unwrap_or(u32::MAX));
        let is_addressee = open.tree(0).is_some_and(|tree| tree.planned_sender(machine).is_some());
        // Machines that show chunks only when they have all advance in an order that other sources do not change.
        if !is_addressee || open.row.order.spread.withholds() {
            tokio::time::sleep(LONGEST_HOLD).await;
            return Ok(FlowsReply::default());
        }
        self.record(&open, machine, &request.flows);
        self.advise(&open);
        let wake = open.flows().wait(machine);
        drop(tokio::time::timeout(hold.clamp(SHORTEST_HOLD, LONGEST_HOLD), wake.notified()).await);
        let changes = open.flows().take(machine);
        let hints = self.registry.hints(changes.iter().map(|change| change.source));
        Ok(FlowsReply { changes, hints })
    }

    fn record(&self, open: &ActiveOrder, machine: MachineId, flows: &[Flow]) {
        let now = self.started.elapsed();
        let mut state = open.flows();
        let advisor = state.advisor(|| self.begin(open));
        let stripes = u8::try_from(open.trees.len()).unwrap_or(1);
        for flow in flows.iter().filter(|flow| flow.stripe < stripes) {
            let left = open.artifact.stripe_len(stripes, flow.stripe).saturating_sub(flow.held);
            if left == 0 {
                advisor.record_complete(machine, flow.stripe);
                continue;
            }
            advisor.record_source(now, machine, flow.stripe, flow.source);
            if let Some(chunks) = flow.chunks_per_minute {
                let bytes = |chunks: f64| chunks * f64::from(open.artifact.chunk_size);
                let reading = FlowReading {
                    stripe: flow.stripe,
                    source: flow.source,
                    rate: bytes(f64::from(chunks) / 60.0),
                    waited: flow.waits,
                    left: bytes(f64::from(left)),
                };
                advisor.record_reading(now, machine, &reading);
            }
        }
    }

    /// Begins with what is known of the order's machines.
    fn begin(&self, open: &ActiveOrder) -> FlowAdvisor {
        let lists: Vec<_> = open.trees.iter().map(|tree| tree.list().clone()).collect();
        let server = open.row.order.server;
        let ids = lists.first().into_iter().flat_map(|list| list.ids()).filter(|id| *id != server);
        let candidates: Vec<Candidate> = ids.map(|id| self.candidate(id)).collect();
        FlowAdvisor::new(server, &candidates, &lists, open.artifact.size as f64, open.server_copies().as_f64())
    }

    fn candidate(&self, id: MachineId) -> Candidate {
        let now = UnixSeconds::now();
        let row = self.registry.get(id);
        let rates = row.as_ref().map(|row| row.rates).unwrap_or_default();
        Candidate {
            id,
            site: Site::of(row.as_ref().map_or(&[][..], |row| &row.addresses)),
            online: self.is_there(id),
            forwards: row.as_ref().is_some_and(|row| self.policies.lets_forward(&row.assigned)),
            reach: row.as_ref().map_or(Reach::Everyone, |row| row.reach.reach(now)),
            down: known_rates::current(rates.down, now),
            up: known_rates::current(rates.up, now),
        }
    }

    /// Returns how many copies of an order the server may send now. Orders with a free choice leave the server's link to
    /// the others.
    fn server_copies(&self, open: &ActiveOrder) -> ServerCopies {
        let is_busy = |other: &Arc<ActiveOrder>| other.id() != open.id() && other.is_being_sent();
        match open.server_copies() {
            ServerCopies::Auto if self.orders.active.all().iter().any(is_busy) => ServerCopies::ONE,
            copies => copies,
        }
    }

    fn is_there(&self, id: MachineId) -> bool {
        self.connections.is_online(id) && self.registry.exclusion(id).is_none()
    }

    /// Looks for better sources, if it is time for that.
    fn advise(&self, open: &ActiveOrder) {
        let now = UnixSeconds::now();
        let server = open.row.order.server;
        let mut state = open.flows();
        let machines = open.tree(0).map_or(1, |tree| tree.list().len());
        let Some(advisor) = state.due(machines) else { return };
        let machines: Vec<MachineId> = advisor.machines().collect();
        for id in machines {
            let candidate = self.candidate(id);
            advisor.record_state(id, candidate.online, candidate.forwards, candidate.reach != Reach::Nobody);
        }
        advisor.allow_server_copies(self.server_copies(open).as_f64());
        let may = |&Change { receiver: machine, from: present, to: source }: &Change| {
            let is_site_kept = present == server
                || self.registry.site(present) != self.registry.site(machine)
                || self.registry.site(source) == self.registry.site(machine);
            let can_receive = source == server || is_site_kept && self.registry.can_dial(machine, source, now);
            can_receive && self.site_budgets.may_cross(machine, present, source)
        };
        let moves = advisor.advise(self.started.elapsed(), &may);
        for change in moves {
            let (machine, source) = (self.registry.name(change.machine), self.registry.name(change.source));
            tracing::debug!(order = %open.id(), machine, stripe = change.stripe, source, "a machine changes its source");
            state.add(change.machine, SourceChange { stripe: change.stripe, source: change.source });
        }
    }
}
