//! Who is who: certificates, enrolment, the registry, revocation and quarantine, and the server's secrets.

pub(crate) mod ca;
pub(crate) mod clone_detection;
pub(crate) mod enrolment;
pub(crate) mod registry;
pub(crate) mod revocation;
pub(crate) mod revocation_list;
pub(crate) mod secrets;
