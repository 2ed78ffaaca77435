//! The server as the agent sees it.

pub mod api;
pub(crate) mod catalogue;
pub(crate) mod on_demand;
pub(crate) mod publishers;
