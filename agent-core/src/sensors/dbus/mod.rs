//! Conditions from D-Bus system services: battery (UPower), power saver (power-profiles-daemon), metered networks
//! (NetworkManager) and presence (logind). Linux only.
//!
//! The agent listens to the bus as long as it runs, because an offer must be judged before there is time to ask.
//! Changes of these four are rare. Frequent changes, such as the battery's charge, are not listened to but read again
//! while there is work ([`User::ask_services`]). The same goes for the idle times of terminals, which no service
//! announces. A missing bus or service means unknown values and is not reported.

mod connection;
mod message;
mod parse;
mod value;

use super::{RefreshRequest, ServiceValues};
use crate::user::User;
use connection::Connection;
use message::Call;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use value::{Properties, Value};

const UPOWER: (&str, &str) = ("org.freedesktop.UPower", "/org/freedesktop/UPower");
const BATTERY: (&str, &str) = ("org.freedesktop.UPower.Device", "/org/freedesktop/UPower/devices/DisplayDevice");
/// The current name, and the previous one.
const PROFILES: [(&str, &str); 2] = [
    ("org.freedesktop.UPower.PowerProfiles", "/org/freedesktop/UPower/PowerProfiles"),
    ("net.hadess.PowerProfiles", "/net/hadess/PowerProfiles"),
];
const NETWORK: (&str, &str) = ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager");
const PRIMARY: &str = "org.freedesktop.NetworkManager.Connection.Active";
const LOGIND: (&str, &str) = ("org.freedesktop.login1", "/org/freedesktop/login1");
const LOGIND_MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
/// Maximum number of sessions read.
const SESSIONS: usize = 64;
/// Changes often come in groups: this is the wait before the values are read.
const TOGETHER: Duration = Duration::from_millis(50);

/// Listens to the services until the channel closes, and reads their values again on request.
pub(crate) async fn run(user: Arc<User>, mut asked: mpsc::Receiver<RefreshRequest>) {
    let mut pending = None;
    loop {
        if let Err(error) = listen(&user, &mut asked, pending).await {
            tracing::debug!(%error, "no connection to the system bus");
        }
        // The connection is lost or never existed: earlier reports no longer count. Reconnect at the next request.
        user.set_service_values(ServiceValues::default());
        pending = asked.recv().await;
        if pending.is_none() {
            return;
        }
    }
}

/// Listens until the connection is lost. Drops `pending` once all values have been read.
async fn listen(
    user: &Arc<User>,
    asked: &mut mpsc::Receiver<RefreshRequest>,
    mut pending: Option<RefreshRequest>,
) -> io::Result<()> {
    let mut connection = Connection::connect().await?;
    for rule in rules() {
        connection.listen(&rule).await?;
    }
    loop {
        user.set_service_values(read_values(&mut connection).await?);
        drop(pending.take());
        tokio::select! {
            changed = connection.change() => {
                changed?;
                tokio::time::sleep(TOGETHER).await;
                while let Ok(changed) = tokio::time::timeout(Duration::ZERO, connection.change()).await {
                    changed?;
                }
            }
            done = asked.recv() => match done {
                Some(done) => pending = Some(done),
                None => std::future::pending().await,
            },
        }
    }
}

/// Returns the match rules: changes of the objects that are read, and the start and end of these services.
fn rules() -> impl Iterator<Item = String> {
    let signal = "type='signal'";
    let of = move |(service, path): (&str, &str), interface: &str| {
        let member = "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'";
        format!("{signal},sender='{service}',path='{path}',{member},arg0='{interface}'")
    };
    let own = [UPOWER, PROFILES[0], PROFILES[1], NETWORK].map(move |place| of(place, place.0));
    let sessions = format!(
        "{signal},sender='{}',path_namespace='{}/session',member='PropertiesChanged',arg0='{SESSION}'",
        LOGIND.0, LOGIND.1
    );
    let session_changes = ["SessionNew", "SessionRemoved"].map(move |member| {
        format!("{signal},sender='{}',path='{}',interface='{LOGIND_MANAGER}',member='{member}'", LOGIND.0, LOGIND.1)
    });
    let services = [UPOWER.0, PROFILES[0].0, PROFILES[1].0, NETWORK.0, LOGIND.0].map(move |service| {
        format!("{signal},sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{service}'")
    });
    own.into_iter().chain([sessions]).chain(session_changes).chain(services)
}

async fn read_values(connection: &mut Connection) -> io::Result<ServiceValues> {
    let mut values = ServiceValues::default();
    if let Some(manager) = connection.properties(UPOWER.0, UPOWER.1, UPOWER.0).await? {
        let display = connection.properties(UPOWER.0, BATTERY.1, BATTERY.0).await?;
        values.battery = parse::battery(&manager, display.as_ref());
    }
    for (service, path) in PROFILES {
        if let Some(profiles) = connection.properties(service, path, service).await? {
            values.saver = parse::saver(&profiles);
            break;
        }
    }
    if let Some(manager) = connection.properties(NETWORK.0, NETWORK.1, NETWORK.0).await?
        && let Some(path) = manager.text("PrimaryConnection").filter(|path| *path != "/")
        && let Some(primary) = connection.properties(NETWORK.0, path, PRIMARY).await?
    {
        values.network = parse::network(&manager, &primary);
    }
    if let Some(sessions) = sessions(connection).await? {
        values.presence = parse::presence(&sessions);
    }
    Ok(values)
}

/// Returns logind's sessions; `None` when it does not run.
async fn sessions(connection: &mut Connection) -> io::Result<Option<Vec<Properties>>> {
    let list = Call { to: LOGIND.0, path: LOGIND.1, interface: LOGIND_MANAGER, member: "ListSessions", arguments: &[] };
    let Some(listed) = connection.call(list).await? else { return Ok(None) };
    // Each entry is (id, user's number, user's name, seat, path).
    let path = |session: &Value| Some(session.list()?.get(4)?.text()?.to_owned());
    let listed = listed.first().and_then(Value::list).unwrap_or_default();
    let mut sessions = Vec::new();
    for path in listed.iter().filter_map(path).take(SESSIONS) {
        // A session that has ended since is skipped.
        sessions.extend(connection.properties(LOGIND.0, &path, SESSION).await?);
    }
    Ok(Some(sessions))
}
