//! The tray's event loop: receives the events of the agent, the icon, notifications, further starts and the window. It
//! sleeps while there are none.

use crate::window_process::{WindowExit, WindowLauncher};
use banyan_ui_common::{AgentClient, OpenRequest, Page, texts};
use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, Sender},
    time::Duration,
};
#[cfg(target_os = "linux")]
use {
    crate::{
        notifications::{
            self, NotificationHistory,
            desktop::{NotificationDisplay, NotificationEvent},
        },
        status_notifier::{IconEvent, TrayIcon},
        tray_model::{self, TrayAction},
    },
    anyhow::Context as _,
    banyan_proto::{
        UnixSeconds,
        local::{Right, Snapshot},
    },
    banyan_ui_common::{AgentView, Clock, Preferences},
    std::{
        sync::mpsc::{RecvTimeoutError, channel},
        time::Instant,
    },
};

/// What the loop needs to know of the command line.
pub(crate) struct TrayOptions {
    /// The agent's socket.
    pub(crate) socket: PathBuf,
    /// The agent ends with the tray.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems have no tray icon yet"))]
    pub(crate) is_personal: bool,
    /// How long to wait for a panel before opening the window instead.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "other systems have no tray icon yet"))]
    pub(crate) panel_timeout: Duration,
}

/// An event of the loop.
pub(crate) enum TrayEvent {
    /// The data from the agent changed, or the connection was lost.
    AgentChanged,
    #[cfg(target_os = "linux")]
    Icon(IconEvent),
    #[cfg(target_os = "linux")]
    Notification(NotificationEvent),
    /// Another start of this program, the menu or a window that closed too early asks for this.
    Open(OpenRequest),
    WindowFailed(String),
    /// The time to wait for a panel is over.
    #[cfg(target_os = "linux")]
    PanelTimeout,
    /// The display of the session has closed.
    #[cfg(target_os = "linux")]
    SessionEnded,
}

/// One change of the agent's state arrives as several events in quick succession. Notifications wait until none has arrived
/// for this long, so that they never describe half a change.
#[cfg(target_os = "linux")]
const SETTLE_TIME: Duration = Duration::from_millis(200);
/// Interval for updating relative times such as "2 min left" and "tonight".
#[cfg(target_os = "linux")]
const REFRESH: Duration = Duration::from_secs(60);

/// Returns the callback that reports the end of a window to the loop.
fn report_window_exit(events: &Sender<TrayEvent>) -> impl FnOnce(WindowExit) + Send + 'static {
    let events = events.clone();
    move |exit| {
        drop(events.send(match exit {
            WindowExit::Failed(why) => TrayEvent::WindowFailed(why),
            WindowExit::NotShown(request) => TrayEvent::Open(request),
        }));
    }
}

