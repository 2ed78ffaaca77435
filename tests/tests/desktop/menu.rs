//! The tray's menu as a panel sees it: entries with labels, pressed over the bus.

use crate::stage::{Stage, proxy, wait_for};
use std::collections::HashMap;
use zbus::{
    blocking::{Connection, Proxy, fdo::DBusProxy},
    zvariant::{OwnedValue, Value},
};

/// Id, properties, entries below.
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
        let watcher = "org.kde.StatusNotifierWatcher";
        wait_for("the panel shows the icon", || {
            let items: OwnedValue = proxy(&bus, watcher, "/StatusNotifierWatcher", watcher)
                .and_then(|watcher| watcher.get_property("RegisteredStatusNotifierItems"))
                .ok()?;
            let items: Vec<String> = items.try_into().ok()?;
            let owner = DBusProxy::new(&bus).ok()?.get_name_owner(name.as_str().try_into().ok()?).ok()?;
            items.iter().any(|item| item.starts_with(&name) || item.starts_with(owner.as_str())).then_some(())
        });
        Self { bus, name }
    }
    fn proxy(&self) -> Proxy<'static> {
        proxy(&self.bus, &self.name, "/MenuBar", "com.canonical.dbusmenu").expect("the menu answers")
    }
    /// What the icon says in words.
    pub(crate) fn status(&self) -> String {
        let item = proxy(&self.bus, &self.name, "/StatusNotifierItem", "org.kde.StatusNotifierItem");
        let tip: OwnedValue = item.and_then(|item| item.get_property("ToolTip")).expect("the icon has a tooltip");
        let Value::Structure(tip) = &*tip else { panic!("{tip:?}") };
        tip.fields().last().and_then(text).expect("in words")
    }
    /// All entries: their ids and labels, those of submenus after their own.
    pub(crate) fn entries(&self) -> Vec<(i32, String)> {
        let (_, (_, _, children)): (u32, Layout) =
            self.proxy().call("GetLayout", &(0, -1, Vec::<String>::new())).expect("the menu has a layout");
        let mut entries = Vec::new();
        children.iter().for_each(|child| collect(child, &mut entries));
        entries
    }
    /// Presses the first entry of this label below the entry that begins with `below` (empty: anywhere).
    pub(crate) fn press(&self, below: &str, label: &str) {
        let entries = self.entries();
        let from =
            entries.iter().position(|(_, text)| text.starts_with(below)).unwrap_or_else(|| panic!("{entries:?}"));
        let found = entries[from..].iter().find(|(_, text)| text == label);
        let (id, _) = found.unwrap_or_else(|| panic!("no {label:?} below {below:?} in {entries:?}"));
        let body = (*id, "clicked", Value::from(0_i32), 0_u32);
        drop(self.proxy().call_method("Event", &body).expect("it can be pressed"));
    }
}

fn inner<'a>(value: &'a Value<'a>) -> &'a Value<'a> {
    if let Value::Value(inner) = value { inner } else { value }
}

fn text(value: &Value<'_>) -> Option<String> {
    if let Value::Str(text) = inner(value) { Some(text.to_string()) } else { None }
}

fn collect(entry: &Value<'_>, entries: &mut Vec<(i32, String)>) {
    let Value::Structure(entry) = inner(entry) else { panic!("no entry: {entry:?}") };
    let [Value::I32(id), Value::Dict(properties), Value::Array(children)] = entry.fields() else {
        panic!("no entry: {entry:?}")
    };
    let label = properties.iter().find(|(key, _)| text(key).as_deref() == Some("label"));
    entries.push((*id, label.and_then(|(_, value)| text(value)).unwrap_or_default()));
    children.iter().for_each(|child| collect(child, entries));
}
