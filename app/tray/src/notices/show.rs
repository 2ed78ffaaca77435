//! Notices on Linux: `org.freedesktop.Notifications`, through `notify-rust`. Carries out what [`super::next`] says.
//!
//! Each notice has a thread that waits for its answer as long as it stands, on a connection of its own: some desktops tell
//! the answer only to whoever showed it. Nothing runs when nothing is shown.

use super::{Kind, Notice, Say, Weight};
use crate::model::Action;
use async_channel::{Receiver, Sender};
use banyan_face::{Page, texts};
use banyan_proto::DeploymentId;
use futures_lite::future::{block_on, or};
use notify_rust::{Hint, Notification, NotificationHandle, NotificationResponse, Timeout, Urgency};
use std::{collections::BTreeMap, thread};

/// The notices that stand.
pub(crate) struct Notices {
    standing: BTreeMap<DeploymentId, Sender<Say>>,
    pressed: std::sync::mpsc::Sender<Action>,
}

impl Notices {
    /// None yet. What is pressed goes to `pressed`.
    pub(crate) fn new(pressed: std::sync::mpsc::Sender<Action>) -> Self {
        Self { standing: BTreeMap::new(), pressed }
    }

    /// Does what is said.
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
            // Nothing stands any longer.
            Some(Say::Close(_)) => drop(self.standing.remove(&order)),
            Some(Say::Show(notice)) => {
                let (tell, told) = async_channel::unbounded();
                self.standing.insert(order, tell);
                let pressed = self.pressed.clone();
                thread::spawn(move || {
                    if let Err(error) = block_on(stand(notice, &told, &pressed)) {
                        eprintln!("a notice could not be shown ({error}); the tray's menu says the same");
                    }
                });
            }
        }
    }
}

/// What a notice waits for.
enum Heard {
    /// The person pressed this key, or none: it was put away.
    Answer(Option<String>),
    Said(Option<Say>),
}

/// Shows a notice, and those that take its place, until it is answered, put away or over.
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
                    // The receiver is gone only when the program ends.
                    drop(pressed.send(action));
                }
                // Said in the moment in which it was put away.
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

/// The key of the notice itself, when it is pressed beside its buttons.
const DEFAULT: &str = "default";
/// What that means.
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
    // Markup is the notification server's; names and words of packages are not.
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
        // Some desktops draw a button for the default key, too; under a second key it would be there twice.
        let key = if *action == DETAILS { DEFAULT.to_owned() } else { n.to_string() };
        shown.action(&key, label);
    }
    shown
}
