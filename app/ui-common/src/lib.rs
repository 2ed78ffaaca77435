//! The code that the tray and the window share: the connection to the agent ([`AgentClient`]), the texts ([`texts`]), the summary
//! of an update ([`update_summary`]), the icon ([`tray_icon`]) and the person's preferences ([`Preferences`]). It contains no GUI
//! code: everything is data and is tested as data.

mod agent_client;
mod agent_connection;
pub mod catalogue;
mod clock;
mod open_request;
pub mod package_file;
mod page;
mod preferences;
#[cfg(feature = "sample")]
pub mod sample_data;
pub mod schedule_choices;
pub mod stale_display;
mod standard_error;
pub mod texts;
pub mod tray_icon;
pub mod update_summary;

pub use agent_client::{AgentClient, AgentView};
pub use agent_connection::system_socket;
pub use clock::Clock;
pub use open_request::{OpenRequest, SHOWN_MARKER};
pub use page::Page;
pub use preferences::Preferences;
pub use standard_error::print_error;