/// Runs the loop until the person quits or the session ends.
///
/// # Errors
/// Fails when this session cannot show an icon.
#[cfg(target_os = "linux")]
pub(crate) fn run(
    options: &TrayOptions,
    agent: &AgentClient,
    sender: &Sender<TrayEvent>,
    events: &Receiver<TrayEvent>,
) -> anyhow::Result<()> {
    let mut windows = WindowLauncher::new(options.socket.clone());
    let build_tray = |view: &AgentView, notice: Option<&str>| {
        let clock = Clock::of(view.snapshot.as_ref(), UnixSeconds::now());
        tray_model::build_tray(view, notice, options.is_personal, &clock)
    };
    let mut notice: Option<String> = None;
    let mut shown = build_tray(&agent.view(), None);
    let icon = TrayIcon::show(shown.clone(), forward_icon_events(sender)).context(
        "cannot show a tray icon: this session has no D-Bus message bus; run `banyan-window` to open the window",
    )?;
    start_panel_timeout(options.panel_timeout, sender);
    let mut has_panel = true;
    let mut display = NotificationDisplay::new(forward_notification_events(sender));
    // Notifications that no service shows are due to be tried again.
    let mut is_retry_due = false;
    let mut history = NotificationHistory::default();
    let mut changed_since: Option<Instant> = None;
    loop {
        let event = events.recv_timeout(if changed_since.is_some() { SETTLE_TIME } else { REFRESH });
        let is_settled = matches!(event, Err(RecvTimeoutError::Timeout));
        match event {
            Ok(TrayEvent::AgentChanged) => changed_since = changed_since.or_else(|| Some(Instant::now())),
            Err(RecvTimeoutError::Timeout) => is_retry_due |= changed_since.is_none(),
            Ok(TrayEvent::Notification(NotificationEvent::Pressed(action))) => {
                drop(sender.send(TrayEvent::Icon(IconEvent::Pressed(action))));
            }
            Ok(TrayEvent::Notification(NotificationEvent::Progress(order, attempt, state))) => {
                display.record(order, attempt, state);
            }
            Ok(TrayEvent::Notification(NotificationEvent::ServiceGone)) => display.lose_all(),
            Ok(TrayEvent::Notification(NotificationEvent::ServiceStarted)) => is_retry_due = true,
            Ok(
                TrayEvent::Icon(IconEvent::Pressed(TrayAction::Quit) | IconEvent::BusGone) | TrayEvent::SessionEnded,
            ) => {
                return Ok(());
            }
            Ok(TrayEvent::Icon(IconEvent::Pressed(TrayAction::Send(request)))) => agent.send(&request),
            Ok(TrayEvent::Icon(IconEvent::Pressed(TrayAction::OpenPage(page)))) => {
                drop(sender.send(TrayEvent::Open(OpenRequest::Page(page))));
            }
            Ok(TrayEvent::Open(request)) => {
                notice = None;
                windows.open(&request, report_window_exit(sender));
            }
            Ok(TrayEvent::Icon(IconEvent::PanelGone)) => has_panel = false,
            Ok(TrayEvent::Icon(IconEvent::PanelBack)) => {
                has_panel = true;
                notice = None;
                windows.has_no_panel = false;
            }
            Ok(TrayEvent::PanelTimeout) if has_panel && icon.has_place() => {}
            Ok(TrayEvent::PanelTimeout) => {
                notice = Some(texts::tray_menu::NO_TRAY.to_owned());
                windows.has_no_panel = true;
                banyan_ui_common::print_error(texts::tray_menu::NO_TRAY);
                drop(sender.send(TrayEvent::Open(OpenRequest::Page(Page::Updates))));
            }
            Ok(TrayEvent::WindowFailed(why)) => notice = Some(texts::tray_menu::window_failed(&why)),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let view = agent.view();
        let is_whole = is_settled || changed_since.is_some_and(|since| since.elapsed() > SETTLE_TIME * 5);
        if let Some(snapshot) = view.snapshot.as_ref().filter(|_| is_whole) {
            changed_since = None;
            let clock = Clock::of(Some(snapshot), UnixSeconds::now());
            let may_choose = view.may(Right::Choose);
            let wants_incoming = || Preferences::load().notify_of_new_updates;
            let changes;
            (history, changes) = notifications::next_changes(&history, snapshot, may_choose, wants_incoming, &clock);
            changes.into_iter().for_each(|change| display.apply(change));
        }
        // Nothing appears during a full-screen program; without an agent it is unknown whether one runs.
        let is_disturbing = |snapshot: &Snapshot| snapshot.scheduling.signals.full_screen.value == Some(true);
        if is_retry_due && view.snapshot.as_ref().is_some_and(|snapshot| !is_disturbing(snapshot)) {
            is_retry_due = false;
            display.retry();
        }
        let next = build_tray(&view, notice.as_deref());
        if next != shown {
            shown = next.clone();
            icon.draw(next);
        }
    }
}

/// At the start of a session the panel may start later than the tray, and a restarted panel is gone for a moment.
#[cfg(target_os = "linux")]
fn start_panel_timeout(timeout: Duration, events: &Sender<TrayEvent>) {
    let events = events.clone();
    std::thread::spawn(move || {
        std::thread::sleep(timeout);
        drop(events.send(TrayEvent::PanelTimeout));
    });
}

/// Returns the channel for events of the icon.
#[cfg(target_os = "linux")]
fn forward_icon_events(events: &Sender<TrayEvent>) -> Sender<IconEvent> {
    let (sender, receiver) = channel();
    let events = events.clone();
    std::thread::spawn(move || receiver.into_iter().for_each(|event| drop(events.send(TrayEvent::Icon(event)))));
    sender
}

/// Returns the channel for the notifications' events. Pressed buttons act like menu entries.
#[cfg(target_os = "linux")]
fn forward_notification_events(events: &Sender<TrayEvent>) -> Sender<NotificationEvent> {
    let (sender, receiver) = channel();
    let events = events.clone();
    std::thread::spawn(move || {
        receiver.into_iter().for_each(|event| drop(events.send(TrayEvent::Notification(event))));
    });
    sender
}

/// On other systems there is no icon yet: opens the window instead, and again on request.
///
/// # Errors
/// Fails when the window does.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(
    options: &TrayOptions,
    _agent: &AgentClient,
    sender: &Sender<TrayEvent>,
    events: &Receiver<TrayEvent>,
) -> anyhow::Result<()> {
    banyan_ui_common::print_error(texts::tray_menu::NO_TRAY);
    let mut windows = WindowLauncher::new(options.socket.clone());
    windows.has_no_panel = true;
    drop(sender.send(TrayEvent::Open(OpenRequest::Page(Page::Updates))));
    for event in events {
        match event {
            TrayEvent::Open(request) => {
                windows.open(&request, report_window_exit(sender));
            }
            TrayEvent::WindowFailed(why) => anyhow::bail!("{}", texts::tray_menu::window_failed(&why)),
            TrayEvent::AgentChanged => {}
        }
    }
    Ok(())
}
