//! This program and the machine it runs on: its version, its addresses, and the room on its disk.

use crate::sys;
use banyan_proto::{Address, size::format_size};
use banyan_schedule::DiskSpace;
use banyan_wire::{file_room, interfaces, lookup::Names};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

/// How long to wait for the server's names to be looked up, to find the interface towards it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// Most addresses that a machine advertises of its own. They travel in every offer.
const MAX_ADVERTISED: usize = 4;

/// Free disk space that must remain after storing an artifact (bytes); a tenth of the disk, if that is less.
const FREE_DISK_FLOOR: u64 = 64 << 20;

/// Returns the program name and version, as reported to others.
#[must_use]
pub(crate) fn software() -> String {
    format!("banyan-agent {}", env!("CARGO_PKG_VERSION"))
}

/// Returns size and free space of the disk that contains a folder; `None` when the system does not report them.
pub(crate) fn disk_space(folder: &Path) -> Option<DiskSpace> {
    let disk = fs4::statvfs(folder).ok()?;
    Some(DiskSpace { free: disk.available_space(), size: disk.total_space() })
}

/// Returns how many bytes of the disk a file takes; 0 if there is no such file.
pub(crate) fn stored_bytes(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| sys::stored_bytes(&found))
}

/// Checks that an artifact of this many bytes fits on the disk that contains a folder.
///
/// # Errors
/// The explanation for people, with the place, and the bytes or files needed and free.
pub(crate) fn check_free_space(folder: &Path, bytes: u64) -> Result<(), String> {
    if let Some(missing) = file_room::describe_missing(folder) {
        return Err(missing);
    }
    let Some(DiskSpace { free, size }) = disk_space(folder) else { return Ok(()) };
    let needed = bytes.saturating_add(FREE_DISK_FLOOR.min(size / 10));
    if free >= needed {
        return Ok(());
    }
    let (wanted, is_free) = (format_size(needed), format_size(free));
    Err(format!(
        "{wanted} ({needed} bytes) are needed on the disk of {}, but only {is_free} ({free} bytes) are free there",
        folder.display()
    ))
}

/// Returns the addresses at which other machines reach this one: the listen address or, if that is unspecified, the
/// local address of the route to each of the server's addresses, and then those of the interfaces. The unspecified
/// address stands for one that only the server can see.
///
/// An agent that listens on IPv4 alone, because the system has no IPv6, advertises no IPv6 address.
pub(crate) async fn reachable_addresses(listen: SocketAddr, server: &[Address]) -> Vec<Address> {
    if !listen.ip().is_unspecified() {
        return vec![listen.into()];
    }
    static NAMES: LazyLock<Arc<Names>> = LazyLock::new(Arc::default);
    let servers = NAMES.look_up(server, LOOKUP_TIMEOUT).await.unwrap_or_default();
    let mut found: Vec<IpAddr> = Vec::new();
    for ip in servers.into_iter().filter_map(interfaces::address_towards).chain(interfaces::reachable_addresses()) {
        let is_served = listen.is_ipv6() || ip.is_ipv4();
        if is_served && !found.contains(&ip) {
            found.push(ip);
        }
    }
    // A loopback address is of use to machines on this computer alone; link-local ones mean nothing elsewhere.
    if found.iter().any(interfaces::is_reachable) {
        found.retain(interfaces::is_reachable);
    }
    found.truncate(MAX_ADVERTISED);
    if found.is_empty() {
        return vec![listen.into()];
    }
    found.into_iter().map(|ip| SocketAddr::new(ip, listen.port()).into()).collect()
}
