//! The tray's menu as a panel sees it: entries with labels, pressed over the bus.

use banyan_tests::test_desktop::{TestDesktop, proxy, wait_for};
use std::collections::HashMap;
use zbus::{
    blocking::{Connection, Proxy, fdo::DBusProxy},
    zvariant::{OwnedValue, Value},
};

/// Id, properties, child entries.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

/// One menu entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    id: i32,
    pub(crate) label: String,
    /// Whether it can be pressed: not a separator, a plain text or a submenu.
    pub(crate) does: bool,
    /// Whether it is the selected one of several options.
    pub(crate) holds: bool,
}

/// The menu of a tray process.
pub(crate) struct Menu {
    bus: Connection,
    name: String,
}

impl Menu {
    /// Waits until the panel shows the icon of this process.
    pub(crate) fn of(desktop: &TestDesktop, process: u32) -> Self {
        let bus = desktop.bus();
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
    /// Returns the icon's tooltip text.
    pub(crate) fn status(&self) -> String {
        let item = proxy(&self.bus, &self.name, "/StatusNotifierItem", "org.kde.StatusNotifierItem");
        let tip: OwnedValue = item.and_then(|item| item.get_property("ToolTip")).expect("the icon has a tooltip");
        let Value::Structure(tip) = &*tip else { panic!("{tip:?}") };
        tip.fields().last().and_then(text).expect("the tooltip has text")
    }
    /// Returns all entries, those of submenus after their parent.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let (_, (_, _, children)): (u32, Layout) =
            self.proxy().call("GetLayout", &(0, -1, Vec::<String>::new())).expect("the menu has a layout");
        let mut entries = Vec::new();
        children.iter().for_each(|child| collect(child, &mut entries));
        entries
    }
    /// Returns the entries once they stop changing: the agent's messages arrive in pieces.
    pub(crate) fn settled(&self) -> Vec<Entry> {
        let mut before = (self.entries(), 0);
        wait_for("the menu stops changing", || {
            let now = self.entries();
            before = if now == before.0 { (now, before.1 + 1) } else { (now, 0) };
            (before.1 == 3).then(|| before.0.clone())
        })
    }
    /// Presses the first entry with this label.
    pub(crate) fn press(&self, label: &str) {
        let entries = self.settled();
        let found = entries.iter().find(|entry| entry.label == label);
        let found = found.unwrap_or_else(|| panic!("no {label:?} in {entries:?}"));
        let body = (found.id, "clicked", Value::from(0_i32), 0_u32);
        // A process that is asked to quit may have ended before it answers.
        drop(self.proxy().call_method("Event", &body));
    }
}

fn inner<'a>(value: &'a Value<'a>) -> &'a Value<'a> {
    if let Value::Value(inner) = value { inner } else { value }
}

fn text(value: &Value<'_>) -> Option<String> {
    if let Value::Str(text) = inner(value) { Some(text.to_string()) } else { None }
}

fn collect(entry: &Value<'_>, entries: &mut Vec<Entry>) {
    let Value::Structure(entry) = inner(entry) else { panic!("not an entry: {entry:?}") };
    let [Value::I32(id), Value::Dict(properties), Value::Array(children)] = entry.fields() else {
        panic!("not an entry: {entry:?}")
    };
    let property = |name: &str| {
        let found = properties.iter().find(|(key, _)| text(key).as_deref() == Some(name));
        found.map(|(_, value)| inner(value))
    };
    let label = property("label").and_then(text).unwrap_or_default();
    let enabled = property("enabled").is_none_or(|value| *value == Value::Bool(true));
    let does = enabled && !label.is_empty() && property("children-display").is_none();
    let holds = property("toggle-state") == Some(&Value::I32(1));
    entries.push(Entry { id: *id, label, does, holds });
    children.iter().for_each(|child| collect(child, entries));
}
