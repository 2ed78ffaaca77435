//! Ends standalone mode when the machine enrols: version floors are carried over, nothing else is (rule N11).

use crate::sideload::standalone::{ORDERS, TRUST, install::AloneOrder};
use crate::{
    database::{State, StateError},
    user::People,
};
use banyan_proto::Reason;
use banyan_trust::{PersonalTrust, TrustStore};

/// Returns what the machine learnt about these publishers before it enrolled with their server, so that no version
/// floor falls (rule N11).
///
/// # Errors
/// When the database fails or the record is damaged.
pub(crate) fn learned(state: &State, root: &str) -> Result<Option<TrustStore>, StateError> {
    let trust: PersonalTrust = state.kept(TRUST)?.unwrap_or_default();
    Ok(trust.for_server(root))
}

/// Drops the standalone orders once the machine belongs to a server. Software installed without a server stays; the
/// history alone shows it.
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
