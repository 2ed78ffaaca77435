//! The audit log: who changed what, when and from where. It is a Merkle tree over its rows, whose head the server signs
//! after each row (`docs/audit.md`).

mod log;

pub(crate) use log::{AuditLog, NewEntry};
