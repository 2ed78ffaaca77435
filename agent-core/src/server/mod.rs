//! The server as the agent sees it: its API, and what the agent learns from it.

pub mod api;
pub(crate) mod catalogue;
pub(crate) mod check_in;
pub(crate) mod contact;
pub(crate) mod enrolment;
pub(crate) mod on_demand;
pub(crate) mod publishers;
