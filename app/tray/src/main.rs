//! `banyan-tray`: the tray icon. It shows the agent's state, sends the person's choices to the agent, and opens the window
//! as a process of its own.
//!
//! One event loop receives the events of the agent, the icon, further starts and the window. It sleeps while there are none.

#![cfg_attr(not(unix), windows_subsystem = "windows")]

#[cfg(target_os = "linux")]
mod full_screen;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems have no notifications yet"))]
mod notifications;
mod personal_agent;
mod single_instance;
#[cfg(target_os = "linux")]
mod status_notifier;
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems have no tray icon yet"))]
mod tray_model;
mod window_process;

use banyan_proto::{UnixSeconds, local::Right};
use banyan_ui_common::{Clock, Line, Page, Preferences, Show, View, texts};
use clap::{Parser, Subcommand};
use single_instance::Start;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::Duration,
};
use window_process::Ended;

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
    #[arg(long, conflicts_with = "socket")]
    own_agent: bool,
    /// Also open the window at this page
    #[arg(long, value_name = "PAGE", value_parser = page)]
    open: Option<Page>,
    /// Time to wait for a panel before opening the window instead
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    panel_within: u64,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Open a package file: check its publisher, see what it does, install it
    Open {
        /// The package file (NAME-VERSION.banyan)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Cli {
    /// Returns what the window should show at the start, if anything.
    fn show(&self) -> anyhow::Result<Option<Show>> {
        Ok(match &self.verb {
            // The running tray may have another working directory.
            Some(Verb::Open { file }) => Some(Show::Package(std::path::absolute(file)?)),
            None => self.open.map(Show::Page),
        })
    }
}

fn page(text: &str) -> Result<Page, String> {
    let names: Vec<_> = Page::ALL.iter().map(|page| page.code()).collect();
    Page::named(text).ok_or_else(|| format!("no such page; use one of: {}", names.join(", ")))
}

/// An event of the loop.
enum Heard {
    /// The data from the agent changed, or the connection was lost.
    Agent,
    #[cfg(target_os = "linux")]
    Icon(status_notifier::Said),
    /// Another start of this program, the menu or a window that closed too early asks for this.
    Open(Show),
    WindowFailed(String),
    /// The time to wait for a panel is over.
    #[cfg(target_os = "linux")]
    NoPanelYet,
}

/// One change of the agent's state arrives as several events in quick succession. Notifications wait until none has arrived
/// for this long, so that they never describe half a change.
#[cfg(target_os = "linux")]
const PIECES: Duration = Duration::from_millis(200);
/// Interval for updating relative times such as "2 min left" and "tonight".
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
    let lock = match single_instance::start(&folder(), show.as_ref().unwrap_or(&Show::Page(Page::Updates)))? {
        Start::First(lock) => lock,
        Start::Told => return Ok(()),
    };
    let (say, heard) = channel();
    let open = say.clone();
    lock.listen(move |show| drop(open.send(Heard::Open(show))))?;
    let changed = say.clone();
    if cli.own_agent {
        cli.socket = personal_agent::start(&personal_agent::folder()?)?;
    }
    let line = Line::start(cli.socket.clone(), move || drop(changed.send(Heard::Agent)));
    #[cfg(target_os = "linux")]
    full_screen::watch(line.clone());
    if let Some(show) = show {
        drop(say.send(Heard::Open(show)));
    }
    serve(&cli, &line, &say, &heard)
}

/// Returns the callback that reports the end of a window to the loop.
fn ended_in(say: &Sender<Heard>) -> impl FnOnce(Ended) + Send + 'static {
    let say = say.clone();
    move |ended| {
        drop(say.send(match ended {
            Ended::Failed(why) => Heard::WindowFailed(why),
            Ended::Missed(show) => Heard::Open(show),
        }));
    }
}

/// Returns the runtime folder of this person's session, which the system removes when the session ends.
fn folder() -> PathBuf {
    let own = directories::BaseDirs::new();
    let session = own.as_ref().and_then(|dirs| dirs.runtime_dir().map(ToOwned::to_owned));
    session.or_else(|| own.map(|dirs| dirs.data_local_dir().join("banyan"))).unwrap_or_else(std::env::temp_dir)
}

#[cfg(target_os = "linux")]
fn serve(cli: &Cli, line: &Line, say: &Sender<Heard>, heard: &Receiver<Heard>) -> anyhow::Result<()> {
    use anyhow::Context;
    use status_notifier::Said;
    use tray_model::Action;

    let windows = &mut window_process::Windows::new(cli.socket.clone());
    let shown = |view: &View, notice: Option<&str>| {
        let clock = Clock::of(view.snapshot.as_ref(), UnixSeconds::now());
        tray_model::tray(view, notice, cli.own_agent, &clock)
    };
    let (icon_says, icon_said) = channel();
    let pass_on = say.clone();
    std::thread::spawn(move || icon_said.into_iter().for_each(|said| drop(pass_on.send(Heard::Icon(said)))));
    let mut notice: Option<String> = None;
    let mut now = shown(&line.view(), None);
    let icon = status_notifier::show(now.clone(), icon_says).context(
        "cannot show a tray icon: this session has no D-Bus message bus; run `banyan-window` to open the window",
    )?;
    // At the start of a session the panel may start later than the tray, and a restarted panel is gone for a moment.
    let late = say.clone();
    let patience = Duration::from_secs(cli.panel_within);
    std::thread::spawn(move || {
        std::thread::sleep(patience);
        drop(late.send(Heard::NoPanelYet));
    });
    let mut panel = true;
    let mut notices = notifications::desktop::Notices::new(pressed_in(say));
    let mut told = notifications::Told::default();
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
            (told, says) = notifications::next(&told, snapshot, may, incoming, &clock);
            says.into_iter().for_each(|say| notices.carry_out(say));
        }
        let next = shown(&view, notice.as_deref());
        if next != now {
            now = next.clone();
            status_notifier::update(&icon, next);
        }
    }
}

/// Returns the channel for pressed notification buttons, which act like menu entries.
#[cfg(target_os = "linux")]
fn pressed_in(say: &Sender<Heard>) -> Sender<tray_model::Action> {
    let (pressed, all) = channel();
    let say = say.clone();
    std::thread::spawn(move || {
        all.into_iter().for_each(|action| drop(say.send(Heard::Icon(status_notifier::Said::Pressed(action)))));
    });
    pressed
}

/// On other systems there is no icon yet: opens the window instead, and again on request.
#[cfg(not(target_os = "linux"))]
fn serve(cli: &Cli, _line: &Line, say: &Sender<Heard>, heard: &Receiver<Heard>) -> anyhow::Result<()> {
    eprintln!("{}", texts::NO_TRAY);
    let windows = &mut window_process::Windows::new(cli.socket.clone());
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
