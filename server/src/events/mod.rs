//! What administrators' programs learn of what happens: a stream with replay, and webhooks. The store records the events,
//! in the transactions of the changes that they tell.

pub(crate) mod receiver_address;
pub(crate) mod stream;
pub(crate) mod webhook_delivery;
pub(crate) mod webhook_queues;
pub(crate) mod webhook_signature;
pub(crate) mod webhooks;
