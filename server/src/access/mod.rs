//! Who may do what: the access tokens of persons, and the groups of machines that a token is for. Routes name the
//! permission that they need (`api/routes.rs`); `docs/access.md` explains roles and scopes.

pub(crate) mod idempotency;
pub(crate) mod request_counts;
pub(crate) mod scope;
pub(crate) mod tokens;
