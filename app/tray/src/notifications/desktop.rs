//! Notifications on Linux: `org.freedesktop.Notifications`, through `notify-rust`. Applies the changes from
//! [`crate::notifications::next_changes`].
//!
//! Each notification has a thread that waits for the answer on a connection of its own: some desktops send the answer
//! only to the connection that showed the notification. No thread runs while nothing is shown.

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

/// The notifications on the screen.
pub(crate) struct NotificationDisplay {
    /// The channel to each notification's thread.
    open: BTreeMap<OrderId, Sender<NotificationChange>>,
    pressed: std::sync::mpsc::Sender<TrayAction>,
}

impl NotificationDisplay {
    /// Returns an empty set. Pressed buttons are sent to `pressed`.
    pub(crate) fn new(pressed: std::sync::mpsc::Sender<TrayAction>) -> Self {
        Self { open: BTreeMap::new(), pressed }
    }

    /// Applies a change.
    pub(crate) fn apply(&mut self, change: NotificationChange) {
        let order = match &change {
            NotificationChange::Show(notification) => notification.order,
            NotificationChange::Close(order) => *order,
        };
        let undelivered = match self.open.get(&order) {
            Some(thread) => thread.try_send(change).err().map(async_channel::TrySendError::into_inner),
            None => Some(change),
        };
        match undelivered {
            None => {}
            // The notification is already gone.
            Some(NotificationChange::Close(_)) => drop(self.open.remove(&order)),
            Some(NotificationChange::Show(notification)) => {
                let (sender, changes) = async_channel::unbounded();
                self.open.insert(order, sender);
                let pressed = self.pressed.clone();
                thread::spawn(move || {
                    if let Err(error) = block_on(show_until_closed(notification, &changes, &pressed)) {
                        eprintln!("cannot show a notification: {error}; the tray menu has the same information");
                    }
                });
            }
        }
    }
}

/// An event for a notification.
enum NotificationEvent {
    /// The person pressed the button with this key; none: they dismissed the notification.
    Answered(Option<String>),
    /// The tray wants a change; none: the tray has ended.
    Changed(Option<NotificationChange>),
}

/// Shows a notification and its replacements until it is answered, dismissed or closed.
async fn show_until_closed(
    mut notification: UpdateNotification,
    changes: &Receiver<NotificationChange>,
    pressed: &std::sync::mpsc::Sender<TrayAction>,
) -> notify_rust::error::Result<()> {
    let mut handle = to_desktop(&notification).show_async().await?;
    loop {
        match or(wait_for_answer(&handle), async { NotificationEvent::Changed(changes.recv().await.ok()) }).await {
            NotificationEvent::Answered(key) => {
                if let Some(action) = key.and_then(|key| action_for_key(&notification, &key)) {
                    // The receiver exists until the program ends.
                    drop(pressed.send(action));
                }
                // A replacement may have arrived while the notification was dismissed.
                let Ok(NotificationChange::Show(next)) = changes.try_recv() else { return Ok(()) };
                handle = to_desktop(&next).show_async().await?;
                notification = next;
            }
            NotificationEvent::Changed(Some(NotificationChange::Show(next))) => {
                *handle = to_desktop(&next);
                handle.update()?;
                notification = next;
            }
            NotificationEvent::Changed(Some(NotificationChange::Close(_)) | None) => {
                handle.close_async().await;
                return Ok(());
            }
        }
    }
}

async fn wait_for_answer(handle: &NotificationHandle) -> NotificationEvent {
    let mut key = None;
    handle
        .wait_for_action_async(|response: &NotificationResponse| match response {
            NotificationResponse::Default => key = Some(DEFAULT.to_owned()),
            NotificationResponse::Action(action) => key = Some(action.clone()),
            NotificationResponse::Reply(_) | NotificationResponse::Closed(_) => {}
        })
        .await;
    NotificationEvent::Answered(key)
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
