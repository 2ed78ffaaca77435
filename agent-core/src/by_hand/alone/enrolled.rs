//! What becomes of it when the machine enrols: floors go with it, nothing else does (rule N11).

use super::{ORDERS, TRUST, order::AloneOrder};
use crate::{
    people::People,
    state::{State, StateError},
};
use banyan_proto::Reason;
use banyan_trust::{PersonalTrust, TrustStore};

/// What the machine learnt of these publishers before it enrolled with a server of theirs: no floor falls by that (N11).
///
/// # Errors
/// When the database fails or the record is damaged.
pub(crate) fn learned(state: &State, root: &str) -> Result<Option<TrustStore>, StateError> {
    let trust: PersonalTrust = state.kept(TRUST)?.unwrap_or_default();
    Ok(trust.for_server(root))
}

/// The machine belongs to a server. What was installed without one stays where it is; it is told of in the history alone.
///
/// # Errors
/// When the database fails or the record is damaged.
pub(crate) fn retire(people: &People) -> Result<(), StateError> {
    let orders: Vec<AloneOrder> = people.state().kept(ORDERS)?.unwrap_or_default();
    for order in &orders {
        people.gone(order.id, &order.package, &order.version, Reason::OrderExpired);
    }
    if orders.is_empty() { Ok(()) } else { people.state().keep(ORDERS, &Vec::<AloneOrder>::new()) }
}
