//! The server's port: TLS, connections and their limits, and the machines' long polls.

pub(crate) mod accept;
mod client_hello;
pub(crate) mod connections;
pub(crate) mod expired_certificates;
pub(crate) mod failed_attempts;
pub(crate) mod machine_quotas;
pub(crate) mod peer_node;
pub(crate) mod tls_configuration;
pub(crate) mod wake_ups;
