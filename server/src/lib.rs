//! The network management server (NMS): registry, planner, authentication and monitoring. It is the root of every tree.
//!
//! | file | does |
//! | --- | --- |
//! | [`start`], [`cli`], `accept` | start the server from its data folder; one port for machines and administrators |
//! | [`restored`] | raises the epoch after a backup was restored |
//! | `api` | translates HTTP requests and answers; decides nothing |
//! | `enrol`, `ca`, `doors`, `latecomers`, `boots`, `standing`, `live` | identities: certificates, revocation, clone detection, live connections |
//! | [`repository`], `desk`, `artifacts` | what publishers signed, and its files |
//! | [`planner`], `deploy`, `book`, `tree` | turn "this release to those machines" into signed orders and their lists |
//! | `swarm` | sends orders and content to the first machines, with the same loop that machines run |
//! | `by_hand`, `catalogue`, `for_one` | orders for one machine: someone there opened a package or chose from the catalogue |
//! | `policies` | the administrators' policies for the people at their machines |
//! | `withdraw` | ends deployments and removes files after publishers withdraw a release |
//! | `check_in`, `receipts`, `reports`, `monitor` | check-ins, authentication, progress, overdue machines |
//! | `store` | the database |

mod accept;
mod api;
mod artifacts;
mod book;
mod boots;
mod by_hand;
mod ca;
mod catalogue;
mod check_in;
pub mod cli;
mod deploy;
mod desk;
mod doors;
mod enrol;
mod files;
mod for_one;
mod latecomers;
mod live;
mod monitor;
mod news;
mod nms;
pub mod planner;
mod policies;
mod progress;
mod receipts;
mod refusal;
mod registry;
mod reports;
pub mod repository;
pub mod restored;
mod secrets;
mod standing;
pub mod start;
mod store;
mod swarm;
mod tree;
mod withdraw;

pub use ca::CaError;
pub use secrets::SecretsError;
pub use store::StoreError;
