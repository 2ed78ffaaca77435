//! Notifications on Linux: `org.freedesktop.Notifications`, through `notify-rust`. Applies the changes from
//! [`crate::notifications::next`].
//!
//! Each notification has a thread that waits for the answer on a connection of its own: some desktops send the answer
//! only to the connection that showed the notification. No thread runs while nothing is shown.

use crate::notifications::{Kind, Notice, Say, Weight};
use crate::tray_model::Action;
use async_channel::{Receiver, Sender};
use banyan_proto::OrderId;
use banyan_ui_common::{Page, texts};
use futures_lite::future::{block_on, or};
use notify_rust::{Hint, Notification, NotificationHandle, NotificationResponse, Timeout, Urgency};
use std::{collections::BTreeMap, thread};

/// The notifications on the screen.
pub(crate) struct Notices {
    standing: BTreeMap<OrderId, Sender<Say>>,
    pressed: std::sync::mpsc::Sender<Action>,
}

impl Notices {
    /// Returns an empty set. Pressed buttons are sent to `pressed`.
    pub(crate) fn new(pressed: std::sync::mpsc::Sender<Action>) -> Self {
        Self { standing: BTreeMap::new(), pressed }
    }

    /// Applies a change.
    pub(crate) fn carry_out(&mut self, say: Say) {
        let order = match &say {
            Say::Show(notice) => notice.order,
            Say::Close(order) => *order,
        };
        let left = match self.standing.get(&order) {
            Some(thread) => thread.try_send(say).err().map(async_channel::TrySendError::into_inner),
            None => Some(say),
        };
        match left {
            None => {}
            // The notification is already gone.
            Some(Say::Close(_)) => drop(self.standing.remove(&order)),
            Some(Say::Show(notice)) => {
                let (tell, told) = async_channel::unbounded();
                self.standing.insert(order, tell);
                let pressed = self.pressed.clone();
                thread::spawn(move || {
                    if let Err(error) = block_on(stand(notice, &told, &pressed)) {
                        eprintln!("cannot show a notification: {error}; the tray menu has the same information");
                    }
                });
            }
        }
    }
}

/// An event for a notification.
enum Heard {
    /// The person pressed the button with this key; none: they dismissed the notification.
    Answer(Option<String>),
    Said(Option<Say>),
}

/// Shows a notification and its replacements until it is answered, dismissed or closed.
async fn stand(
    mut notice: Notice,
    told: &Receiver<Say>,
    pressed: &std::sync::mpsc::Sender<Action>,
) -> notify_rust::error::Result<()> {
    let mut handle = dressed(&notice).show_async().await?;
    loop {
        match or(answer(&handle), async { Heard::Said(told.recv().await.ok()) }).await {
            Heard::Answer(key) => {
                if let Some(action) = key.and_then(|key| action(&notice, &key)) {
                    // The receiver exists until the program ends.
                    drop(pressed.send(action));
                }
                // A replacement may have arrived while the notification was dismissed.
                let Ok(Say::Show(next)) = told.try_recv() else { return Ok(()) };
                handle = dressed(&next).show_async().await?;
                notice = next;
            }
            Heard::Said(Some(Say::Show(next))) => {
                *handle = dressed(&next);
                handle.update()?;
                notice = next;
            }
            Heard::Said(Some(Say::Close(_)) | None) => {
                handle.close_async().await;
                return Ok(());
            }
        }
    }
}

async fn answer(handle: &NotificationHandle) -> Heard {
    let mut key = None;
    handle
        .wait_for_action_async(|response: &NotificationResponse| match response {
            NotificationResponse::Default => key = Some(DEFAULT.to_owned()),
            NotificationResponse::Action(action) => key = Some(action.clone()),
            NotificationResponse::Reply(_) | NotificationResponse::Closed(_) => {}
        })
        .await;
    Heard::Answer(key)
}

/// The key for a press on the notification itself, outside its buttons.
const DEFAULT: &str = "default";
/// The action of that key.
const DETAILS: Action = Action::Open(Page::Updates);

fn action(notice: &Notice, key: &str) -> Option<Action> {
    if key == DEFAULT {
        return Some(DETAILS);
    }
    let (_, action) = notice.buttons.get(key.parse::<usize>().ok()?)?;
    Some(action.clone())
}

fn dressed(notice: &Notice) -> Notification {
    let mut shown = Notification::new();
    // The notification server interprets markup; texts of packages must not contain any.
    let body = notice.body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    shown.appname(texts::PRODUCT).summary(&notice.title).body(&body);
    shown.hint(Hint::DesktopEntry("banyan".to_owned()));
    shown.icon(match notice.kind {
        Kind::Failed => "dialog-warning",
        Kind::Countdown { .. } => "software-update-urgent",
        Kind::Incoming | Kind::Ready | Kind::Done => "software-update-available",
    });
    shown.urgency(match notice.weight {
        Weight::Low => Urgency::Low,
        Weight::Normal => Urgency::Normal,
        Weight::High => Urgency::Critical,
    });
    if notice.weight == Weight::High {
        shown.timeout(Timeout::Never);
    }
    for (n, (label, action)) in notice.buttons.iter().enumerate() {
        // Some desktops draw a button for the default key, so a second key for the same action would show it twice.
        let key = if *action == DETAILS { DEFAULT.to_owned() } else { n.to_string() };
        shown.action(&key, label);
    }
    shown
}
