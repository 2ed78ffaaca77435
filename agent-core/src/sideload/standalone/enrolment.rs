//! Ends standalone mode when the machine enrols: version floors are carried over, nothing else is (rule N11).

use crate::sideload::standalone::{ORDERS, TRUST, install::StandaloneInstall};
use crate::{
    database::{Database, DatabaseError},
    user::User,
};
use banyan_proto::Reason;
use banyan_trust::{PersonalTrust, TrustStore};

/// Returns what the machine learnt about these publishers before it enrolled with their server, so that no version
/// floor falls (rule N11).
///
/// # Errors
/// When the database fails or the record is damaged.
pub(crate) fn learned(database: &Database, root: &str) -> Result<Option<TrustStore>, DatabaseError> {
    let trust: PersonalTrust = database.load(TRUST)?.unwrap_or_default();
    Ok(trust.for_server(root))
}

/// Drops the standalone orders once the machine belongs to a server. Software installed without a server stays; the
/// history alone shows it.
///
/// # Errors
/// When the database fails or the record is damaged.
pub(crate) fn retire(user: &User) -> Result<(), DatabaseError> {
    let orders: Vec<StandaloneInstall> = user.database().load(ORDERS)?.unwrap_or_default();
    for order in &orders {
        user.gone(order.id, &order.package, &order.version, Reason::OrderExpired);
    }
    if orders.is_empty() { Ok(()) } else { user.database().store(ORDERS, &Vec::<StandaloneInstall>::new()) }
}
