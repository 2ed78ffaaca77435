//! `banyan-tray`: the icon beside the clock. It shows what the agent tells, asks it for what the person says, and opens
//! the window as a process of its own.
//!
//! One loop: what the agent, the icon, a second start and the window say comes in as one enum. Nothing runs while nothing happens.

#![cfg_attr(not(unix), windows_subsystem = "windows")]

#[cfg(target_os = "linux")]
mod full_screen;
mod instance;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the icon of other systems is not written yet"))]
mod model;
mod own_agent;
#[cfg(target_os = "linux")]
mod sni;
mod window;

use banyan_face::{Clock, Line, Page, View, texts};
use banyan_proto::UnixSeconds;
use clap::Parser;
use instance::Start;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::Duration,
};

/// The icon beside the clock: what comes in, why it waits, and what you may say about it.
#[derive(Parser)]
#[command(name = "banyan-tray", version)]
struct Cli {
    /// Where the agent of this computer answers.
    #[arg(long, value_name = "PATH", default_value_os_t = banyan_face::system_socket())]
    socket: PathBuf,
    /// Run an agent of your own, in your own folders and without root, for as long as the tray runs: for trying Banyan
    /// where it is not installed.
    #[arg(long, conflicts_with = "socket")]
    own_agent: bool,
    /// Open the window as well, at this page.
    #[arg(long, value_name = "PAGE", value_parser = page)]
    open: Option<Page>,
}

fn page(text: &str) -> Result<Page, String> {
    let names: Vec<_> = Page::ALL.iter().map(|page| page.code()).collect();
    Page::named(text).ok_or_else(|| format!("there is no such page; there are {}", names.join(", ")))
}

/// What comes in.
enum Heard {
    /// The agent told something, or is gone.
    Agent,
    #[cfg(target_os = "linux")]
    Icon(sni::Said),
    /// Another start of this program, or the window.
    Open(Page),
    WindowFailed(String),
}

/// Times in words grow old: "2 min left", "tonight".
const REFRESH: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let lock = match instance::start(&folder(), cli.open.unwrap_or(Page::Updates))? {
        Start::First(lock) => lock,
        Start::Told => return Ok(()),
    };
    let (say, heard) = channel();
    let open = say.clone();
    lock.listen(move |page| drop(open.send(Heard::Open(page))))?;
    let changed = say.clone();
    let socket = match cli.own_agent {
        true => own_agent::start(&own_agent::folder()?)?,
        false => cli.socket.clone(),
    };
    let line = Line::start(socket.clone(), move || drop(changed.send(Heard::Agent)));
    #[cfg(target_os = "linux")]
    full_screen::watch(line.clone());
    if let Some(page) = cli.open {
        drop(say.send(Heard::Open(page)));
    }
    serve(&line, &mut window::Windows::new(socket), &say, &heard)
}

/// Of this person and this session; removed by the system at its end.
fn folder() -> PathBuf {
    let own = directories::BaseDirs::new();
    let session = own.as_ref().and_then(|dirs| dirs.runtime_dir().map(ToOwned::to_owned));
    session.or_else(|| own.map(|dirs| dirs.data_local_dir().join("banyan"))).unwrap_or_else(std::env::temp_dir)
}

#[cfg(target_os = "linux")]
fn serve(
    line: &Line,
    windows: &mut window::Windows,
    say: &Sender<Heard>,
    heard: &Receiver<Heard>,
) -> anyhow::Result<()> {
    use anyhow::Context;
    use model::Action;
    use sni::Said;

    let shown = |view: &View, notice: Option<&str>| {
        let clock = Clock::of(view.snapshot.as_ref(), UnixSeconds::now());
        model::tray(view, notice, &clock)
    };
    let (icon_says, icon_said) = channel();
    let pass_on = say.clone();
    std::thread::spawn(move || icon_said.into_iter().for_each(|said| drop(pass_on.send(Heard::Icon(said)))));
    let mut notice: Option<String> = None;
    let mut now = shown(&line.view(), None);
    let icon = sni::show(now.clone(), icon_says)
        .context("no tray icon can be shown: this session has no message bus (D-Bus); `banyan-window` opens the window without one")?;
    let mut no_panel_told = false;
    loop {
        match heard.recv_timeout(REFRESH) {
            Ok(Heard::Agent) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Heard::Icon(Said::Pressed(Action::Quit))) => return Ok(()),
            Ok(Heard::Icon(Said::Pressed(Action::Ask(request)))) => line.ask(&request),
            Ok(Heard::Icon(Said::Pressed(Action::Open(page))) | Heard::Open(page)) => {
                notice = None;
                let failed = say.clone();
                windows.open(page, move |why| drop(failed.send(Heard::WindowFailed(why))));
            }
            Ok(Heard::Icon(Said::NoPanel)) => {
                notice = Some(texts::NO_TRAY.to_owned());
                windows.no_tray = true;
                // Once: a panel that is started again is away for a moment, too.
                if !std::mem::replace(&mut no_panel_told, true) {
                    eprintln!("{}", texts::NO_TRAY);
                    drop(say.send(Heard::Open(Page::Updates)));
                }
            }
            Ok(Heard::Icon(Said::Panel)) => {
                notice = None;
                windows.no_tray = false;
            }
            Ok(Heard::WindowFailed(why)) => notice = Some(texts::no_window(&why)),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let next = shown(&line.view(), notice.as_deref());
        if next != now {
            now = next.clone();
            sni::update(&icon, next);
        }
    }
}

/// Elsewhere there is no icon yet: the window is opened instead, and again when it is asked for.
#[cfg(not(target_os = "linux"))]
fn serve(
    _line: &Line,
    windows: &mut window::Windows,
    say: &Sender<Heard>,
    heard: &Receiver<Heard>,
) -> anyhow::Result<()> {
    eprintln!("{}", texts::NO_TRAY);
    windows.no_tray = true;
    drop(say.send(Heard::Open(Page::Updates)));
    for heard in heard {
        match heard {
            Heard::Open(page) => {
                let failed = say.clone();
                windows.open(page, move |why| drop(failed.send(Heard::WindowFailed(why))));
            }
            Heard::WindowFailed(why) => anyhow::bail!("{}", texts::no_window(&why)),
            Heard::Agent => {}
        }
    }
    Ok(())
}
