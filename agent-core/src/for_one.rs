//! On-demand orders: orders that this machine requests from its server for itself alone, for a package file that a
//! user opened or a package chosen from the catalogue. The order must be for exactly the requested release; after that
//! it is an ordinary order.

use crate::agent::Agent;
use banyan_proto::{
    Digest, KeyRing, Order, OrderId, Reason, Signed,
    api::{ApiError, Help},
    peer::OfferReply,
    schedule::{Stage, Wish},
};
use banyan_swarm::io::OrderInput;
use std::sync::Arc;
use tracing::{info, warn};

pub(crate) fn refused(reason: Reason, detail: impl Into<String>) -> ApiError {
    ApiError { reason, detail: detail.into() }
}

impl Agent {
    /// Accepts the requested order if it is for the requested release. Sets the wish to install now, as far as the
    /// policy allows.
    pub(crate) async fn take_up(
        self: &Arc<Self>,
        package: &str,
        manifest: Digest,
        help: Help,
    ) -> Result<OrderId, ApiError> {
        let Some(node) = self.node.get() else {
            return Err(refused(Reason::ServerAway, "the agent is still starting; try again in a minute"));
        };
        let not_believed = |why: String| {
            warn!(package, why, "on-demand order refused");
            refused(Reason::OrderForged, format!("the server's order cannot be trusted: {why}"))
        };
        let mut taken = None;
        for offer in help.offers {
            is_of(&offer.order, &self.offers.keys, package, manifest).map_err(not_believed)?;
            let checked = self.check(self.offers.server, offer).await;
            let trusted = checked.map_err(not_taken)?;
            let id = *taken.get_or_insert(trusted.stripe.order);
            // Set the wish before the state machine learns of the order.
            self.people.wish(id, Stage::Install, Wish::Now)?;
            if let Some(held) = self.orders.get(id) {
                self.decide_order(&self.people.facts(), &held);
            }
            node.input(OrderInput::Restored(trusted));
        }
        let id = taken.ok_or_else(|| refused(Reason::InternalError, "the server's answer contains no order"))?;
        info!(order = %id, package, "on-demand order accepted");
        Ok(id)
    }
}

/// Converts the reply of the offer checks to an error. A deferred order is offered again later.
fn not_taken(reply: OfferReply) -> ApiError {
    match reply {
        OfferReply::Refused { reason, detail } => refused(reason, detail),
        OfferReply::Deferred { reason } | OfferReply::ReceivesOnly { reason } => {
            refused(reason, reason.for_user().what)
        }
        OfferReply::Accepted => refused(Reason::InternalError, "the order was accepted but is missing"),
    }
}

/// Checks that the server signed the order and that it is for the requested release; the error says what it is
/// instead.
fn is_of(order: &Signed<Order>, keys: &KeyRing, package: &str, manifest: Digest) -> Result<(), String> {
    let order = order.verify(keys).map_err(|error| error.to_string())?;
    if (order.package.as_str(), order.manifest) == (package, manifest) {
        return Ok(());
    }
    Err(format!("it is for {} with the manifest {}", order.package, order.manifest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use banyan_proto::{
        SigningKey, UnixSeconds,
        order::{Spread, Window},
    };

    #[test]
    fn an_order_of_something_else_is_not_taken_for_what_was_asked_for() {
        let (server, other) = (SigningKey::generate().0, SigningKey::generate().0);
        let keys = KeyRing(vec![server.public()]);
        let is_of = |order: &Signed<Order>| is_of(order, &keys, "drawing", Digest([7; 32]));
        let order = |package: &str, manifest| Order {
            id: OrderId([1; 16]),
            epoch: 1,
            number: 1,
            revision: 0,
            package: package.into(),
            sequence: 1,
            manifest,
            platform: "any".into(),
            artifact: Digest([8; 32]),
            stripes: vec![],
            server: banyan_proto::MachineId([0; 16]),
            issued: UnixSeconds(0),
            expires: UnixSeconds(u64::MAX),
            keep_until: UnixSeconds(0),
            spread: Spread::default(),
            window: Window::Any,
            deadline: None,
        };
        let right = order("drawing", Digest([7; 32]));
        assert_eq!(is_of(&server.sign(&right)), Ok(()));
        assert!(is_of(&other.sign(&right)).is_err());
        for wrong in [order("drawing", Digest([6; 32])), order("maths", Digest([7; 32]))] {
            assert!(is_of(&server.sign(&wrong)).unwrap_err().contains("it is for"));
        }
    }
}
