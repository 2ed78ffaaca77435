//! The stages of an order: offer, receipt and install permit, install, report; and the orders they work on.
//!
//! Content moves between [`offer`] and [`authenticate`], in `banyan_wire`.

pub mod active_order;
pub mod active_orders;
pub(crate) mod address_hints;
pub mod authenticate;
pub mod install;
pub mod offer;
pub mod report;
