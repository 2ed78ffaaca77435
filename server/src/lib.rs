//! The network management server (NMS): registry, planner, authentication, monitoring; root of every tree.
//!
//! | file | does |
//! | --- | --- |
//! | [`start`], [`cli`], `accept` | from a folder to a running server; one port for machines and administrators |
//! | [`restored`] | what an administrator says after restoring a backup |
//! | `api` | HTTP in, HTTP out; decides nothing |
//! | `enrol`, `ca`, `doors`, `latecomers`, `boots`, `standing`, `live` | who is who: identities, certificates, revocation, live connections |
//! | [`repository`], `desk`, `artifacts` | what publishers signed, and its files |
//! | [`planner`], `deploy`, `book`, `tree` | from "this release to those machines" to signed orders and their lists |
//! | `swarm` | hands orders and content to the first machines, with the same loop as the machines have |
//! | `by_hand`, `catalogue`, `for_one` | an order for one machine, because somebody there opened a package or chose from what is offered |
//! | `policies` | what administrators lay down for the people at their machines |
//! | `withdraw` | what follows when publishers take something back |
//! | `check_in`, `receipts`, `reports`, `monitor` | news for machines, authentication, progress, who is overdue |
//! | `store` | what is remembered |

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
