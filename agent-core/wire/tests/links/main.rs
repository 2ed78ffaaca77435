//! Two machines over real sockets: one runs the loop, the other is a script that may break the rules.

mod bad_chunk;
mod expired;
mod newer_version;
mod pki;
mod revoked;
mod truncated_stream;
mod victim;
mod wrong_certificate;
