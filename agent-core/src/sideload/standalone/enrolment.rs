//! Ends standalone mode when the machine enrols: version floors are carried over (`server::enrolment`), nothing else is
//! (rule N11).

use super::{INSTALLS_KEY, install::StandaloneInstall};
use crate::{
    database::{Database, DatabaseError},
    user::User,
};
use banyan_proto::Reason;

/// Drops the standalone installs once the machine belongs to a server. Software installed without a server stays; the
/// history alone shows it.
///
/// # Errors
/// When the database fails or the record is damaged.
pub(crate) fn drop_installs(database: &Database, user: &User) -> Result<(), DatabaseError> {
    let installs: Vec<StandaloneInstall> = database.load(INSTALLS_KEY)?.unwrap_or_default();
    for install in &installs {
        user.history.record_dropped(install.id, &install.package, &install.version, Reason::OrderExpired);
    }
    if installs.is_empty() { Ok(()) } else { database.store(INSTALLS_KEY, &Vec::<StandaloneInstall>::new()) }
}
