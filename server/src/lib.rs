//! The network management server (NMS): registry, planner, authentication and monitoring. It is the root of every tree.
//!
//! | folder or file | does |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | [`restore`] | raises the epoch after a backup was restored |
//! | [`accept_clock`] | confirms a clock that has jumped |
//! | [`start`] | opens the data folder, connects the services, and stops them again |
//! | `api` | translates HTTP requests and answers; decides nothing |
//! | `server` | holds the services that the API calls |
//! | `swarm_host` | sends orders and content to the first machines, with the same loop that machines run |
//! | `events` | the stream of events, and webhooks |
//! | `machines` | check-ins, receipts, install permits, reports, overdue machines |
//! | `deployments` | turns "this release to those machines" into signed orders and their lists; policies, the catalogue and manual installs |
//! | `publishing` | what publishers signed ([`repository`]), its files, withdrawals |
//! | `audit` | the audit log |
//! | `identity` | certificates, enrolment, the machine registry, clone detection, revocation; the server's secrets |
//! | `net` | one port for machines and administrators: TLS, connections and their limits, long polls |
//! | `access` | access tokens of persons, and the machines that they are for |
//! | `store` | the database |
//!
//! A folder imports only from those below it in this table, and from `deadline_clock`, `refusal`, `suspicion_log`,
//! `long_work`, `work_progress` and `private_files`.

pub mod accept_clock;
mod access;
mod api;
mod audit;
pub mod cli;
mod deadline_clock;
mod deployments;
mod events;
mod identity;
mod long_work;
mod machines;
mod net;
mod private_files;
mod publishing;
mod refusal;
pub mod restore;
mod server;
pub mod start;
mod store;
mod suspicion_log;
mod swarm_host;
mod work_progress;

pub use identity::{ca::CaError, secrets::SecretsError};
pub use publishing::repository;
pub use store::StoreError;
