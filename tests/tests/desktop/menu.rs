//! The tray's menu as a panel sees it: entries with labels, pressed over the bus.

use crate::stage::{Stage, wait_for};
use std::collections::HashMap;
use zbus::{
    blocking::{Connection, Proxy},
    zvariant::{OwnedValue, Value},
};

type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// The menu of a tray's process.
pub(crate) struct Menu {
    bus: Connection,
    name: String,
}

impl Menu {
    /// Waits until the panel shows the icon of this process.
    pub(crate) fn of(stage: &Stage, process: u32) -> Self {
        let bus = stage.bus();
        let name = format!("org.kde.StatusNotifierItem-{process}-1");
        wait_for("the panel shows the icon", || {
            let watcher = Proxy::new(
                &bus,
                "org.kde.StatusNotifierWatcher",
                "/StatusNotifierWatcher",
                "org.kde.StatusNotifierWatcher",
            );
            let items: Vec<String> = watcher.ok()?.get_property("RegisteredStatusNotifierItems").ok()?;
            let owner =
                zbus::blocking::fdo::DBusProxy::new(&bus).ok()?.get_name_owner(name.as_str().try_into().ok()?).ok()?;
            items.iter().any(|item| item.starts_with(&name) || item.starts_with(owner.as_str())).then_some(())
        });
        Self { bus, name }
    }
    fn proxy(&self) -> Proxy<'static> {
        Proxy::new(&self.bus, self.name.clone(), "/MenuBar", "com.canonical.dbusmenu").expect("the menu answers")
    }
    /// A property of the icon.
    pub(crate) fn status(&self) -> String {
        let item = Proxy::new(&self.bus, self.name.clone(), "/StatusNotifierItem", "org.kde.StatusNotifierItem");
        let tip: (String, Vec<(i32, i32, Vec<u8>)>, String, String) =
            item.and_then(|item| item.get_property("ToolTip")).expect("the icon has a tooltip");
        tip.3
    }
    /// All entries: their ids and labels, those of submenus after their own.
    pub(crate) fn entries(&self) -> Vec<(i32, String)> {
        let (_, root): (u32, Layout) =
            self.proxy().call("GetLayout", &(0, -1, Vec::<String>::new())).expect("the menu has a layout");
        let mut entries = Vec::new();
        collect(&root, &mut entries);
        entries
    }
    /// Presses the first entry of this label below the entry that begins with `below` (empty: anywhere).
    pub(crate) fn press(&self, below: &str, label: &str) {
        let entries = self.entries();
        let from =
            entries.iter().position(|(_, text)| text.starts_with(below)).unwrap_or_else(|| panic!("{entries:?}"));
        let found = entries[from..].iter().find(|(_, text)| text == label);
        let (id, _) = found.unwrap_or_else(|| panic!("no {label:?} below {below:?} in {entries:?}"));
        let _: () = self.proxy().call("Event", &(*id, "clicked", Value::from(0), 0_u32)).expect("it can be pressed");
    }
}

fn collect((id, properties, children): &Layout, entries: &mut Vec<(i32, String)>) {
    let label = properties.get("label").and_then(|label| String::try_from(label.clone()).ok());
    entries.push((*id, label.unwrap_or_default()));
    for child in children {
        let child = Layout::try_from(child.try_clone().expect("no handles in it")).expect("a layout");
        collect(&child, entries);
    }
}
