//! Accusations: where on an offer's path the rolling code was changed.
//!
//! A wrong code tells where, not who. It was right at every machine whose own code the server accepted. So suspicion
//! falls on the edge below the lowest of these on the path, and both its ends are named: the upper one may have sent a
//! wrong code, and the lower one may have changed it.
//!
//! A machine can ask for its receipt before those above it do. So an accusation waits a little for their codes.

use crate::{
    deployments::active_orders::ActiveOrder,
    identity::registry::Registry,
    suspicion_log::{Event, SuspicionLog},
};
use banyan_proto::{MachineId, OrderId, Reason, api::Way};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long an accusation waits for the codes of the machines above.
const WAIT: Duration = Duration::from_secs(10);
/// Most accusations that wait at once; more are left out.
const MAX_WAITING: usize = 1000;

/// Whose accusation waits; a second one of the same machine adds nothing.
type Accuser = (OrderId, u8, MachineId);

/// The edge that suspicion falls on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Edge {
    upper: MachineId,
    lower: MachineId,
}

/// Finds the edge below the lowest machine on the path whose code was accepted. The path begins at the server, whose
/// code is right, and ends above `machine`.
fn find_edge(path: &[MachineId], machine: MachineId, is_accepted: impl Fn(MachineId) -> bool) -> Option<Edge> {
    let lowest = path.iter().rposition(|&hop| is_accepted(hop)).unwrap_or(0);
    Some(Edge { upper: *path.get(lowest)?, lower: path.get(lowest + 1).copied().unwrap_or(machine) })
}

/// Records accusations.
pub(crate) struct AccusedEdges {
    pub(crate) registry: Arc<Registry>,
    pub(crate) suspicions: SuspicionLog,
    /// Carries the accusations that wait.
    pub(crate) tasks: TaskTracker,
    /// Fires when the server must stop.
    pub(crate) stop: CancellationToken,
    pub(crate) waiting: Arc<Mutex<HashSet<Accuser>>>,
}

impl AccusedEdges {
    /// Records, after a pause, that the code which came to `machine` this way is wrong.
    pub(crate) fn accuse(&self, open: &Arc<ActiveOrder>, machine: MachineId, way: &Way) {
        let accuser = (open.id(), way.stripe, machine);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING || !waiting.insert(accuser) {
            return;
        }
        drop(waiting);
        let (registry, suspicions, open) = (Arc::clone(&self.registry), self.suspicions.clone(), Arc::clone(open));
        let (path, stripe, waiting, stop) =
            (way.path.clone(), way.stripe, Arc::clone(&self.waiting), self.stop.clone());
        self.tasks.spawn(async move {
            stop.run_until_cancelled(tokio::time::sleep(WAIT)).await;
            waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&accuser);
            let Some(edge) = find_edge(&path, machine, |hop| open.has_proved_code(stripe, hop)) else { return };
            let name = |id: MachineId| {
                if id == open.row.order.server { "the server".into() } else { format!("{} ({id})", registry.name(id)) }
            };
            let detail = format!(
                "the code of stripe {stripe} is wrong below {upper}: {upper} sent a wrong one, or {lower} changed it; {} \
                 noticed it",
                name(machine),
                upper = name(edge.upper),
                lower = name(edge.lower),
            );
            let suspect = if edge.upper == open.row.order.server { edge.lower } else { edge.upper };
            suspicions.record(&Event {
                cause: Some(machine),
                machine: Some(suspect),
                order: Some(open.id()),
                reason: Reason::CodeWrong,
                detail,
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspicion_falls_on_the_edge_below_the_lowest_machine_whose_code_was_accepted() {
        let id = |n| MachineId([n; 16]);
        let (server, above, evil, victim) = (id(0), id(1), id(2), id(3));
        let path = [server, above, evil];
        let edge = |accepted: &[MachineId]| find_edge(&path, victim, |hop| accepted.contains(&hop)).unwrap();
        assert_eq!(edge(&[]), Edge { upper: server, lower: above });
        assert_eq!(edge(&[above]), Edge { upper: above, lower: evil });
        assert_eq!(edge(&[above, evil]), Edge { upper: evil, lower: victim });
        assert_eq!(edge(&[evil]), Edge { upper: evil, lower: victim }, "a skipped proof above changes nothing");
        assert_eq!(find_edge(&[], victim, |_| true), None);
    }
}
