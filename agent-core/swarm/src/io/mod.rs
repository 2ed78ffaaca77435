//! The inputs and actions of the state machine.
//!
//! The driver (`banyan-wire` in the agent and the server, the simulation in tests) passes in [`Input`]s with the time.
//! It then takes [`Action`]s until there are none, and wakes the state machine at [`crate::SwarmState::next_wake`]. A
//! [`Link`] is one connection to one other machine for one stripe of one order; its number is never reused.

mod action;
mod input;

pub use action::{Action, OrderTask};
pub use input::{Input, InstallLane, LinkInput, OrderInput};

use banyan_proto::{AddresseeList, OrderId, Proof};
use std::time::Duration;

/// Monotonic time since the driver's start.
pub type Now = Duration;

/// One connection to another machine. Odd numbers are assigned by this state machine for links it dials, even numbers
/// by the driver for accepted links. Neither has to ask the other for a free number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link(pub u64);

/// One stripe of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StripeId {
    /// The order's identifier.
    pub order: OrderId,
    /// The stripe's index, `0..k`.
    pub stripe: u8,
}

/// An offer that passed every check of the offer stage: signatures, minimum sequence, proof, and that the sender is an
/// ancestor.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustedOffer {
    /// The offered stripe.
    pub stripe: StripeId,
    /// The order's revision.
    pub revision: u32,
    /// The number of stripes in the order.
    pub stripes: u8,
    /// The number of chunks in the stripe.
    pub chunks: u32,
    /// This machine, followed by all machines it is responsible for.
    pub sublist: AddresseeList,
    /// The path from the order's root. Its heads are this machine's ancestors in this stripe, the server first.
    pub proof: Proof,
    /// How many of the stripe's chunks were already here and verified when the offer arrived.
    pub held: u32,
}
