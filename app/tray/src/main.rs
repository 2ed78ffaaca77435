//! `banyan-tray`: the tray icon. It shows the agent's state, sends the person's choices to the agent, and opens the window
//! as a process of its own. One loop receives all events ([`event_loop`]).

#![cfg_attr(not(unix), windows_subsystem = "windows")]

mod event_loop;
#[cfg(target_os = "linux")]
mod full_screen;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems have no notifications yet"))]
mod notifications;
mod personal_agent;
#[cfg(target_os = "linux")]
mod session_end;
mod sibling_program;
mod single_instance;
#[cfg(target_os = "linux")]
mod status_notifier;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems have no tray icon yet"))]
mod tray_model;
mod window_process;

use banyan_ui_common::{AgentClient, OpenRequest, Page};
use clap::{Parser, Subcommand};
use event_loop::TrayEvent;
use single_instance::StartResult;
use std::{path::PathBuf, process::ExitCode, sync::mpsc::channel, time::Duration};

/// Show the Banyan tray icon, with its menu and notifications
#[derive(Parser)]
#[command(name = "banyan-tray", version)]
struct Cli {
    /// Socket of the Banyan agent
    #[arg(long, value_name = "PATH", default_value_os_t = banyan_ui_common::system_socket())]
    socket: PathBuf,
    /// Personal mode: run an agent without root, in your own folders
    ///
    /// The agent runs as long as the tray. Use this to try Banyan where it is not installed.
    #[arg(long, alias = "own-agent", conflicts_with = "socket")]
    personal: bool,
    /// Also open the window at this page
    #[arg(long, value_name = "PAGE")]
    open: Option<Page>,
    /// Time to wait for a panel before opening the window instead
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    panel_within: u64,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Open a package file: check its publisher, see what it does, install it
    Open {
        /// The package file (NAME-VERSION.banyan)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Cli {
    /// Returns what the window should show at the start, if anything.
    fn open_request(&self) -> anyhow::Result<Option<OpenRequest>> {
        Ok(match &self.command {
            // The running tray may have another working directory.
            Some(Command::Open { file }) => Some(OpenRequest::Package(std::path::absolute(file)?)),
            None => self.open.map(OpenRequest::Page),
        })
    }
}

fn main() -> ExitCode {
    banyan_ui_common::stale_display::leave();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            banyan_ui_common::print_error(&format!("error: {}", banyan_proto::text::error_chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let request = cli.open_request()?;
    let shown_otherwise = OpenRequest::Page(Page::Updates);
    let session = single_instance::session_name();
    let shown_first = request.as_ref().unwrap_or(&shown_otherwise);
    let lock = match single_instance::acquire(&runtime_folders(), session, shown_first)? {
        StartResult::First(lock) => lock,
        StartResult::AlreadyRunning => return Ok(()),
    };
    let (sender, events) = channel();
    let opens = sender.clone();
    lock.listen(move |request| drop(opens.send(TrayEvent::Open(request))))?;
    let changes = sender.clone();
    let socket = if cli.personal { personal_agent::start(&personal_agent::data_folder()?)? } else { cli.socket };
    let agent = AgentClient::start(socket.clone(), move || drop(changes.send(TrayEvent::AgentChanged)));
    #[cfg(target_os = "linux")]
    {
        let ends = sender.clone();
        session_end::watch(move || drop(ends.send(TrayEvent::SessionEnded)));
        full_screen::watch(agent.clone());
    }
    if let Some(request) = request {
        drop(sender.send(TrayEvent::Open(request)));
    }
    let options = event_loop::TrayOptions {
        socket,
        is_personal: cli.personal,
        panel_timeout: Duration::from_secs(cli.panel_within),
    };
    event_loop::run(&options, &agent, &sender, &events)
}

/// Returns the folders for the tray's lock and socket, the best one first: the runtime folder of this person's session,
/// which the system removes when the session ends, one in the home folder, and one beside other temporary files.
fn runtime_folders() -> Vec<PathBuf> {
    let own = directories::BaseDirs::new();
    let session = own.as_ref().and_then(|dirs| dirs.runtime_dir().map(ToOwned::to_owned));
    let home = own.map(|dirs| dirs.data_local_dir().join("banyan"));
    let user = ["USER", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let user: String = user.chars().filter(char::is_ascii_alphanumeric).collect();
    session.into_iter().chain(home).chain([std::env::temp_dir().join(format!("banyan-{user}"))]).collect()
}
