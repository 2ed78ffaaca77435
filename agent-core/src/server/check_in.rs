//! The check-in: a long poll that reports this machine's status to the server and returns news, such as expected
//! orders or a newer revocation list. This file decides what to report and how long the server may wait;
//! `agent::check_in` makes the calls and applies the answers.

use banyan_proto::{
    Address, OrderId, UnixSeconds,
    api::{CheckIn, CheckInReply, Expected, PublisherVersions},
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long the server may delay its answer.
const WAIT_SECONDS: u32 = 300;
/// The same while the offer of an expected order is missing.
const WAIT_EXPECTING_SECONDS: u32 = 2;
/// The same while this machine lacks new metadata that publishers have signed.
const WAIT_BEHIND_SECONDS: u32 = 30;
/// Interval between two requests for the same missing offer.
const HELP_EVERY: Duration = Duration::from_secs(30);

/// What this machine reports about itself.
pub(crate) struct MachineStatus {
    pub(crate) label: String,
    pub(crate) addresses: Vec<Address>,
    pub(crate) software: String,
    /// The number of the newest revocation list here.
    pub(crate) crl_number: u64,
    pub(crate) epoch: u64,
    /// The orders of which every stripe has been offered.
    pub(crate) offered_orders: Vec<OrderId>,
    pub(crate) publishers: PublisherVersions,
    /// Whether announced publishers' metadata is still missing here.
    pub(crate) is_behind_publishers: bool,
    /// The number of the policy in force.
    pub(crate) policy: u64,
    /// The time by this machine's clock.
    pub(crate) clock: UnixSeconds,
    /// The sequence of the newest announcement of the server's addresses.
    pub(crate) server_addresses: u64,
    /// The number of the notice about the site's budget; 0 for none.
    pub(crate) site_budget: u64,
    /// The number of the newest list of stopped orders; 0 for none.
    pub(crate) stop_number: u64,
}

/// What one check-in takes over from those before it.
pub(crate) struct CheckInState {
    boot: u64,
    /// The number of the last answer; 0 before the first one.
    last: u64,
    has_succeeded: bool,
    /// The orders announced by the server whose offers are missing, and when to ask for them.
    expected: HashMap<OrderId, Instant>,
    /// The number of a refused policy, so that it is not sent again at once.
    refused_policy: u64,
}

impl CheckInState {
    /// Starts before the first check-in. `boot` is a random number that identifies this run.
    pub(crate) fn new(boot: u64) -> Self {
        Self { boot, last: 0, has_succeeded: false, expected: HashMap::new(), refused_policy: 0 }
    }
    /// Returns the next check-in. The first one is answered at once.
    pub(crate) fn next_request(&mut self, status: MachineStatus) -> CheckIn {
        self.expected.retain(|order, _| !status.offered_orders.contains(order));
        let wait_seconds = if !self.has_succeeded {
            0
        } else if !self.expected.is_empty() {
            WAIT_EXPECTING_SECONDS
        } else if status.is_behind_publishers {
            WAIT_BEHIND_SECONDS
        } else {
            WAIT_SECONDS
        };
        // Expected orders count as known, so that they do not make the server answer at once.
        let known = status.offered_orders.into_iter().chain(self.expected.keys().copied()).collect();
        CheckIn {
            boot: self.boot,
            last: self.last,
            label: status.label,
            addresses: status.addresses,
            software: status.software,
            crl_number: status.crl_number,
            epoch: status.epoch,
            known,
            wait_seconds,
            publishers: Some(status.publishers),
            policy: Some(status.policy.max(self.refused_policy)),
            clock: Some(status.clock),
            server_addresses: Some(status.server_addresses),
            site_budget: Some(status.site_budget),
            stop_number: Some(status.stop_number),
        }
    }
    /// Makes the next check-in one that is answered at once, like the first.
    pub(crate) fn answer_at_once(&mut self) {
        self.has_succeeded = false;
    }
    /// Records that the server has answered.
    pub(crate) fn record_reply(&mut self, reply: &CheckInReply) {
        self.has_succeeded = true;
        self.last = reply.number;
    }
    /// Records that a policy with this number was refused.
    pub(crate) fn record_refused_policy(&mut self, number: u64) {
        self.refused_policy = number;
    }
    /// Returns which of the orders that others could not bring to this machine it must ask for now, and counts them as
    /// asked for.
    pub(crate) fn undelivered_orders(&mut self, undelivered: &[OrderId], offered: &[OrderId]) -> Vec<OrderId> {
        let now = Instant::now();
        let lacks = |order: &&OrderId| !offered.contains(order);
        let due: Vec<OrderId> = undelivered.iter().filter(lacks).copied().collect();
        self.expected.extend(due.iter().map(|&order| (order, now + HELP_EVERY)));
        due
    }
    /// Takes the announced orders. Returns those whose offers have been missing for too long: the server must be asked
    /// for them (rule L8).
    pub(crate) fn overdue_orders(&mut self, announced: &[Expected]) -> Vec<OrderId> {
        for Expected { order, patience_seconds } in announced {
            let patience = Duration::from_secs((*patience_seconds).into());
            self.expected.entry(*order).or_insert_with(|| Instant::now() + patience);
        }
        let now = Instant::now();
        let due: Vec<OrderId> = self.expected.iter().filter(|(_, at)| **at <= now).map(|(&order, _)| order).collect();
        for order in &due {
            self.expected.insert(*order, now + HELP_EVERY);
        }
        due
    }
}
