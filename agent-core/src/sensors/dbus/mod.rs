//! Conditions from D-Bus system services: battery (UPower), power saver (power-profiles-daemon), metered networks
//! (NetworkManager) and presence (logind). Linux only.
//!
//! The agent listens to the bus as long as it runs, because an offer must be judged before there is time to ask.
//! Changes of these four are rare. Frequent changes, such as the battery's charge, are not listened to but read again
//! while there is work ([`Sensors::refresh_services`]). The same goes for the idle times of terminals, which no service
//! announces. A missing bus or service means unknown values and is not reported. A service that does not answer keeps its
//! last value.

mod connection;
mod message;
mod parse;
mod value;

use crate::sensors::{RefreshRequest, Sensors, power::Battery, services::ServiceValues};
use banyan_proto::schedule::{Network, Presence};
use connection::{Answer, Connection};
use message::Call;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use value::{Properties, Value};

/// An object on the bus that this agent reads.
#[derive(Clone, Copy)]
struct BusObject<'a> {
    service: &'a str,
    path: &'a str,
    interface: &'a str,
}

impl BusObject<'_> {
    /// Returns the call that reads the object's properties.
    fn get_all(&self) -> Call<'_> {
        let Self { service, path, interface } = self;
        let arguments = std::slice::from_ref(interface);
        Call { to: service, path, interface: "org.freedesktop.DBus.Properties", member: "GetAll", arguments }
    }
}

const UPOWER: BusObject<'static> = BusObject {
    service: "org.freedesktop.UPower",
    path: "/org/freedesktop/UPower",
    interface: "org.freedesktop.UPower",
};
const BATTERY: BusObject<'static> = BusObject {
    service: "org.freedesktop.UPower",
    path: "/org/freedesktop/UPower/devices/DisplayDevice",
    interface: "org.freedesktop.UPower.Device",
};
/// The power profiles by their current name, and by the previous one.
const PROFILES: [BusObject<'static>; 2] = [
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
const NETWORK: BusObject<'static> = BusObject {
    service: "org.freedesktop.NetworkManager",
    path: "/org/freedesktop/NetworkManager",
    interface: "org.freedesktop.NetworkManager",
};
const ACTIVE_CONNECTION: &str = "org.freedesktop.NetworkManager.Connection.Active";
const LOGIND: BusObject<'static> = BusObject {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
};
const SESSION: &str = "org.freedesktop.login1.Session";
/// Maximum number of sessions read.
const MAX_SESSIONS: usize = 64;
/// Changes often come in groups: this is the wait before the values are read.
const SETTLE: Duration = Duration::from_millis(50);
/// Wait before a connection is made again while the services have not been read yet.
const RECONNECT: Duration = Duration::from_millis(250);

/// Listens to the services until the channel closes, and reads their values again on request. Until the services have
/// been read once, a lost connection is made again without a request.
pub(super) async fn run(sensors: Arc<Sensors>, mut requests: mpsc::Receiver<RefreshRequest>) {
    let mut pending = None;
    loop {
        if let Err(error) = listen(&sensors, &mut requests, pending.take()).await {
            tracing::debug!(%error, "no connection to the system bus");
        }
        // The connection is lost or never existed: earlier reports no longer count.
        sensors.set_service_values(ServiceValues::default());
        if !sensors.has_read_services() {
            tokio::time::sleep(RECONNECT).await;
            continue;
        }
        pending = requests.recv().await;
        if pending.is_none() {
            return;
        }
    }
}

/// Connects to the bus. If there is none, its services count as read.
async fn connect(sensors: &Sensors) -> io::Result<Connection> {
    let connected = Connection::connect().await;
    if connected.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::TimedOut) {
        sensors.set_services_read();
    }
    connected
}

