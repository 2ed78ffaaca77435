//! The stages of an order: offer, receipt and install permit, install, report; and the orders they work on.

pub mod active_orders;
pub mod authenticate;
pub mod install;
pub mod offer;
pub mod report;
