//! The window as assistive programs see it: elements with a role and a name that can be pressed.

use banyan_tests::test_desktop::{TestDesktop, proxy, wait_for};
use zbus::{
    blocking::{Connection, Proxy, connection::Builder},
    zvariant::OwnedObjectPath,
};

type Place = (String, OwnedObjectPath);

/// The element has the keyboard focus (AT-SPI's `StateType`).
const FOCUSED: u32 = 12;
/// The element is enabled (AT-SPI's `StateType`).
const ENABLED: u32 = 8;
/// Roles that can be pressed: check box, combo box, button, radio button, toggle button (AT-SPI's `Role`).
const PRESSED: [u32; 5] = [7, 11, 43, 44, 62];

/// An element of a window.
#[derive(Debug, Clone)]
pub(crate) struct Thing {
    place: Place,
    pub(crate) name: String,
    role: u32,
    pub(crate) has_focus: bool,
    /// Whether it is enabled now.
    pub(crate) is_enabled: bool,
}

impl Thing {
    pub(crate) fn can_be_pressed(&self) -> bool {
        PRESSED.contains(&self.role)
    }
}

/// A connection to the accessibility bus.
pub(crate) struct Access {
    bus: Connection,
}

impl Access {
    /// Enables accessibility, as a screen reader does when it starts.
    pub(crate) fn on(desktop: &TestDesktop) -> Self {
        let session = desktop.bus();
        let place = ("org.a11y.Bus", "/org/a11y/bus");
        let status = proxy(&session, place.0, place.1, "org.a11y.Status").expect("the bus answers");
        status.set_property("IsEnabled", true).expect("accessibility can be enabled");
        let bus = proxy(&session, place.0, place.1, "org.a11y.Bus").expect("the bus answers");
        let address: String = bus.call("GetAddress", &()).expect("the accessibility bus has an address");
        Self {
            bus: Builder::address(address.as_str()).and_then(Builder::build).expect("the accessibility bus answers"),
        }
    }
    fn proxy(&self, place: &Place, interface: &'static str) -> zbus::Result<Proxy<'static>> {
        proxy(&self.bus, &place.0, place.1.as_str(), interface)
    }
    fn children(&self, place: &Place) -> Vec<Place> {
        let proxy = self.proxy(place, "org.a11y.atspi.Accessible");
        proxy.and_then(|proxy| proxy.call("GetChildren", &())).unwrap_or_default()
    }
    /// Reads an element; returns `None` if it has just disappeared.
    fn look(&self, place: Place) -> Option<Thing> {
        let proxy = self.proxy(&place, "org.a11y.atspi.Accessible").ok()?;
        let name = proxy.get_property("Name").ok()?;
        let role = proxy.call("GetRole", &()).ok()?;
        let states: Vec<u32> = proxy.call("GetState", &()).ok()?;
        let is = |state: u32| states.first().is_some_and(|states| states >> state & 1 == 1);
        Some(Thing { place, name, role, has_focus: is(FOCUSED), is_enabled: is(ENABLED) })
    }
    /// Returns all elements on the screen.
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
    /// Waits for an element with this name.
    pub(crate) fn find(&self, name: &str) -> Thing {
        wait_for(&format!("{name:?} in the window"), || self.all().into_iter().find(|thing| thing.name == name))
    }
    /// Presses the button with this name.
    pub(crate) fn press(&self, name: &str) {
        assert!(self.try_press(name), "{name} could not be pressed");
    }
    /// Presses the button, whether or not it has an effect. Returns whether the window reports success.
    pub(crate) fn try_press(&self, name: &str) -> bool {
        let found = wait_for(&format!("a button {name:?}"), || {
            self.all().into_iter().find(|thing| thing.name == name && thing.can_be_pressed())
        });
        let action = self.proxy(&found.place, "org.a11y.atspi.Action").expect("the element can be pressed");
        action.call("DoAction", &(0_i32)).unwrap_or(false)
    }
}
