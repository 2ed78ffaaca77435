//! Between two machines: mutual TLS, frames, receiving, verifying, forwarding with fair turns, and the loop that drives
//! the pure machine over real sockets. The agent and the server run the same loop; what differs is their [`host::Host`].
//!
//! | module | stage |
//! | --- | --- |
//! | [`socket`], [`tls`], [`connection`] | the socket below TLS; who is on the other side |
//! | `receive` | frames in; chunks are verified and stored before the next is read |
//! | [`verify`], [`content`] | the types that only hashing can make; the artifact's file |
//! | [`forward`] | verified chunks out, in fair turns |
//! | [`limit`] | the speed limits of this machine's owner, over all streams |
//! | [`give_way`] | room for other traffic, and what the link has carried |
//! | [`node`] | one loop, one event enum: events into the machine, actions out of it |

pub mod connection;
pub mod content;
pub mod forward;
pub mod give_way;
pub mod host;
pub mod limit;
pub mod node;
mod positioned;
mod receive;
pub mod socket;
pub mod tls;
pub mod verify;
