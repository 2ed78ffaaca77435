//! On-demand orders: orders that this machine requests from its server for itself alone, for a package file that a
//! user opened or a package chosen from the catalogue. The order must be for exactly the requested release; after that
//! it is an ordinary order. `agent::on_demand` makes the requests.

use crate::refusal::refusal;
use banyan_proto::{Digest, KeyRing, Order, Reason, Signed, api::ApiError, peer::OfferReply};

/// Converts the reply of the offer checks to an error. A deferred order is offered again later.
pub(crate) fn to_refusal(reply: OfferReply) -> ApiError {
    match reply {
        OfferReply::Refused { reason, detail } => refusal(reason, detail),
        OfferReply::Deferred { reason } | OfferReply::ReceivesOnly { reason } => {
            refusal(reason, reason.for_user().what)
        }
        OfferReply::Accepted => refusal(Reason::InternalError, "the order was accepted but is missing"),
    }
}

/// Checks that the server signed the order and that it is for the requested release; the error says what it is
/// instead.
pub(crate) fn check_requested(
    order: &Signed<Order>,
    keys: &KeyRing,
    package: &str,
    manifest: Digest,
) -> Result<(), String> {
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
        OrderId, SigningKey, UnixSeconds,
        order::{Spread, Window},
    };

    #[test]
    fn an_order_for_another_release_is_not_accepted_as_the_requested_one() {
        let (server, other) = (SigningKey::generate().0, SigningKey::generate().0);
        let keys = KeyRing(vec![server.public()]);
        let check = |order: &Signed<Order>| check_requested(order, &keys, "drawing", Digest([7; 32]));
        let order = |package: &str, manifest| Order {
            id: OrderId([1; 16]),
            epoch: 1,
            number: 1,
            revision: 0,
            action: banyan_proto::order::OrderAction::Install,
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
            allow: vec![],
        };
        let right = order("drawing", Digest([7; 32]));
        assert_eq!(check(&server.sign(&right)), Ok(()));
        assert!(check(&other.sign(&right)).is_err());
        for wrong in [order("drawing", Digest([6; 32])), order("maths", Digest([7; 32]))] {
            assert!(check(&server.sign(&wrong)).unwrap_err().contains("it is for"));
        }
    }
}
