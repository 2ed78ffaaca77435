//! The connection between two machines: mutual TLS, frames, receiving, verifying, forwarding with fair turns, and the
//! event loop that drives the pure state machine over real sockets. The agent and the server run the same loop; they
//! differ in their [`host::Host`].
//!
//! | module | content |
//! | --- | --- |
//! | [`socket`], [`tls`], [`connection`] | the socket below TLS; the identity of the peer |
//! | `receive` | incoming frames; chunks are verified and stored before the next is read |
//! | [`verify`], [`content`] | the types that only hashing can make; the artifact's file |
//! | `recent_chunks` | the chunks that are sent from memory |
//! | [`forward`] | outgoing verified chunks, in fair turns |
//! | [`site_limit`], [`site_share`] | the limit over the uplink of a site with a budget; the share of it |
//! | `traffic_class` | how the packets of background transfers are sent |
//! | [`rate_limit`] | the owner's speed limits, over all streams |
//! | [`bandwidth_yield`] | yielding to other traffic, and counting the bytes on the link |
//! | [`node`], `node_handle` | the event loop: events into the state machine, actions out of it; its handle |
//! | `frame_limits` | what a peer may make this machine keep and do |
//! | `chunk_log` | the log of every chunk, off by default |
//! | [`open_files`], [`file_size`], [`file_room`] | limits of the system: open files, sizes and numbers of files |
//! | [`rare_log`], [`logging`] | messages logged once a minute; the log |
//! | [`listen`], [`lookup`], [`interfaces`] | listening; looking up and dialling names; this machine's addresses |
//! | [`packet`], [`lock`] | sizes of packets; locking a mutex |
//! | `sys` | what differs by operating system |

pub mod bandwidth_yield;
mod chunk_log;
pub mod connection;
pub mod content;
pub mod file_room;
pub mod file_size;
pub mod forward;
mod frame_limits;
pub mod host;
pub mod interfaces;
mod link_measurement;
pub mod listen;
pub mod lock;
pub mod logging;
pub mod lookup;
pub mod node;
mod node_handle;
pub mod open_files;
pub mod packet;
mod positional_io;
pub mod rare_log;
pub mod rate_limit;
mod receive;
mod recent_chunks;
pub mod site_limit;
pub mod site_share;
pub mod socket;
mod sys;
pub mod tls;
mod traffic_class;
pub mod verify;
