//! Notifications on Linux: `org.freedesktop.Notifications`, through `notify-rust`. Applies the changes from
//! [`crate::notifications::next_changes`].
//!
//! A notification counts as shown once the desktop's notification service has accepted it. Until then it is tried again:
//! when a service appears, and once a minute. A service that ends loses what it showed, so that is shown again, too
//! ([`NotificationDisplay::lose_all`]).
//!
//! Each notification has a thread that waits for the answer on a connection of its own: some desktops send the answer
//! only to the connection that showed the notification. No such thread runs while nothing is shown. A later notification
//! about the same update goes through the same thread, so that an earlier one neither appears after it nor stays beside
//! it.

use crate::{
    notifications::{Importance, NotificationChange, NotificationKind, UpdateNotification},
    tray_model::TrayAction,
};
use async_channel::{Receiver, Sender};
use banyan_proto::OrderId;
use banyan_ui_common::{Page, texts};
use futures_lite::future::{block_on, or};
use notify_rust::{Hint, Notification, NotificationHandle, NotificationResponse, Timeout, Urgency};
use std::{collections::BTreeMap, thread};
use zbus::{blocking::fdo::DBusProxy, names::BusName};

/// The notification service's name on the bus.
const SERVICE: &str = "org.freedesktop.Notifications";

/// An event of the notifications.
#[derive(Debug)]
pub(crate) enum NotificationEvent {
    /// The person pressed a button.
    Pressed(TrayAction),
    /// The attempt with this number at an update's notification has got this far.
    Progress(OrderId, u64, Attempt),
    /// The notification service left the bus, and with it all that it showed.
    ServiceGone,
    /// A notification service appeared on the bus.
    ServiceStarted,
}

/// How far an attempt to show a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// No service has accepted it yet.
    Pending,
    /// The service has accepted it.
    Shown,
    /// No service accepted it, or the one that did is gone.
    Failed,
    /// The person answered or dismissed the notification with this number, its time on the screen was over, or it was
    /// closed.
    Over(u64),
}

/// What a notification's thread is told.
enum Command {
    Replace(u64, UpdateNotification),
    Close,
    /// The service that showed it is gone; another thread shows it again.
    Abandon,
}

/// One notification that should be on the screen.
struct Standing {
    notification: UpdateNotification,
    /// The notification's number.
    number: u64,
    attempt: u64,
    state: Attempt,
    thread: Sender<Command>,
}

/// The notifications that should be on the screen.
pub(crate) struct NotificationDisplay {
    standing: BTreeMap<OrderId, Standing>,
    attempts: u64,
    numbers: u64,
    events: std::sync::mpsc::Sender<NotificationEvent>,
    /// The problem has been written to the log.
    is_failing: bool,
}

impl NotificationDisplay {
    /// Returns an empty set, and reports to `events` when a notification service appears.
    pub(crate) fn new(events: std::sync::mpsc::Sender<NotificationEvent>) -> Self {
        let started = events.clone();
        thread::spawn(move || watch_service(&started));
        Self { standing: BTreeMap::new(), attempts: 0, numbers: 0, events, is_failing: false }
    }

    /// Applies a change.
    pub(crate) fn apply(&mut self, change: NotificationChange) {
        match change {
            NotificationChange::Show(notification) => {
                self.numbers += 1;
                match self.standing.get_mut(&notification.order).filter(|known| known.state != Attempt::Failed) {
                    Some(known) => {
                        (known.number, known.notification) = (self.numbers, notification.clone());
                        // A thread that has just ended did not see it, which [`Self::record`] notices.
                        drop(known.thread.try_send(Command::Replace(self.numbers, notification)));
                    }
                    None => self.show(self.numbers, notification),
                }
            }
            NotificationChange::Close(order) => {
                if let Some(known) = self.standing.remove(&order) {
                    drop(known.thread.try_send(Command::Close));
                }
            }
        }
    }

    /// Records how far an attempt is. An attempt that another one has replaced no longer counts.
    pub(crate) fn record(&mut self, order: OrderId, attempt: u64, state: Attempt) {
        let Some(known) = self.standing.get_mut(&order).filter(|known| known.attempt == attempt) else { return };
        known.state = state;
        match state {
            Attempt::Pending => {}
            Attempt::Shown => self.is_failing = false,
            Attempt::Failed => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    banyan_ui_common::print_error(
                        "no notification service accepts notifications; the tray menu has the same information",
                    );
                }
            }
            Attempt::Over(number) if number == known.number => drop(self.standing.remove(&order)),
            Attempt::Over(_) => {
                let (number, notification) = (known.number, known.notification.clone());
                self.show(number, notification);
            }
        }
    }

    /// Records that the service is gone with everything it showed. What is being shown at the moment fails by itself, or
    /// reaches the next service.
    pub(crate) fn lose_all(&mut self) {
        for known in self.standing.values_mut().filter(|known| known.state == Attempt::Shown) {
            known.state = Attempt::Failed;
        }
    }

    /// Tries again what no service shows.
    pub(crate) fn retry(&mut self) {
        let failed = self.standing.values().filter(|known| known.state == Attempt::Failed);
        let again: Vec<_> = failed.map(|known| (known.number, known.notification.clone())).collect();
        again.into_iter().for_each(|(number, notification)| self.show(number, notification));
    }

    /// Starts an attempt to show a notification, in place of an earlier one.
    fn show(&mut self, number: u64, notification: UpdateNotification) {
        let (thread, commands) = async_channel::unbounded();
        self.attempts += 1;
        let (order, attempt, events) = (notification.order, self.attempts, self.events.clone());
        let standing =
            Standing { notification: notification.clone(), number, attempt, state: Attempt::Pending, thread };
        if let Some(before) = self.standing.insert(order, standing) {
            drop(before.thread.try_send(Command::Abandon));
        }
        thread::spawn(move || {
            let tell = |state| drop(events.send(NotificationEvent::Progress(order, attempt, state)));
            let press = |action| drop(events.send(NotificationEvent::Pressed(action)));
            let ended = block_on(show_until_closed(number, notification, &commands, &tell, &press));
            tell(ended.map_or(Attempt::Failed, Attempt::Over));
        });
    }
}

