//! The log of every chunk that arrives and leaves, for finding out which machine waits for which.
//!
//! It is off unless the log filter names its target, as in `RUST_LOG=info,banyan::chunks=trace`. While it is off, each
//! call costs one comparison. `cargo xtask lab --trace` switches it on and draws what it says.

use banyan_proto::MachineId;
use banyan_swarm::io::StripeId;
use tracing::trace;

const TARGET: &str = "banyan::chunks";

/// Logs that a stripe is requested of a source, from this chunk on.
pub(crate) fn asked(stripe: StripeId, next: u32, source: MachineId) {
    trace!(target: TARGET, order = %stripe.order, stripe = stripe.stripe, next, %source, "asked");
}

/// Logs that a chunk was stored, so that `held` chunks of its stripe are here.
pub(crate) fn arrived(stripe: StripeId, held: u32, source: MachineId) {
    trace!(target: TARGET, order = %stripe.order, stripe = stripe.stripe, held, %source, "arrived");
}

/// Logs that the chunk at this place of its stripe was written to the connection.
pub(crate) fn left(stripe: StripeId, at: u32, receiver: MachineId) {
    trace!(target: TARGET, order = %stripe.order, stripe = stripe.stripe, at, %receiver, "left");
}
