//! Checks the budgets of sites: what crosses each uplink, and what a flow of another program keeps meanwhile.

use super::assignment::Assignment;
use crate::lab::{
    banyan_network::BanyanNetwork,
    environment::LabEnvironment,
    network::{rates::Rate, traffic_meter::Reading},
    tcp_flow::{FlowSender, RunningFlow},
};
use anyhow::Result;

/// How long the flow is measured alone (seconds).
const ALONE_SECONDS: u64 = 6;
/// The part of the transfer's least time during which the flow runs.
const FLOW_PART: f64 = 0.8;
/// Bytes on a link for each byte of a flow's content.
const WIRE_PER_PAYLOAD: f64 = (1448 + 66) as f64 / 1448.0;

/// Budgets that are set, and a flow under way.
pub(super) struct BudgetCheck<'a> {
    assignment: &'a Assignment,
    budget: Rate,
    /// The flow's rate without the transfer, and the flow beside it. Both in bytes of content a second.
    alone: f64,
    flow: RunningFlow,
    flow_seconds: u64,
    _sender: FlowSender<'a>,
}

impl<'a> BudgetCheck<'a> {
    /// Sets the budgets, measures the flow alone, and starts it again.
    pub(super) fn start(
        lab: &'a LabEnvironment,
        banyan: &BanyanNetwork<'_>,
        assignment: &'a Assignment,
        size: u64,
    ) -> Result<Option<Self>> {
        let (Some(budget), [outside, inside]) = (assignment.budget, &lab.net.bystanders[..]) else { return Ok(None) };
        for site in 0..assignment.plan.uplinks.len() {
            banyan.set_site_budget(&format!("10.77.{}.0/24", site + 1), budget)?;
        }
        let sender = FlowSender::start(lab, outside, "cubic")?;
        let alone = sender.to(inside, ALONE_SECONDS)?.rate()?;
        let flow_seconds = ((assignment.uplink(0).seconds(size) * FLOW_PART) as u64).max(5);
        let flow = sender.to(inside, flow_seconds)?;
        Ok(Some(Self { assignment, budget, alone, flow, flow_seconds, _sender: sender }))
    }

    /// Returns sentences with what each uplink carried while the transfer lasted, and what the flow kept.
    pub(super) fn sentences(self, seconds: &[Option<f64>], reading: &Reading) -> Result<Vec<String>> {
        let rate = self.flow.rate()?;
        let flow_bytes = rate * self.flow_seconds as f64 * WIRE_PER_PAYLOAD;
        let budget = self.budget.mbit();
        let mut sentences = Vec::new();
        for (site, uplink) in reading.uplinks.iter().enumerate() {
            let there = |machine: &usize| self.assignment.plan.machines[*machine].site == Some(site);
            let last = (0..seconds.len()).filter(there).filter_map(|machine| seconds[machine]).fold(0.0, f64::max);
            let others = if site == 0 { flow_bytes } else { 0.0 };
            let mbit = |bytes: f64| bytes * 8e-6 / last;
            let (received, sent) = (mbit(uplink.received as f64 - others), mbit(uplink.sent as f64));
            sentences.push(format!(
                "site {}: {received:.2} Mbit/s in ({:.3} of the budget), {sent:.2} out, for {last:.0} s",
                site + 1,
                received / budget,
            ));
        }
        let uplink = self.assignment.plan.uplinks[0].down.mbit();
        let left = self.alone * (uplink - budget) / uplink;
        sentences.push(format!(
            "the flow: {:.2} Mbit/s alone, {:.2} beside the transfer, which is {:.3} of what the budget leaves",
            self.alone * 8e-6,
            rate * 8e-6,
            rate / left,
        ));
        Ok(sentences)
    }
}
