//! Deployments and their orders: which machines install which release, when, and who sends it to whom.

pub(crate) mod active_orders;
pub(crate) mod catalogue;
pub(crate) mod deploy;
pub(crate) mod direct_offers;
pub(crate) mod gate;
pub(crate) mod named_sites;
pub(crate) mod newcomers;
pub(crate) mod on_demand;
pub(crate) mod order_factory;
pub(crate) mod order_flows;
pub(crate) mod order_lifecycle;
pub(crate) mod policies;
pub(crate) mod reachability;
mod retry;
pub(crate) mod ring_progress;
mod rings;
pub(crate) mod selections;
pub(crate) mod sideload;
pub(crate) mod status;
pub(crate) mod stop_lists;
pub(crate) mod tree;