/// Listens until the connection is lost. Drops `pending` once all values have been read.
async fn listen(
    sensors: &Arc<Sensors>,
    requests: &mut mpsc::Receiver<RefreshRequest>,
    mut pending: Option<RefreshRequest>,
) -> io::Result<()> {
    let mut connection = connect(sensors).await?;
    for rule in rules() {
        connection.add_match(&rule).await?;
    }
    let mut values = ServiceValues::default();
    loop {
        let is_complete = read_values(&mut connection, &mut values).await?;
        sensors.set_service_values(values.clone());
        if is_complete {
            sensors.set_services_read();
        }
        drop(pending.take());
        if !sensors.has_read_services() {
            continue;
        }
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

/// Reads all values. Returns whether every service that runs has answered; one that has not keeps its value.
async fn read_values(connection: &mut Connection, values: &mut ServiceValues) -> io::Result<bool> {
    let BusObject { service: to, path, interface } = LOGIND;
    let list_sessions = Call { to, path, interface, member: "ListSessions", arguments: &[] };
    let [current_profiles, previous_profiles] = PROFILES.each_ref().map(BusObject::get_all);
    let [upower, display, current_profiles, previous_profiles, networks, sessions] = connection
        .call_all([
            UPOWER.get_all(),
            BATTERY.get_all(),
            current_profiles,
            previous_profiles,
            NETWORK.get_all(),
            list_sessions,
        ])
        .await?;
    let answered = [
        replace(&mut values.battery, battery(upower, display))?,
        replace(&mut values.saver, power_saver(current_profiles, previous_profiles))?,
        replace(&mut values.network, read_network(connection, networks).await)?,
        replace(&mut values.presence, read_presence(connection, sessions).await)?,
    ];
    Ok(!answered.contains(&false))
}

/// Takes a service's answer. Returns whether there was one.
fn replace<T>(value: &mut Option<T>, answer: io::Result<Option<T>>) -> io::Result<bool> {
    match answer {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        answer => {
            *value = answer?;
            Ok(true)
        }
    }
}

/// Returns the properties of an object; `None` when its service does not run or does not know it.
fn properties(answer: Answer) -> io::Result<Option<Properties>> {
    Ok(answer?.as_deref().and_then(<[Value]>::first).map(Properties::from_dictionary))
}

fn battery(upower: Answer, display: Answer) -> io::Result<Option<Battery>> {
    let Some(manager) = properties(upower)? else { return Ok(None) };
    Ok(parse::battery(&manager, properties(display)?.as_ref()))
}

fn power_saver(current: Answer, previous: Answer) -> io::Result<Option<bool>> {
    let profiles = properties(current)?;
    let profiles = if profiles.is_some() { profiles } else { properties(previous)? };
    Ok(profiles.as_ref().and_then(parse::power_saver))
}

async fn read_network(connection: &mut Connection, networks: Answer) -> io::Result<Option<Network>> {
    let Some(manager) = properties(networks)? else { return Ok(None) };
    let Some(path) = manager.text("PrimaryConnection").filter(|path| *path != "/") else { return Ok(None) };
    let primary = BusObject { service: NETWORK.service, path, interface: ACTIVE_CONNECTION };
    let [primary] = connection.call_all([primary.get_all()]).await?;
    Ok(properties(primary)?.and_then(|primary| parse::network(&manager, &primary)))
}

/// Returns whether a person is present, by logind's sessions; `None` when it does not run.
async fn read_presence(connection: &mut Connection, listed: Answer) -> io::Result<Option<Presence>> {
    let Some(listed) = listed? else { return Ok(None) };
    // Each entry is (id, user's number, user's name, seat, path).
    let path = |session: &Value| Some(session.list()?.get(4)?.text()?.to_owned());
    let listed = listed.first().and_then(Value::list).unwrap_or_default();
    let paths: Vec<_> = listed.iter().filter_map(path).take(MAX_SESSIONS).collect();
    let objects: Vec<_> =
        paths.iter().map(|path| BusObject { service: LOGIND.service, path, interface: SESSION }).collect();
    let calls: Vec<_> = objects.iter().map(BusObject::get_all).collect();
    let mut sessions = Vec::new();
    for answer in connection.call_each(&calls).await? {
        // A session that has ended since is skipped.
        sessions.extend(properties(answer)?);
    }
    Ok(parse::presence(&sessions))
}
