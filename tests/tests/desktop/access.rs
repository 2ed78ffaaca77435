//! The window as assistive programs see it: things with a role and a name that can be pressed.

use banyan_tests::stage::{Stage, proxy, wait_for};
use zbus::{
    blocking::{Connection, Proxy, connection::Builder},
    zvariant::OwnedObjectPath,
};

type Place = (String, OwnedObjectPath);

/// What has the keyboard (AT-SPI's `StateType`).
const FOCUSED: u32 = 12;
/// What can be used (AT-SPI's `StateType`).
const ENABLED: u32 = 8;
/// Check box, combo box, button, radio button, toggle button (AT-SPI's `Role`).
const PRESSED: [u32; 5] = [7, 11, 43, 44, 62];

/// Something in a window.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    place: Place,
    pub(crate) name: String,
    role: u32,
    pub(crate) has_focus: bool,
    /// It can be used now.
    pub(crate) is_enabled: bool,
}

impl Thing {
    pub(crate) fn can_be_pressed(&self) -> bool {
        PRESSED.contains(&self.role)
    }
}

/// The bus of assistive programs.
pub(crate) struct Access {
    bus: Connection,
}

impl Access {
    /// Switches it on, as a screen reader does at its start.
    pub(crate) fn on(stage: &Stage) -> Self {
        let session = stage.bus();
        let place = ("org.a11y.Bus", "/org/a11y/bus");
        let status = proxy(&session, place.0, place.1, "org.a11y.Status").expect("the bus answers");
        status.set_property("IsEnabled", true).expect("it can be switched on");
        let bus = proxy(&session, place.0, place.1, "org.a11y.Bus").expect("the bus answers");
        let address: String = bus.call("GetAddress", &()).expect("it has an address");
        Self { bus: Builder::address(address.as_str()).and_then(Builder::build).expect("its bus answers") }
    }
    fn proxy(&self, place: &Place, interface: &'static str) -> zbus::Result<Proxy<'static>> {
        proxy(&self.bus, &place.0, place.1.as_str(), interface)
    }
    fn children(&self, place: &Place) -> Vec<Place> {
        let proxy = self.proxy(place, "org.a11y.atspi.Accessible");
        proxy.and_then(|proxy| proxy.call("GetChildren", &())).unwrap_or_default()
    }
    /// What it is; none when it has just gone.
    fn look(&self, place: Place) -> Option<Thing> {
        let proxy = self.proxy(&place, "org.a11y.atspi.Accessible").ok()?;
        let name = proxy.get_property("Name").ok()?;
        let role = proxy.call("GetRole", &()).ok()?;
        let states: Vec<u32> = proxy.call("GetState", &()).ok()?;
        let is = |state: u32| states.first().is_some_and(|states| states >> state & 1 == 1);
        Some(Thing { place, name, role, has_focus: is(FOCUSED), is_enabled: is(ENABLED) })
    }
    /// Everything on the screen.
    pub(crate) fn all(&self) -> Vec<Thing> {
        let root = OwnedObjectPath::try_from("/org/a11y/atspi/accessible/root").expect("a path");
        let mut open = vec![("org.a11y.atspi.Registry".to_owned(), root)];
        let mut all = Vec::new();
        while let Some(place) = open.pop() {
            let mut children = self.children(&place);
            children.reverse();
            open.extend(children);
            all.extend(self.look(place));
        }
        all
    }
    /// Waits until something of this name is there.
    pub(crate) fn find(&self, name: &str) -> Thing {
        wait_for(&format!("{name:?} in the window"), || self.all().into_iter().find(|thing| thing.name == name))
    }
    /// Presses the button of this name.
    pub(crate) fn press(&self, name: &str) {
        assert!(self.try_press(name), "{name} was not pressed");
    }
    /// Presses it, whether or not anything comes of it; says whether the window claims that something did.
    pub(crate) fn try_press(&self, name: &str) -> bool {
        let found = wait_for(&format!("a button {name:?}"), || {
            self.all().into_iter().find(|thing| thing.name == name && thing.can_be_pressed())
        });
        let action = self.proxy(&found.place, "org.a11y.atspi.Action").expect("it can be pressed");
        action.call("DoAction", &(0_i32)).unwrap_or(false)
    }
}
