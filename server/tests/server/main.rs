//! Tests of a real server on loopback, with machines that request what they may and may not have.

mod administrators_first;
mod audit_log;
mod catalogue;
mod clones;
mod deployments;
mod enrolment;
mod epoch;
mod expired_certificates;
mod idempotency;
mod long_work;
mod metrics;
mod newer_requests;
mod permit_queue;
mod policies;
mod publisher;
mod receipts;
mod replacement;
mod restart;
mod revocation;
mod rings;
mod selections;
mod site_budgets;
mod swarm_host;
mod version_tags;
mod world;
