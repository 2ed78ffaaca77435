//! A mock system bus with services that report what the test sets: battery, power profile, network, sessions.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};
use zbus::{
    blocking::{Connection, connection::Builder},
    interface,
    zvariant::OwnedObjectPath,
};

/// The bus; it ends when the value is dropped.
pub(crate) struct SystemBus {
    daemon: Child,
    address: String,
}

impl SystemBus {
    pub(crate) fn start() -> Self {
        let mut daemon = Command::new("dbus-daemon");
        // The rules of a session bus: any user may own any name.
        daemon.args(["--session", "--nofork", "--nopidfile", "--print-address=1"]).stdin(Stdio::null());
        let mut daemon = daemon.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap_or_else(|error| {
            panic!(
                "could not start dbus-daemon: {error}; run `cargo xtask test --install` to install the tools for tests"
            )
        });
        let mut address = String::new();
        let out = daemon.stdout.take().expect("standard output is a pipe");
        BufReader::new(out).read_line(&mut address).expect("the program prints its address");
        Self { daemon, address: address.trim().to_owned() }
    }
    /// Returns the environment variable with the bus address.
    pub(crate) fn environment(&self) -> (String, String) {
        ("DBUS_SYSTEM_BUS_ADDRESS".to_owned(), self.address.clone())
    }
    fn serve<I: zbus::object_server::Interface>(
        &self,
        name: &str,
        all: impl IntoIterator<Item = (&'static str, I)>,
    ) -> Connection {
        let bus = Builder::address(self.address.as_str()).and_then(Builder::build).expect("the bus answers");
        for (path, object) in all {
            bus.object_server().at(path, object).expect("the object path is free");
        }
        bus.request_name(name).expect("the bus name is free");
        bus
    }
}

impl Drop for SystemBus {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

const UPOWER: &str = "/org/freedesktop/UPower";

/// The mock battery service; it ends when the value is dropped.
pub(crate) struct Battery(Connection);

struct UPower {
    on_battery: bool,
}
#[interface(name = "org.freedesktop.UPower")]
impl UPower {
    #[zbus(property)]
    fn on_battery(&self) -> bool {
        self.on_battery
    }
}

struct Display {
    percentage: f64,
}
#[interface(name = "org.freedesktop.UPower.Device")]
impl Display {
    #[zbus(property)]
    fn is_present(&self) -> bool {
        true
    }
    #[zbus(property)]
    fn percentage(&self) -> f64 {
        self.percentage
    }
}

impl Battery {
    pub(crate) fn start(bus: &SystemBus, percentage: f64) -> Self {
        let path = "/org/freedesktop/UPower/devices/DisplayDevice";
        let service = bus.serve("org.freedesktop.UPower", [(path, Display { percentage })]);
        service.object_server().at(UPOWER, UPower { on_battery: true }).expect("the object path is free");
        Self(service)
    }
    /// Switches between battery and mains power.
    pub(crate) fn set(&self, on_battery: bool) {
        let upower = self.0.object_server().interface::<_, UPower>(UPOWER).expect("the interface is registered");
        upower.get_mut().on_battery = on_battery;
        zbus::block_on(upower.get().on_battery_changed(upower.signal_emitter())).expect("the signal can be sent");
    }
}

/// The mock power-profile service.
pub(crate) struct Profiles(Connection);

struct PowerProfiles {
    active: &'static str,
}
#[interface(name = "net.hadess.PowerProfiles")]
impl PowerProfiles {
    #[zbus(property)]
    fn active_profile(&self) -> String {
        self.active.to_owned()
    }
}

impl Profiles {
    const PATH: &str = "/net/hadess/PowerProfiles";
    pub(crate) fn start(bus: &SystemBus, active: &'static str) -> Self {
        Self(bus.serve("net.hadess.PowerProfiles", [(Self::PATH, PowerProfiles { active })]))
    }
    pub(crate) fn set(&self, active: &'static str) {
        let profiles =
            self.0.object_server().interface::<_, PowerProfiles>(Self::PATH).expect("the interface is registered");
        profiles.get_mut().active = active;
        zbus::block_on(profiles.get().active_profile_changed(profiles.signal_emitter()))
            .expect("the signal can be sent");
    }
}

/// The mock network service, with two connections: a phone and the line at home.
pub(crate) struct Networks(Connection);

/// The UUID of the phone's connection.
pub(crate) const PHONE: &str = "c0a8f3d2-0000-4000-8000-000000000001";
pub(crate) const HOME: &str = "c0a8f3d2-0000-4000-8000-000000000002";

struct Manager {
    metered: u32,
    primary: &'static str,
    answer_after: Duration,
}
#[interface(name = "org.freedesktop.NetworkManager")]
impl Manager {
    #[zbus(property)]
    fn metered(&self) -> u32 {
        std::thread::sleep(self.answer_after);
        self.metered
    }
    #[zbus(property)]
    fn primary_connection(&self) -> OwnedObjectPath {
        OwnedObjectPath::try_from(self.primary).expect("a path")
    }
}

struct Leads {
    id: &'static str,
    uuid: &'static str,
}
#[interface(name = "org.freedesktop.NetworkManager.Connection.Active")]
impl Leads {
    #[zbus(property)]
    fn id(&self) -> String {
        self.id.to_owned()
    }
    #[zbus(property)]
    fn uuid(&self) -> String {
        self.uuid.to_owned()
    }
}

impl Networks {
    const PATH: &str = "/org/freedesktop/NetworkManager";
    const ACTIVE: [&str; 2] =
        ["/org/freedesktop/NetworkManager/ActiveConnection/1", "/org/freedesktop/NetworkManager/ActiveConnection/2"];
    pub(crate) fn start(bus: &SystemBus) -> Self {
        let [phone, home] = Self::ACTIVE;
        let all = [(phone, Leads { id: "Phone", uuid: PHONE }), (home, Leads { id: "Phone", uuid: HOME })];
        let service = bus.serve("org.freedesktop.NetworkManager", all);
        let manager = Manager { metered: 1, primary: phone, answer_after: Duration::ZERO };
        service.object_server().at(Self::PATH, manager).expect("the object path is free");
        Self(service)
    }
    /// Makes the service slow.
    pub(crate) fn answer_after(&self, time: Duration) {
        let manager = self.0.object_server().interface::<_, Manager>(Self::PATH).expect("the interface is registered");
        manager.get_mut().answer_after = time;
    }
    /// Makes the line at home the primary connection; it has the same name as the phone.
    pub(crate) fn at_home(&self) {
        let manager = self.0.object_server().interface::<_, Manager>(Self::PATH).expect("the interface is registered");
        manager.get_mut().primary = Self::ACTIVE[1];
        zbus::block_on(manager.get().primary_connection_changed(manager.signal_emitter()))
            .expect("the signal can be sent");
    }
    /// Sets NetworkManager's metered state: 1 yes, 2 no, 3 and 4 the same by guess.
    pub(crate) fn set_metered(&self, metered: u32) {
        let manager = self.0.object_server().interface::<_, Manager>(Self::PATH).expect("the interface is registered");
        manager.get_mut().metered = metered;
        zbus::block_on(manager.get().metered_changed(manager.signal_emitter())).expect("the signal can be sent");
    }
}

/// The mock session service, with one active session.
pub(crate) struct Logind(Connection);

struct Login;
#[interface(name = "org.freedesktop.login1.Manager")]
impl Login {
    fn list_sessions(&self) -> Vec<(String, u32, String, String, OwnedObjectPath)> {
        let path = OwnedObjectPath::try_from(Logind::SESSION).expect("a path");
        vec![("2".to_owned(), 1000, "mia".to_owned(), "seat0".to_owned(), path)]
    }
}

struct Session {
    locked: bool,
}
#[interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    fn class(&self) -> String {
        "user".to_owned()
    }
    #[zbus(property, name = "Type")]
    fn kind(&self) -> String {
        "wayland".to_owned()
    }
    #[zbus(property)]
    fn remote(&self) -> bool {
        false
    }
    #[zbus(property)]
    fn active(&self) -> bool {
        true
    }
    #[zbus(property)]
    fn idle_hint(&self) -> bool {
        false
    }
    #[zbus(property)]
    fn idle_since_hint(&self) -> u64 {
        1
    }
    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        self.locked
    }
}

impl Logind {
    const SESSION: &str = "/org/freedesktop/login1/session/_32";
    pub(crate) fn start(bus: &SystemBus) -> Self {
        let service = bus.serve("org.freedesktop.login1", [(Self::SESSION, Session { locked: false })]);
        service.object_server().at("/org/freedesktop/login1", Login).expect("the object path is free");
        Self(service)
    }
    /// Simulates the user leaving: locks the screen.
    pub(crate) fn lock(&self) {
        let session =
            self.0.object_server().interface::<_, Session>(Self::SESSION).expect("the interface is registered");
        session.get_mut().locked = true;
        zbus::block_on(session.get().locked_hint_changed(session.signal_emitter())).expect("the signal can be sent");
    }
}
