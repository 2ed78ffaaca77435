//! The lab's network: its plan, its links and what they carry.

pub(crate) mod plan;
pub(crate) mod rates;
pub(crate) mod traffic_meter;
pub(crate) mod virtual_network;

mod shaper;
