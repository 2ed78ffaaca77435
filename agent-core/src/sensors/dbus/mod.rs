//! Conditions from D-Bus system services: battery (UPower), power saver (power-profiles-daemon), metered networks
//! (NetworkManager) and presence (logind). Linux only.
//!
//! The agent listens to the bus as long as it runs, because an offer must be judged before there is time to ask.
//! Changes of these four are rare. Frequent changes, such as the battery's charge, are not listened to but read again
//! while there is work ([`Sensors::refresh_services`]). The same goes for the idle times of terminals, which no service
//! announces. A missing bus or service means unknown values and is not reported.

mod connection;
mod message;
mod parse;
mod value;

use crate::sensors::{RefreshRequest, Sensors, services::ServiceValues};
use connection::Connection;
use message::Call;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use value::{Properties, Value};

/// An object on the bus that this agent reads.
#[derive(Clone, Copy)]
struct BusObject {
    service: &'static str,
    path: &'static str,
    interface: &'static str,
}

const UPOWER: BusObject = BusObject {
    service: "org.freedesktop.UPower",
    path: "/org/freedesktop/UPower",
    interface: "org.freedesktop.UPower",
};
const BATTERY: BusObject = BusObject {
    service: "org.freedesktop.UPower",
    path: "/org/freedesktop/UPower/devices/DisplayDevice",
    interface: "org.freedesktop.UPower.Device",
};
/// The power profiles by their current name, and by the previous one.
const PROFILES: [BusObject; 2] = [
    BusObject {
        service: "org.freedesktop.UPower.PowerProfiles",
        path: "/org/freedesktop/UPower/PowerProfiles",
        interface: "org.freedesktop.UPower.PowerProfiles",
    },
    BusObject {
        service: "net.hadess.PowerProfiles",
        path: "/net/hadess/PowerProfiles",
        interface: "net.hadess.PowerProfiles",
    },
];
const NETWORK: BusObject = BusObject {
    service: "org.freedesktop.NetworkManager",
    path: "/org/freedesktop/NetworkManager",
    interface: "org.freedesktop.NetworkManager",
};
const ACTIVE_CONNECTION: &str = "org.freedesktop.NetworkManager.Connection.Active";
const LOGIND: BusObject = BusObject {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
};
const SESSION: &str = "org.freedesktop.login1.Session";
/// Maximum number of sessions read.
const MAX_SESSIONS: usize = 64;
/// Changes often come in groups: this is the wait before the values are read.
const SETTLE: Duration = Duration::from_millis(50);

/// Listens to the services until the channel closes, and reads their values again on request.
pub(super) async fn run(sensors: Arc<Sensors>, mut requests: mpsc::Receiver<RefreshRequest>) {
    let mut pending = None;
    loop {
        if let Err(error) = listen(&sensors, &mut requests, pending).await {
            tracing::debug!(%error, "no connection to the system bus");
        }
        // The connection is lost or never existed: earlier reports no longer count. Reconnect at the next request.
        sensors.set_service_values(ServiceValues::default());
        pending = requests.recv().await;
        if pending.is_none() {
            return;
        }
    }
}

/// Listens until the connection is lost. Drops `pending` once all values have been read.
async fn listen(
    sensors: &Arc<Sensors>,
    requests: &mut mpsc::Receiver<RefreshRequest>,
    mut pending: Option<RefreshRequest>,
) -> io::Result<()> {
    let mut connection = Connection::connect().await?;
    for rule in rules() {
        connection.add_match(&rule).await?;
    }
    loop {
        sensors.set_service_values(read_values(&mut connection).await?);
        drop(pending.take());
        tokio::select! {
            changed = connection.next_change() => {
                changed?;
                tokio::time::sleep(SETTLE).await;
                while let Ok(changed) = tokio::time::timeout(Duration::ZERO, connection.next_change()).await {
                    changed?;
                }
            }
            done = requests.recv() => match done {
                Some(done) => pending = Some(done),
                None => std::future::pending().await,
            },
        }
    }
}

/// Returns the match rules: changes of the objects that are read, and the start and end of these services.
fn rules() -> impl Iterator<Item = String> {
    let signal = "type='signal'";
    let own = [UPOWER, PROFILES[0], PROFILES[1], NETWORK].map(move |BusObject { service, path, interface }| {
        let member = "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'";
        format!("{signal},sender='{service}',path='{path}',{member},arg0='{interface}'")
    });
    let BusObject { service, path, interface } = LOGIND;
    let sessions = format!(
        "{signal},sender='{service}',path_namespace='{path}/session',member='PropertiesChanged',arg0='{SESSION}'"
    );
    let session_changes = ["SessionNew", "SessionRemoved"].map(move |member| {
        format!("{signal},sender='{service}',path='{path}',interface='{interface}',member='{member}'")
    });
    let services = [UPOWER, PROFILES[0], PROFILES[1], NETWORK, LOGIND].map(move |BusObject { service, .. }| {
        format!("{signal},sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{service}'")
    });
    own.into_iter().chain([sessions]).chain(session_changes).chain(services)
}

async fn read_values(connection: &mut Connection) -> io::Result<ServiceValues> {
    let mut values = ServiceValues::default();
    if let Some(manager) = read_object(connection, UPOWER).await? {
        let display = read_object(connection, BATTERY).await?;
        values.battery = parse::battery(&manager, display.as_ref());
    }
    for profiles in PROFILES {
        if let Some(profiles) = read_object(connection, profiles).await? {
            values.saver = parse::power_saver(&profiles);
            break;
        }
    }
    if let Some(manager) = read_object(connection, NETWORK).await?
        && let Some(path) = manager.text("PrimaryConnection").filter(|path| *path != "/")
        && let Some(primary) = connection.properties(NETWORK.service, path, ACTIVE_CONNECTION).await?
    {
        values.network = parse::network(&manager, &primary);
    }
    if let Some(sessions) = read_sessions(connection).await? {
        values.presence = parse::presence(&sessions);
    }
    Ok(values)
}

async fn read_object(connection: &mut Connection, object: BusObject) -> io::Result<Option<Properties>> {
    connection.properties(object.service, object.path, object.interface).await
}

/// Returns logind's sessions; `None` when it does not run.
async fn read_sessions(connection: &mut Connection) -> io::Result<Option<Vec<Properties>>> {
    let BusObject { service, path, interface } = LOGIND;
    let list = Call { to: service, path, interface, member: "ListSessions", arguments: &[] };
    let Some(listed) = connection.call(list).await? else { return Ok(None) };
    // Each entry is (id, user's number, user's name, seat, path).
    let path = |session: &Value| Some(session.list()?.get(4)?.text()?.to_owned());
    let listed = listed.first().and_then(Value::list).unwrap_or_default();
    let mut sessions = Vec::new();
    for path in listed.iter().filter_map(path).take(MAX_SESSIONS) {
        // A session that has ended since is skipped.
        sessions.extend(connection.properties(LOGIND.service, &path, SESSION).await?);
    }
    Ok(Some(sessions))
}
