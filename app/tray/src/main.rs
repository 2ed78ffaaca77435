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
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "likewise notices"))]
mod notices;
mod own_agent;
#[cfg(target_os = "linux")]
mod sni;
mod window;

use banyan_face::{Clock, Line, Page, Preferences, Show, View, texts};
use banyan_proto::{UnixSeconds, local::Right};
use clap::{Parser, Subcommand};
use instance::Start;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::Duration,
};
use window::Ended;

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
    /// How long the desktop may take to show a tray, before the window is opened instead.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    panel_within: u64,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Opens a package file: who signed it, what it does, and whether it may be installed here.
    Open {
        /// The file, `NAME-VERSION.banyan`.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Cli {
    /// What the window is to show, if it is to be opened at once.
    fn show(&self) -> anyhow::Result<Option<Show>> {
        Ok(match &self.verb {
            // The tray that is told has a working folder of its own.
            Some(Verb::Open { file }) => Some(Show::Package(std::path::absolute(file)?)),
            None => self.open.map(Show::Page),
        })
    }
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
    Open(Show),
    WindowFailed(String),
    /// So long nobody has shown the icon.
    #[cfg(target_os = "linux")]
    NoPanelYet,
}

/// What the agent tells of one moment arrives in pieces, as fast as they can be read; a notice waits until there are no more
/// for so long, or it would speak of half a change.
#[cfg(target_os = "linux")]
const PIECES: Duration = Duration::from_millis(200);
/// Times in words grow old: "2 min left", "tonight".
const REFRESH: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut cli: Cli) -> anyhow::Result<()> {
    let show = cli.show()?;
    let lock = match instance::start(&folder(), show.as_ref().unwrap_or(&Show::Page(Page::Updates)))? {
        Start::First(lock) => lock,
        Start::Told => return Ok(()),
    };
    let (say, heard) = channel();
    let open = say.clone();
    lock.listen(move |show| drop(open.send(Heard::Open(show))))?;
    let changed = say.clone();
    if cli.own_agent {
        cli.socket = own_agent::start(&own_agent::folder()?)?;
    }
    let line = Line::start(cli.socket.clone(), move || drop(changed.send(Heard::Agent)));
    #[cfg(target_os = "linux")]
    full_screen::watch(line.clone());
    if let Some(show) = show {
        drop(say.send(Heard::Open(show)));
    }
    serve(&cli, &line, &say, &heard)
}

/// Where the end of a window is reported.
fn ended_in(say: &Sender<Heard>) -> impl FnOnce(Ended) + Send + 'static {
    let say = say.clone();
    move |ended| {
        drop(say.send(match ended {
            Ended::Failed(why) => Heard::WindowFailed(why),
            Ended::Missed(show) => Heard::Open(show),
        }));
    }
}

/// Of this person and this session; removed by the system at its end.
fn folder() -> PathBuf {
    let own = directories::BaseDirs::new();
    let session = own.as_ref().and_then(|dirs| dirs.runtime_dir().map(ToOwned::to_owned));
    session.or_else(|| own.map(|dirs| dirs.data_local_dir().join("banyan"))).unwrap_or_else(std::env::temp_dir)
}

#[cfg(target_os = "linux")]
fn serve(cli: &Cli, line: &Line, say: &Sender<Heard>, heard: &Receiver<Heard>) -> anyhow::Result<()> {
    use anyhow::Context;
    use model::Action;
    use sni::Said;

    let windows = &mut window::Windows::new(cli.socket.clone());
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
    // At the start of a session the panel may come after us; one that is started again is away for a moment, too.
    let late = say.clone();
    let patience = Duration::from_secs(cli.panel_within);
    std::thread::spawn(move || {
        std::thread::sleep(patience);
        drop(late.send(Heard::NoPanelYet));
    });
    let mut panel = true;
    let mut notices = notices::show::Notices::new(pressed_in(say));
    let mut told = notices::Told::default();
    let mut news: Option<std::time::Instant> = None;
    loop {
        let said = heard.recv_timeout(if news.is_some() { PIECES } else { REFRESH });
        let still = matches!(said, Err(RecvTimeoutError::Timeout));
        match said {
            Ok(Heard::Agent) => news = news.or_else(|| Some(std::time::Instant::now())),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Heard::Icon(Said::Pressed(Action::Quit))) => return Ok(()),
            Ok(Heard::Icon(Said::Pressed(Action::Ask(request)))) => line.ask(&request),
            Ok(Heard::Icon(Said::Pressed(Action::Open(page)))) => drop(say.send(Heard::Open(Show::Page(page)))),
            Ok(Heard::Open(show)) => {
                notice = None;
                windows.open(&show, ended_in(say));
            }
            Ok(Heard::Icon(Said::NoPanel)) => panel = false,
            Ok(Heard::Icon(Said::Panel)) => {
                (panel, notice, windows.no_tray) = (true, None, false);
            }
            Ok(Heard::NoPanelYet) if panel => {}
            Ok(Heard::NoPanelYet) => {
                notice = Some(texts::NO_TRAY.to_owned());
                windows.no_tray = true;
                eprintln!("{}", texts::NO_TRAY);
                drop(say.send(Heard::Open(Show::Page(Page::Updates))));
            }
            Ok(Heard::WindowFailed(why)) => notice = Some(texts::no_window(&why)),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let view = line.view();
        let whole = still || news.is_some_and(|since| since.elapsed() > PIECES * 5);
        if let Some(snapshot) = view.snapshot.as_ref().filter(|_| whole) {
            news = None;
            let clock = Clock::of(Some(snapshot), UnixSeconds::now());
            let (may, incoming) = (view.may(Right::Choose), || Preferences::load().tell_incoming);
            let says;
            (told, says) = notices::next(&told, snapshot, may, incoming, &clock);
            says.into_iter().for_each(|say| notices.carry_out(say));
        }
        let next = shown(&view, notice.as_deref());
        if next != now {
            now = next.clone();
            sni::update(&icon, next);
        }
    }
}

/// Where notices report what was pressed on them: it means the same as in the menu.
#[cfg(target_os = "linux")]
fn pressed_in(say: &Sender<Heard>) -> Sender<model::Action> {
    let (pressed, all) = channel();
    let say = say.clone();
    std::thread::spawn(move || {
        all.into_iter().for_each(|action| drop(say.send(Heard::Icon(sni::Said::Pressed(action)))));
    });
    pressed
}

/// Elsewhere there is no icon yet: the window is opened instead, and again when it is asked for.
#[cfg(not(target_os = "linux"))]
fn serve(cli: &Cli, _line: &Line, say: &Sender<Heard>, heard: &Receiver<Heard>) -> anyhow::Result<()> {
    eprintln!("{}", texts::NO_TRAY);
    let windows = &mut window::Windows::new(cli.socket.clone());
    windows.no_tray = true;
    drop(say.send(Heard::Open(Show::Page(Page::Updates))));
    for heard in heard {
        match heard {
            Heard::Open(show) => {
                windows.open(&show, ended_in(say));
            }
            Heard::WindowFailed(why) => anyhow::bail!("{}", texts::no_window(&why)),
            Heard::Agent => {}
        }
    }
    Ok(())
}
