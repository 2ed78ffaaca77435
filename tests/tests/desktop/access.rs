//! The window as assistive programs see it: things with a role and a name that can be pressed.

use crate::stage::{Stage, proxy, wait_for};
use zbus::{
    blocking::{Connection, Proxy, connection::Builder},
    zvariant::OwnedObjectPath,
};

type Place = (String, OwnedObjectPath);

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
    fn name(&self, place: &Place) -> String {
        let proxy = self.proxy(place, "org.a11y.atspi.Accessible");
        proxy.and_then(|proxy| proxy.get_property("Name")).unwrap_or_default()
    }
    /// Everything on the screen, with its name.
    pub(crate) fn all(&self) -> Vec<(Place, String)> {
        let root = OwnedObjectPath::try_from("/org/a11y/atspi/accessible/root").expect("a path");
        let mut open = vec![("org.a11y.atspi.Registry".to_owned(), root)];
        let mut all = Vec::new();
        while let Some(place) = open.pop() {
            let mut children = self.children(&place);
            children.reverse();
            open.extend(children);
            let name = self.name(&place);
            all.push((place, name));
        }
        all
    }
    /// Waits until something of this name is there.
    pub(crate) fn find(&self, name: &str) -> Place {
        wait_for(&format!("{name:?} in the window"), || {
            self.all().into_iter().find(|(_, its)| its == name).map(|(place, _)| place)
        })
    }
    /// Presses it.
    pub(crate) fn press(&self, name: &str) {
        let place = self.find(name);
        let action = self.proxy(&place, "org.a11y.atspi.Action").expect("it can be pressed");
        let done: bool = action.call("DoAction", &(0_i32)).expect("it can be pressed");
        assert!(done, "{name} was not pressed");
    }
}
