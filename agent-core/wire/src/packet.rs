//! The sizes of packets and TLS records on the link (bytes).

/// The content of a full TCP packet.
pub const PAYLOAD: u64 = 1448;
/// The headers of a packet: Ethernet, IPv4, TCP with timestamps.
pub const HEADERS: u64 = 14 + 20 + 32;
/// The largest content of a TLS record.
pub const TLS_RECORD: u64 = 16 << 10;
