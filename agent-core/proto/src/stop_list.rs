//! The list of stopped orders (rule A14). The server signs it, and it travels through machines like the revocation list.

use crate::{MachineId, OrderId, UnixSeconds, format::Format, signed::Document};
use serde::{Deserialize, Serialize};

/// The orders that are stopped. A list replaces all lists with lower numbers, so an order that a newer list leaves out
/// goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopList {
    /// The server that stops the orders.
    pub server: MachineId,
    /// The server's epoch. Machines refuse a lower one than the highest that they have seen.
    pub epoch: u64,
    /// The list's number. It rises with every list of this server.
    pub number: u64,
    /// When it was signed.
    pub issued: UnixSeconds,
    /// The stopped orders, at most [`crate::limits::STOPPED_ORDERS`]. Stopping an order ends offers, transfers and the start of
    /// installations; an installation that runs is completed.
    pub stopped: Vec<OrderId>,
}

impl Format for StopList {
    const KIND: &'static str = "list of stopped orders";
}
impl Document for StopList {
    const CONTEXT: &'static str = "banyan v1 stop list";
}
