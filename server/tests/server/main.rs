//! A real server on loopback, and machines that try to get from it what they should and should not get.

mod catalogue;
mod clones;
mod deployments;
mod enrolment;
mod epoch;
mod latecomers;
mod policies;
mod publisher;
mod receipts;
mod replacement;
mod restart;
mod revocation;
mod swarm;
mod world;
