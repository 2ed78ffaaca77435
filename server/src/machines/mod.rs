//! What machines ask of the server and report to it during a deployment.

pub(crate) mod check_in;
pub(crate) mod monitor;
pub(crate) mod progress;
pub(crate) mod receipts;
pub(crate) mod reports;