/// Reports whenever a notification service leaves the bus or appears there. Returns when the bus is gone.
fn watch_service(events: &std::sync::mpsc::Sender<NotificationEvent>) {
    let watch = || -> zbus::Result<()> {
        let bus = zbus::blocking::Connection::session()?;
        let changes = DBusProxy::new(&bus)?.receive_name_owner_changed_with_args(&[(0, SERVICE)])?;
        for change in changes {
            let change = change.args()?;
            if *change.name() != BusName::try_from(SERVICE)? {
                continue;
            }
            if change.old_owner().is_some() {
                drop(events.send(NotificationEvent::ServiceGone));
            }
            if change.new_owner().is_some() {
                drop(events.send(NotificationEvent::ServiceStarted));
            }
        }
        Ok(())
    };
    // Without this watch, what was not accepted is still tried once a minute.
    drop(watch());
}

/// What a notification's thread waits for.
enum Next {
    /// The person pressed the button with this key; none: they dismissed the notification.
    Answered(Option<String>),
    /// The display wants a change; none: the tray has ended.
    Told(Option<Command>),
}

/// Shows a notification and its replacements until it is answered, dismissed, closed or abandoned. Returns the number of
/// the last one.
async fn show_until_closed(
    mut number: u64,
    mut notification: UpdateNotification,
    commands: &Receiver<Command>,
    tell: &dyn Fn(Attempt),
    press: &dyn Fn(TrayAction),
) -> notify_rust::error::Result<u64> {
    let mut handle = to_desktop(&notification).show_async().await?;
    tell(Attempt::Shown);
    loop {
        match or(wait_for_answer(&handle), async { Next::Told(commands.recv().await.ok()) }).await {
            Next::Answered(key) => {
                if let Some(action) = key.and_then(|key| action_for_key(&notification, &key)) {
                    press(action);
                }
                return Ok(number);
            }
            Next::Told(Some(Command::Replace(next_number, next))) => {
                *handle = to_desktop(&next);
                handle.update()?;
                (number, notification) = (next_number, next);
            }
            // Closing it would close a notification of the new service that got the same number.
            Next::Told(Some(Command::Abandon)) => return Ok(number),
            Next::Told(Some(Command::Close) | None) => {
                handle.close_async().await;
                return Ok(number);
            }
        }
    }
}

async fn wait_for_answer(handle: &NotificationHandle) -> Next {
    let mut key = None;
    handle
        .wait_for_action_async(|response: &NotificationResponse| match response {
            NotificationResponse::Default => key = Some(DEFAULT.to_owned()),
            NotificationResponse::Action(action) => key = Some(action.clone()),
            NotificationResponse::Reply(_) | NotificationResponse::Closed(_) => {}
        })
        .await;
    Next::Answered(key)
}

/// The key for a press on the notification itself, outside its buttons.
const DEFAULT: &str = "default";
/// The action of that key.
const DETAILS: TrayAction = TrayAction::OpenPage(Page::Updates);

fn action_for_key(notification: &UpdateNotification, key: &str) -> Option<TrayAction> {
    if key == DEFAULT {
        return Some(DETAILS);
    }
    let (_, action) = notification.buttons.get(key.parse::<usize>().ok()?)?;
    Some(action.clone())
}

fn to_desktop(notification: &UpdateNotification) -> Notification {
    let mut shown = Notification::new();
    // The notification server interprets markup; texts of packages must not contain any.
    let body = notification.body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    shown.appname(texts::PRODUCT).summary(&notification.title).body(&body);
    shown.hint(Hint::DesktopEntry("banyan".to_owned()));
    shown.icon(match notification.kind {
        NotificationKind::Failed => "dialog-warning",
        NotificationKind::Countdown { .. } => "software-update-urgent",
        NotificationKind::Incoming | NotificationKind::Ready | NotificationKind::Done => "software-update-available",
    });
    shown.urgency(match notification.importance {
        Importance::Low => Urgency::Low,
        Importance::Normal => Urgency::Normal,
        Importance::High => Urgency::Critical,
    });
    if notification.importance == Importance::High {
        shown.timeout(Timeout::Never);
    }
    for (n, (label, action)) in notification.buttons.iter().enumerate() {
        // Some desktops draw a button for the default key, so a second key for the same action would show it twice.
        let key = if *action == DETAILS { DEFAULT.to_owned() } else { n.to_string() };
        shown.action(&key, label);
    }
    shown
}
