//! A machine in the server's list, for tests.

use banyan_proto::{KnownRates, MachineId, UnixSeconds, admin::Machine};

/// Returns an online machine whose id repeats this byte.
pub(super) fn machine(id: u8, label: &str) -> Machine {
    Machine {
        version: None,
        id: MachineId([id; 16]),
        label: label.into(),
        reported_label: None,
        group: None,
        groups: vec![],
        tags: vec![],
        platform: "linux-x86_64".into(),
        addresses: vec![],
        seen: UnixSeconds(0),
        online: true,
        revoked: false,
        out: None,
        replaced_by: None,
        software: "banyan 0.1".into(),
        clock_ahead: None,
        knows_server_addresses: None,
        rates: KnownRates::default(),
        reach: None,
    }
}
