//! A mock notification server that keeps its notifications as data: those now shown, and all that were ever shown.

use banyan_tests::test_desktop::TestDesktop;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use zbus::{
    blocking::{Connection, connection::Builder},
    zvariant::OwnedValue,
};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// One notification.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) title: String,
    /// The key and label of each button.
    pub(crate) buttons: Vec<(String, String)>,
    /// The urgency: 0 low, 1 normal, 2 critical.
    pub(crate) urgency: u8,
}

#[derive(Default)]
struct Board {
    last: u32,
    standing: BTreeMap<u32, Shown>,
    all: Vec<String>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Board>>);

impl Server {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Server {
    #[expect(clippy::too_many_arguments, clippy::needless_pass_by_value, reason = "defined by the protocol")]
    fn notify(
        &self,
        _program: String,
        replaces: u32,
        _icon: String,
        title: String,
        _body: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut board = self.board();
        let id = if replaces > 0 { replaces } else { board.last + 1 };
        board.last = board.last.max(id);
        board.all.push(title.clone());
        let buttons = actions.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let urgency = hints.get("urgency").and_then(|value| u8::try_from(value).ok()).unwrap_or(1);
        board.standing.insert(id, Shown { title, buttons, urgency });
        id
    }
    fn close_notification(&self, id: u32) {
        self.board().standing.remove(&id);
    }
    fn get_capabilities(&self) -> Vec<String> {
        vec!["actions".to_owned(), "body".to_owned()]
    }
    fn get_server_information(&self) -> (String, String, String, String) {
        ("tests".to_owned(), "Banyan".to_owned(), "1".to_owned(), "1.2".to_owned())
    }
}

/// The mock notification server.
pub(crate) struct Notifications {
    server: Server,
    bus: Connection,
}

impl Notifications {
    /// Takes the server's name on the bus of this desktop.
    pub(crate) fn on(desktop: &TestDesktop) -> Self {
        let server = Server::default();
        let built = Builder::address(desktop.address())
            .and_then(|builder| builder.serve_at(PATH, server.clone()))
            .and_then(|builder| builder.name(NAME))
            .and_then(Builder::build);
        Self { server, bus: built.expect("the bus name is free") }
    }
    /// Returns the notifications now shown, with their ids.
    pub(crate) fn standing(&self) -> Vec<(u32, Shown)> {
        self.server.board().standing.iter().map(|(id, shown)| (*id, shown.clone())).collect()
    }
    /// Returns the only notification shown, if its title begins with `title`.
    pub(crate) fn only(&self, title: &str) -> Option<(u32, Shown)> {
        let mut standing = self.standing();
        (standing.len() == 1 && standing[0].1.title.starts_with(title)).then(|| standing.remove(0))
    }
    /// Returns the titles of all notifications ever shown, oldest first.
    pub(crate) fn all(&self) -> Vec<String> {
        self.server.board().all.clone()
    }
    /// Presses a button as a user would, which also closes the notification. A program that is not listening yet misses
    /// it.
    pub(crate) fn press(&self, id: u32, key: &str) {
        self.server.board().standing.remove(&id);
        let pressed = self.bus.emit_signal(None::<&str>, PATH, NAME, "ActionInvoked", &(id, key));
        let closed = self.bus.emit_signal(None::<&str>, PATH, NAME, "NotificationClosed", &(id, 2_u32));
        pressed.and(closed).expect("the signal can be sent");
    }
}
