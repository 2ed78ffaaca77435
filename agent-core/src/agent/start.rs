//! What happens between the agent's start and its readiness: a valid certificate, a revocation list, the node loop,
//! and the orders of earlier runs.

use super::Agent;
use crate::{database::OrderRecord, pipeline::active_order::ActiveOrder, platform, scheduling::ScheduleInputs};
use banyan_proto::{Reason, UnixSeconds, limits};
use banyan_swarm::{Config, io::OrderInput};
use banyan_wire::{
    node::{self, NodeConfig, NodeHandle},
    open_files,
};
use std::{sync::Arc, time::Duration};
use tracing::warn;

const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// Settings of the node loop.
pub(crate) struct NodeOptions {
    /// Maximum number of machines served at once.
    pub(crate) max_children: usize,
    /// Seed of the state machine's random choices.
    pub(crate) seed: u64,
}

impl Agent {
    /// Waits for a valid certificate and a revocation list. Without them no peer can be trusted, so nothing starts
    /// before they are here.
    pub(crate) async fn until_trusted(&self) {
        self.renewal.until_valid(false).await;
        let mut pause = RETRY_FIRST;
        while self.tls.crl_number() == 0 {
            match self.server.api.crl().await {
                Ok(der) => self.tls.accept_crl(der),
                Err(error) => {
                    self.server.contact.record_failure(&error);
                    self.renewal.until_valid(error.reason() == Reason::CertificateExpired).await;
                    self.changes.pause(pause).await;
                    pause = (pause * 2).min(RETRY_MOST);
                }
            }
        }
    }

    /// Starts the node loop and resumes the orders of earlier runs.
    pub(crate) fn start_node(self: &Arc<Self>, options: &NodeOptions) -> anyhow::Result<NodeHandle> {
        let tls = self.tls.pair()?;
        let identity = &self.identity;
        let swarm = Config::agent(identity.machine, identity.server, options.max_children, options.seed);
        let config = NodeConfig {
            swarm,
            software: platform::software(),
            tls,
            longest_message: limits::CONTROL_BYTES,
            // A connection to a peer takes two open files.
            max_links: (open_files::limit().soft / 4).clamp(32, 4096),
        };
        let (node, _) = node::start(config, Arc::clone(self));
        self.user.upload_quota.set_link_counter(Arc::clone(node.bandwidth_yield()));
        drop(self.node.set(node.clone()));
        self.site_budget.start();
        self.sensors.measure_disk_once();
        self.sideload.clear_leftovers()?;
        let inputs = self.gates.schedule.inputs();
        self.gates.decide_general(&inputs);
        for record in self.database.load_orders()? {
            match self.stages.offer.restore(&record, UnixSeconds::now()) {
                // A higher epoch ended this order, but the agent stopped before that was stored.
                Ok(active) if active.order.epoch < identity.epoch.highest() && record.ended.is_none() => {}
                Ok(active) if self.identity.stops.is_stopped(active.order.id) => self.record_stopped(&active, &record),
                Ok(active) => self.resume_order(&active, &record, &inputs, &node),
                Err(error) => warn!(%error, "order from an earlier run not resumed"),
            }
        }
        Ok(node)
    }

    /// Records an order of an earlier run for the users, without beginning it again.
    fn record_stopped(&self, active: &ActiveOrder, record: &OrderRecord) {
        let (id, package) = (active.order.id, &active.order.package);
        self.user.history.record_accepted(id, package, &active.description.version);
        if let Some(result) = record.ended {
            self.user.history.restore_outcome(id, active.order.issued, result);
        }
    }

    /// Takes an order up again, with what is here already: after a restart of the agent, or after a stop.
    pub(super) fn resume_order(
        &self,
        active: &ActiveOrder,
        record: &OrderRecord,
        inputs: &ScheduleInputs,
        node: &NodeHandle,
    ) {
        let id = active.order.id;
        self.record_stopped(active, record);
        // Decide before the state machine learns of the order; otherwise it would request chunks at once.
        self.gates.decide_order(inputs, active);
        for stripe in active.offers().into_keys() {
            active.trusted_offer(stripe).into_iter().for_each(|trusted| node.input(OrderInput::Restored(trusted)));
        }
        if let Some(result) = record.ended {
            active.content.release();
            node.input(OrderInput::InstallEnded(id, result));
        }
    }
}
