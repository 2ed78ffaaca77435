//! What machines ask of the server and report to it during a deployment.

pub(crate) mod accused_edges;
pub(crate) mod assignments;
pub(crate) mod check_in;
mod delivery_path;
pub(crate) mod deployment_control;
pub(crate) mod dial_checks;
pub(crate) mod flows;
pub(crate) mod install_permits;
pub(crate) mod link_checks;
pub(crate) mod monitor;
pub(crate) mod permit_queue;
mod progress;
pub(crate) mod receipts;
pub(crate) mod reports;
pub(crate) mod ring_gates;
pub(crate) mod row_writer;
pub(crate) mod site_budgets;
pub(crate) mod sources;
